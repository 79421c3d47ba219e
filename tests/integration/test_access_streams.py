"""Who joins and leaves streams is told to workers under rules only if that is allowed by name."""

import json

import pytest

from tests.support.access import RULES, Gatekeeper, at, silence
from tests.support.cluster import Cluster
from tests.support.raw import RawWorker, known, raw_worker
from tests.support.stream_client import stream_client

HOOKS = ["stream:join", "stream:leave"]


async def hook(worker: RawWorker, function: str, type: str, stream: str) -> None:
    await worker.send(
        "registertrigger",
        id=f"{function}-{type}",
        trigger_type=type,
        function_id=function,
        config={"stream_name": stream},
    )
    await worker.flush()


async def listed(worker: RawWorker, function: str) -> list[str]:
    rows = (await worker.call("engine::registered-triggers::list", {"function_id": function}))["registered_triggers"]
    return sorted(row["trigger_type"] for row in rows)


async def test_a_worker_that_may_use_all_types_decides_about_nobody_who_joins(
    guarded: Cluster, keeper: Gatekeeper, free: RawWorker, unique: str
) -> None:
    function = f"open::{unique}"
    async with raw_worker(at(guarded.gateways[0], RULES, "guest"), name="guest") as guest:
        await guest.register(function, lambda _frame: {"unauthorized": True})
        await known(free, function)
        for type in HOOKS:
            await hook(guest, function, type, unique)
        await silence(guest, "triggerregistrationresult")
        assert await listed(free, function) == []
        async with stream_client(guarded.gateways[0].ports["stream"]) as client:
            await client.join(unique, "room")
            assert "unauthorized" not in json.dumps(await client.next())


@pytest.mark.parametrize("type", HOOKS)
async def test_one_that_is_named_may_be_used(
    guarded: Cluster, keeper: Gatekeeper, free: RawWorker, unique: str, type: str
) -> None:
    keeper.rights["usher"] = {"allowed_trigger_types": [type]}
    function = f"open::{unique}"
    async with raw_worker(at(guarded.gateways[0], RULES, "usher"), name="usher") as usher:
        await usher.register(function)
        await known(free, function)
        for one in HOOKS:
            await hook(usher, function, one, unique)
        assert await listed(free, function) == [type]
