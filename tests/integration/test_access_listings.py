"""What workers under rules see of the cluster."""

from collections.abc import AsyncIterator
from typing import Any

import pytest

from tests.support.access import RULES, Gatekeeper, at
from tests.support.cluster import Cluster
from tests.support.eventually import eventually
from tests.support.raw import RawWorker, echo, known, raw_worker


@pytest.fixture
async def scene(guarded: Cluster, keeper: Gatekeeper, free: RawWorker, unique: str) -> AsyncIterator[None]:
    """Functions that guests may call and others, with a trigger each."""
    functions = [f"open::{unique}", f"closed::{unique}", f"meta::{unique}"]
    for function in functions:
        metadata = {"public": True, "name": "x"} if function.startswith("meta") else None
        await free.register(function, echo, metadata=metadata)
        config = {"topic": function}
        fields = {"trigger_type": "subscribe", "function_id": function, "config": config}
        await free.send("registertrigger", id=f"t-{function}", **fields)
    async with raw_worker(guarded.gateways[1].url, name=f"hidden-{unique}") as hidden:
        await hidden.register(f"hidden::{unique}")
        await known(free, *functions, f"hidden::{unique}")
        await eventually(lambda: triggers(free, unique, 3))
        yield


async def triggers(worker: RawWorker, unique: str, count: int) -> bool:
    rows = (await worker.call("engine::registered-triggers::list", {"search": unique}))["registered_triggers"]
    return len(rows) == count


@pytest.fixture(params=[0, 1], ids=["same-gateway", "other-gateway"])
async def guest(
    request: pytest.FixtureRequest, guarded: Cluster, keeper: Gatekeeper, scene: None
) -> AsyncIterator[RawWorker]:
    async with raw_worker(at(guarded.gateways[request.param], RULES, "guest"), name="guest") as worker:
        yield worker


def ids(rows: list[Any], key: str = "function_id") -> list[str]:
    return sorted(row[key] for row in rows)


async def test_functions_that_may_be_called(guest: RawWorker, free: RawWorker, unique: str) -> None:
    seen = (await guest.call("engine::functions::list", {"search": unique}))["functions"]
    assert ids(seen) == [f"meta::{unique}", f"open::{unique}"]
    everything = ids((await guest.call("engine::functions::list", {"include_internal": True}))["functions"])
    assert "state::get" in everything
    assert "state::set" not in everything
    assert len(ids((await free.call("engine::functions::list", {"search": unique}))["functions"])) == 4


async def test_details_of_functions_that_may_be_called(guest: RawWorker, unique: str) -> None:
    info = "engine::functions::info"
    detail = await guest.call(info, {"function_id": f"meta::{unique}"})
    assert [trigger["id"] for trigger in detail["registered_triggers"]] == [f"t-meta::{unique}"]
    for function in (f"closed::{unique}", f"never::{unique}", "state::set"):
        frame = await guest.result(await guest.begin(info, {"function_id": function}))
        assert frame["error"]["code"] == "FORBIDDEN"
        assert frame["error"]["message"] == f"function '{function}' not allowed (add to rbac.expose_functions)"
    asked = [f"open::{unique}", f"closed::{unique}", f"open::{unique}::none", f"never::{unique}"]
    rows = (await guest.call(info, {"function_ids": asked}))["functions"]
    assert [row.get("error") for row in rows] == [None, "forbidden", "not_found", "forbidden"]


async def test_workers_with_such_functions_and_itself(guest: RawWorker, free: RawWorker, unique: str) -> None:
    seen = {row["id"]: row for row in (await guest.call("engine::workers::list", {}))["workers"]}
    assert seen.keys() >= {guest.worker_id, free.worker_id}
    assert sorted(seen[free.worker_id]["functions"]) == [f"meta::{unique}", f"open::{unique}"]
    assert seen[free.worker_id]["function_count"] == 2
    assert not [row for row in seen.values() if row["name"] in (f"hidden-{unique}", "gatekeeper")]
    everybody = (await free.call("engine::workers::list", {}))["workers"]
    assert {row["name"] for row in everybody} >= {f"hidden-{unique}", "gatekeeper"}


async def test_details_of_such_workers(guest: RawWorker, unique: str) -> None:
    detail = await guest.call("engine::workers::info", {"name": "free"})
    assert ids(detail["functions"]) == [f"meta::{unique}", f"open::{unique}"]
    assert ids(detail["registered_triggers"]) == [f"meta::{unique}", f"open::{unique}"]
    frame = await guest.result(await guest.begin("engine::workers::info", {"name": f"hidden-{unique}"}))
    assert frame["error"]["code"] == "NOT_FOUND"


async def test_triggers_of_such_functions(guest: RawWorker, unique: str) -> None:
    rows = (await guest.call("engine::registered-triggers::list", {"search": unique}))["registered_triggers"]
    assert ids(rows) == [f"meta::{unique}", f"open::{unique}"]
    info = "engine::registered-triggers::info"
    assert (await guest.call(info, {"id": f"t-open::{unique}"}))["function"]["function_id"] == f"open::{unique}"
    frame = await guest.result(await guest.begin(info, {"id": f"t-closed::{unique}"}))
    assert frame["error"]["code"] == "NOT_FOUND"


async def test_its_own_triggers_have_the_ids_it_gave_them(guest: RawWorker, unique: str) -> None:
    fields = {"trigger_type": "subscribe", "function_id": f"open::{unique}::mine", "config": {"topic": "t"}}
    await guest.send("registertrigger", id=f"mine-{unique}", **fields)
    await eventually(lambda: triggers(guest, f"mine-{unique}", 1))
    detail = await guest.call("engine::registered-triggers::info", {"id": f"mine-{unique}"})
    assert detail["id"] == f"mine-{unique}"


async def test_trigger_types_that_may_be_used(guarded: Cluster, keeper: Gatekeeper, guest: RawWorker) -> None:
    types = ids((await guest.call("engine::triggers::list", {"include_internal": True}))["triggers"], "id")
    assert "cron" in types
    assert "engine::workers-available" not in types
    keeper.rights["few"] = {"allowed_trigger_types": ["api"]}
    async with raw_worker(at(guarded.gateways[1], RULES, "few")) as few:
        assert ids((await few.call("engine::triggers::list", {}))["triggers"], "id") == ["http"]
        frame = await few.result(await few.begin("engine::triggers::info", {"id": "cron"}))
        assert frame["error"]["code"] == "NOT_FOUND"


async def test_old_clients_see_no_more(guarded: Cluster, keeper: Gatekeeper, scene: None, unique: str) -> None:
    async with raw_worker(at(guarded.gateways[1], RULES, "guest"), name="old", version="0.9.0") as old:
        instances = (await old.call("engine::triggers::list", {}))["triggers"]
        assert [row for row in ids(instances) if unique in row] == [f"meta::{unique}", f"open::{unique}"]
        types = (await old.call("engine::trigger-types::list", {"include_internal": True}))["trigger_types"]
        assert "engine::workers-available" not in ids(types, "id")
        functions = ids((await old.call("engine::functions::list", {"search": unique}))["functions"])
        assert functions == [f"meta::{unique}", f"open::{unique}"]
