"""Calls that shards make count once in the whole cluster, whoever serves them."""

import asyncio

from tests.support.cluster import Cluster
from tests.support.eventually import eventually
from tests.support.raw import RawWorker, known, raw_worker

JOBS = 40


async def counted(asking: RawWorker, *functions: str) -> dict[str, int]:
    """How often these were called, as the cluster says."""
    said = await asking.call("engine::metrics::list", {})
    by_function = said["engine_metrics"]["invocations"]["by_function"]
    return {function: by_function.get(function, 0) for function in functions}


async def test_every_job_condition_and_trigger_counts_once(shared_cluster: Cluster, unique: str) -> None:
    here, there = shared_cluster.gateways
    job, changed, check = (f"{unique}::{name}" for name in ("job", "changed", "check"))
    async with raw_worker(here.url) as sender, raw_worker(there.url) as worker:
        for function in (job, changed):
            await worker.register(function, lambda _frame: None)
        await sender.register(check, lambda _frame: True)
        config = {"scope": unique, "condition_function_id": check}
        await sender.send("registertrigger", id=f"{unique}-1", trigger_type="state", function_id=changed, config=config)
        for asking in (sender, worker):
            await known(asking, job, changed, check)
        queue = {"type": "enqueue", "queue": "default"}
        await asyncio.gather(*(sender.call(job, n, action=queue) for n in range(JOBS)))
        await asyncio.gather(
            *(sender.call("state::set", {"scope": unique, "key": f"k{n}", "value": n}) for n in range(JOBS))
        )
        expected = {job: 2 * JOBS, changed: JOBS, check: JOBS}  # a job counts as deferred, too

        async def all_counted() -> bool:
            seen = await counted(sender, job, changed, check)
            assert seen == expected, seen
            return True

        await eventually(all_counted)
        await sender.flush()
        assert await counted(sender, job, changed, check) == expected
