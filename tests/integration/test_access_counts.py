"""Numbers tell a worker under rules of nothing that it does not see."""

import pytest

from tests.support.access import RULES, Gatekeeper, at
from tests.support.cluster import Cluster
from tests.support.eventually import eventually
from tests.support.raw import RawWorker, known, raw_worker


async def count(worker: RawWorker, type: str) -> int:
    return int((await worker.call("engine::triggers::info", {"id": type}))["instance_count"])


@pytest.mark.parametrize("provided", [False, True], ids=["of-a-module", "of-a-worker"])
async def test_instances_of_a_type_are_counted_as_far_as_they_are_seen(
    guarded: Cluster, keeper: Gatekeeper, free: RawWorker, unique: str, provided: bool
) -> None:
    type = unique if provided else "durable:subscriber"
    if provided:
        await free.send("registertriggertype", id=type, description="")
    functions = [f"open::{unique}", f"closed::{unique}"]
    for function in functions:
        await free.register(function)
    await known(free, *functions)
    async with raw_worker(at(guarded.gateways[1], RULES, "guest"), name="guest") as guest:
        before = await count(free, type), await count(guest, type)
        for function in functions:
            fields = {"trigger_type": type, "function_id": function, "config": {"topic": unique}}
            await free.send("registertrigger", id=f"t-{function}", **fields)
            if provided:
                told = {"id": f"t-{function}", "trigger_type": type, "function_id": function}
                await free.expect("registertrigger", id=f"t-{function}")
                await free.send("triggerregistrationresult", **told)

        async def counted() -> bool:
            return await count(free, type) == before[0] + 2

        await eventually(counted)
        assert await count(guest, type) == before[1] + 1
