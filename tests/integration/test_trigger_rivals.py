"""Triggers that exclude each other, registered at different gateways."""

import pytest

from tests.support.cluster import Cluster
from tests.support.eventually import eventually
from tests.support.raw import CallFailed, RawWorker, raw_worker

DURABLE = {"trigger_type": "http", "function_id": "rivals::durable", "config": {"api_path": "rivals/:y"}}


async def bind(worker: RawWorker) -> None:
    config = {"api_path": "rivals/:x"}
    await worker.send("registertrigger", id="rivals", trigger_type="http", function_id="rivals::f", config=config)


async def listed(worker: RawWorker, *, on: bool) -> None:
    """Returns when the owner of the type's slot has, or has no more, what `bind` registers."""

    async def seen() -> bool:
        rows = (await worker.call("engine::registered-triggers::list", {}))["registered_triggers"]
        return ("rivals" in [row["id"] for row in rows]) is on

    await eventually(seen)


async def test_a_durable_trigger_is_refused_while_a_rival_is_bound_and_taken_when_that_is_gone(
    shared_cluster: Cluster,
) -> None:
    first, second = shared_cluster.gateways
    async with raw_worker(first.url) as asking, raw_worker(second.url) as worker:
        await bind(worker)
        await listed(asking, on=True)
        with pytest.raises(CallFailed, match="conflicts with already-registered route 'GET rivals/:x'"):
            await asking.call("engine::register_trigger", DURABLE)
        await worker.send("unregistertrigger", id="rivals")
        await listed(asking, on=False)
        durable = await asking.call("engine::register_trigger", DURABLE)
        await bind(worker)
        said = await worker.expect("triggerregistrationresult", id="rivals")
        assert said["error"]["code"] == "trigger_registration_failed"
        assert await asking.call("engine::unregister_trigger", durable) == {"removed": True}
