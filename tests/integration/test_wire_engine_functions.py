"""The engine's own functions and trigger types, as clients of all generations expect them."""

import uuid
from collections.abc import AsyncIterator
from typing import Any

import pytest

from tests.support.cluster import Cluster
from tests.support.eventually import eventually
from tests.support.raw import CallFailed, Frame, RawWorker, known, raw_worker

OLD_WORKER = {
    "id",
    "name",
    "runtime",
    "version",
    "os",
    "ip_address",
    "status",
    "connected_at_ms",
    "function_count",
    "functions",
    "active_invocations",
    "latest_metrics",
}
NEW_WORKER = {
    "name",
    "description",
    "version",
    "id",
    "namespace",
    "runtime",
    "os",
    "status",
    "function_count",
    "connected_at_ms",
    "active_invocations",
    "isolation",
    "ip_address",
}
OLD_FUNCTION = {"function_id", "description", "request_format", "response_format", "metadata"}
NEW_FUNCTION = {"function_id", "namespace", "worker_name"}


@pytest.fixture(params=[0, 1], ids=["same-gateway", "other-gateway"])
async def asking(request: pytest.FixtureRequest, shared_cluster: Cluster) -> AsyncIterator[RawWorker]:
    async with raw_worker(shared_cluster.gateways[request.param].url, name="asking") as worker:
        yield worker


@pytest.fixture
async def worker(shared_cluster: Cluster, unique: str) -> AsyncIterator[RawWorker]:
    async with raw_worker(shared_cluster.gateways[0].url, name=unique, description="of a test") as worker:
        yield worker


async def row_of(asking: RawWorker, listing: str, key: str, value: str, **asked: Any) -> Frame:
    """The one row of a listing whose `key` is `value`, once it is there."""

    async def found() -> list[Frame]:
        answer = await asking.call(f"engine::{listing}::list", asked)
        rows = next(rows for rows in answer.values() if isinstance(rows, list))
        return [row for row in rows if row[key] == value]

    rows = await eventually(found)
    assert len(rows) == 1
    row: Frame = rows[0]
    return row


async def test_a_function_is_listed_in_the_old_and_in_the_new_shape(
    asking: RawWorker, worker: RawWorker, unique: str
) -> None:
    schema = {"type": "object", "properties": {"a": {"type": "string"}}}
    said: Frame = {
        "description": "adds",
        "request_format": schema,
        "response_format": None,
        "metadata": {"tier": "free"},
    }
    await worker.register(f"{unique}::add", **said)
    row = await row_of(asking, "functions", "function_id", f"{unique}::add")
    assert row.keys() >= OLD_FUNCTION | NEW_FUNCTION
    assert said.items() <= row.items()
    assert (row["namespace"], row["worker_name"]) == ("default", unique)


async def test_functions_are_sorted_and_can_be_selected(asking: RawWorker, worker: RawWorker, unique: str) -> None:
    names = [f"{unique}::b", f"{unique}::a", f"{unique}-x::c"]
    for name in names:
        await worker.register(name)
    await worker.register(f"{unique}::hidden", metadata={"internal": True})
    await known(asking, *names)

    async def listed(**asked: Any) -> list[str]:
        rows = (await asking.call("engine::functions::list", asked))["functions"]
        return [row["function_id"] for row in rows if row["function_id"].startswith(unique)]

    assert await listed() == sorted(names)
    assert await listed(prefix=f"{unique}::") == sorted(names[:2])
    assert await listed(search="X::C") == [names[2]]
    assert await listed(worker=unique) == sorted(names)
    assert await listed(worker="nobody") == []
    assert await listed(unknown_member=1) == sorted(names)
    assert f"{unique}::hidden" in await listed(include_internal=True)


async def test_a_worker_is_listed_in_the_old_and_in_the_new_shape(
    asking: RawWorker, worker: RawWorker, unique: str
) -> None:
    await worker.register(f"{unique}::f")
    row = await row_of(asking, "workers", "name", unique)
    assert row.keys() >= OLD_WORKER | NEW_WORKER
    assert row["id"] == worker.worker_id
    assert (row["runtime"], row["version"], row["status"]) == ("python", "0.23.0", "connected")
    assert (row["ip_address"], row["namespace"], row["description"]) == ("127.0.0.1", "default", "of a test")
    assert (row["function_count"], row["functions"]) == (1, [f"{unique}::f"])


async def test_connections_that_announce_no_process_are_hidden(asking: RawWorker, shared_cluster: Cluster) -> None:
    async with raw_worker(shared_cluster.gateways[0].url, name=None) as silent:
        await silent.flush()
        rows = (await asking.call("engine::workers::list", {}))["workers"]
        assert silent.worker_id not in {row["id"] for row in rows}


async def test_old_clients_list_trigger_instances_and_new_ones_types(
    worker: RawWorker, shared_cluster: Cluster, unique: str
) -> None:
    await worker.send("registertriggertype", id=unique, description="of a test")
    trigger = {"id": f"{unique}-1", "trigger_type": unique, "function_id": f"{unique}::f", "config": {"a": [1]}}
    trigger["metadata"] = {"team": 7}
    await worker.send("registertrigger", **trigger)
    await worker.expect("registertrigger")
    async with (
        raw_worker(shared_cluster.gateways[1].url, version="0.9.0") as old,
        raw_worker(shared_cluster.gateways[1].url, version="0.22.1") as new,
    ):
        instance = await row_of(old, "triggers", "id", f"{unique}-1")
        assert trigger.items() <= instance.items()
        kind = await row_of(new, "triggers", "id", unique)
        assert kind == {"id": unique, "namespace": "default", "worker_name": unique, "description": "of a test"}
        registered = await row_of(new, "registered-triggers", "id", f"{unique}-1")
        assert trigger.items() <= registered.items()
        assert registered["worker_name"] == unique


@pytest.mark.parametrize("name", ["functions", "workers", "triggers", "registered-triggers"])
async def test_a_lookup_of_something_unknown_is_not_found(asking: RawWorker, unique: str, name: str) -> None:
    key = {"functions": "function_id", "workers": "name"}.get(name, "id")
    with pytest.raises(CallFailed) as raised:
        await asking.call(f"engine::{name}::info", {key: unique})
    assert raised.value.code == "NOT_FOUND"


async def test_an_engine_function_wants_an_object(asking: RawWorker) -> None:
    values: list[Any] = [None, [], "text", 5]
    for data in values:
        with pytest.raises(CallFailed) as raised:
            await asking.call("engine::functions::list", data)
        assert raised.value.code == "deserialization_error"


async def test_an_engine_function_cannot_be_taken_over(asking: RawWorker, worker: RawWorker, unique: str) -> None:
    await worker.register("engine::functions::list", lambda _: "mine")
    await worker.register(f"{unique}::f")
    await known(asking, f"{unique}::f")
    await worker.send("unregisterfunction", id="engine::functions::list")
    await worker.flush()
    assert "functions" in await worker.call("engine::functions::list", {})
    assert "functions" in await asking.call("engine::functions::list", {})


async def test_workers_are_told_of_workers_that_come_and_go(asking: RawWorker, shared_cluster: Cluster) -> None:
    events: list[Frame] = []
    function = f"events::{uuid.uuid4()}"
    await asking.register(function, lambda frame: events.append(frame["data"]))
    await asking.send(
        "registertrigger", id=function, trigger_type="engine::workers-available", function_id=function, config={}
    )
    await row_of(asking, "registered-triggers", "id", function)

    async with raw_worker(shared_cluster.gateways[0].url, name=None) as other:
        await other.announce("other")
        ids = {"worker_id": other.worker_id}
        await eventually(lambda: {"event": "worker_connected", **ids} in events)
        await eventually(lambda: {"event": "worker_metadata_updated", **ids} in events)
    await eventually(lambda: {"event": "worker_disconnected", **ids} in events)

    told = [event["event"] for event in events if event["worker_id"] == other.worker_id]
    assert told == ["worker_connected", "worker_metadata_updated", "worker_disconnected"]


async def test_workers_are_told_when_the_set_of_functions_changes(
    asking: RawWorker, worker: RawWorker, unique: str
) -> None:
    events: list[set[str]] = []
    function = f"{unique}::changed"
    await asking.register(
        function, lambda frame: events.append({row["function_id"] for row in frame["data"]["functions"]})
    )
    await asking.send(
        "registertrigger", id=unique, trigger_type="engine::functions-available", function_id=function, config={}
    )
    await row_of(asking, "registered-triggers", "id", unique, include_internal=True)

    await worker.register(f"{unique}::new")
    await eventually(lambda: any(f"{unique}::new" in ids for ids in events), within=20)
    await worker.send("unregisterfunction", id=f"{unique}::new")
    await eventually(lambda: events[-1:] and f"{unique}::new" not in events[-1], within=20)


async def test_a_durable_trigger_outlives_who_registered_it(
    asking: RawWorker, worker: RawWorker, shared_cluster: Cluster, unique: str
) -> None:
    await worker.send("registertriggertype", id=unique, description="of a test")
    async with raw_worker(shared_cluster.gateways[1].url) as owner:
        call = await owner.begin(
            "engine::register_trigger", {"trigger_type": unique, "function_id": f"{unique}::f", "config": {"a": 1}}
        )
        offered = await worker.expect("registertrigger")
        assert (offered["trigger_type"], offered["function_id"], offered["config"]) == (
            unique,
            f"{unique}::f",
            {"a": 1},
        )
        ids = {"id": offered["id"], "trigger_type": unique, "function_id": f"{unique}::f"}
        await worker.send("triggerregistrationresult", **ids)
        assert (await owner.result(call))["result"] == {"id": offered["id"]}

    await worker.send("registertriggertype", id=unique, description="again")
    await worker.expect("registertrigger", id=offered["id"])
    assert await asking.call("engine::unregister_trigger", {"id": offered["id"]}) == {"removed": True}
    await worker.expect("unregistertrigger", id=offered["id"], trigger_type=unique)
    assert await asking.call("engine::unregister_trigger", {"id": offered["id"]}) == {"removed": False}


async def test_a_refused_durable_trigger_fails_the_call(asking: RawWorker, worker: RawWorker, unique: str) -> None:
    await worker.send("registertriggertype", id=unique, description="of a test")
    await row_of(asking, "triggers", "id", unique)
    call = await asking.begin("engine::register_trigger", {"trigger_type": unique, "function_id": "f", "config": {}})
    offered = await worker.expect("registertrigger")
    ids = {"id": offered["id"], "trigger_type": unique, "function_id": "f"}
    await worker.send("triggerregistrationresult", **ids, error={"code": "taken", "message": "url already taken"})
    error = (await asking.result(call))["error"]
    assert error == {"code": "trigger_registration_failed", "message": "taken: url already taken"}


async def test_the_owner_of_a_refused_trigger_is_told(asking: RawWorker, worker: RawWorker, unique: str) -> None:
    await worker.send("registertriggertype", id=unique, description="of a test")
    ids = {"id": f"{unique}-1", "trigger_type": unique, "function_id": "f"}
    await asking.send("registertrigger", **ids, config={})
    await worker.expect("registertrigger")
    error = {"code": "taken", "message": "url already taken", "stacktrace": "at line 1"}
    await worker.send("triggerregistrationresult", **ids, error=error)
    assert await asking.expect("triggerregistrationresult") == {
        "type": "triggerregistrationresult",
        **ids,
        "error": error,
    }


async def test_only_the_provider_may_refuse_a_trigger(asking: RawWorker, worker: RawWorker, unique: str) -> None:
    await worker.send("registertriggertype", id=unique, description="of a test")
    ids = {"id": f"{unique}-1", "trigger_type": unique, "function_id": "f"}
    await asking.send("registertrigger", **ids, config={})
    await worker.expect("registertrigger")
    refusal = {**ids, "error": {"code": "no", "message": "no"}}
    await asking.send("triggerregistrationresult", **refusal)
    await worker.send("triggerregistrationresult", **refusal)
    await asking.expect("triggerregistrationresult")
    await asking.nothing("triggerregistrationresult")


async def test_enqueue_without_a_queue_fails(asking: RawWorker, unique: str) -> None:
    call = await asking.begin(f"{unique}::f", {}, action={"type": "enqueue", "queue": "mail"})
    assert (await asking.result(call))["error"]["code"] == "enqueue_error"


async def test_the_engine_is_the_only_queue_provider(asking: RawWorker) -> None:
    await asking.register("engine::queue::enqueue")
    await asking.expect("registrationrejected", function_id="engine::queue::enqueue")
