"""Streams over the wire: writers, hooks, providers and clients on different gateways."""

import asyncio
from typing import Any

import pytest

from tests.support.cluster import Cluster
from tests.support.eventually import eventually
from tests.support.raw import CallFailed, Frame, RawWorker, known, raw_worker
from tests.support.stream_client import stream_client


def place(stream: str, item: str = "m1") -> dict[str, str]:
    return {"stream_name": stream, "group_id": "room", "item_id": item}


def ports(cluster: Cluster) -> tuple[int, int]:
    one, two = (gateway.ports["stream"] for gateway in cluster.gateways[:2])
    return one, two


async def hook(worker: RawWorker, id: str, type: str, handler: Any, config: Any = None, **fields: Any) -> None:
    """A trigger and its function."""
    await worker.register(id, handler)
    await known(worker, id)
    await worker.send("registertrigger", id=id, trigger_type=type, function_id=id, config=config or {}, **fields)


async def test_clients_of_every_gateway_see_the_writes_of_every_gateway(shared_cluster: Cluster, unique: str) -> None:
    one, two = ports(shared_cluster)
    async with (
        raw_worker(shared_cluster.gateways[0].url) as here,
        raw_worker(shared_cluster.gateways[1].url) as there,
        stream_client(one) as a,
        stream_client(two) as b,
    ):
        assert await a.follow(unique, "room") == await b.follow(unique, "room") == []
        await here.call("stream::set", {**place(unique), "data": 1})
        await there.call("stream::set", {**place(unique), "data": 2})
        await here.call("stream::update", {**place(unique), "ops": [{"type": "increment", "path": "", "by": 1}]})
        await there.call("stream::delete", place(unique))
        for client in (a, b):
            assert await client.changes(4) == [("create", 1), ("update", 2), ("update", 3), ("delete", 3)]
        listed = await there.call("stream::list_all", {})
        assert unique not in [stream["id"] for stream in listed["stream"]]


async def test_no_result_and_null_are_told_apart(shared_cluster: Cluster, unique: str) -> None:
    async with raw_worker(shared_cluster.gateways[0].url) as worker:
        frame = await worker.result(await worker.begin("stream::get", place(unique)))
        assert "result" not in frame
        assert "error" not in frame
        await worker.call("stream::set", {**place(unique), "data": None})
        frame = await worker.result(await worker.begin("stream::get", place(unique)))
        assert frame["result"] is None
        sent = await worker.result(
            await worker.begin("stream::send", {"stream_name": unique, "group_id": "room", "type": "t", "data": 1})
        )
        assert "error" not in sent


async def test_hooks_of_one_gateway_guard_clients_of_another(shared_cluster: Cluster, unique: str) -> None:
    _one, two = ports(shared_cluster)
    joins: list[Frame] = []
    leaves: list[Frame] = []

    def join(frame: Frame) -> Any:
        joins.append(frame)
        return {"unauthorized": frame["data"]["group_id"] == "secret"}

    async with raw_worker(shared_cluster.gateways[0].url) as worker:
        metadata = {"team": "a"}
        await hook(worker, f"{unique}::join", "stream:join", join, {"stream_name": unique}, metadata=metadata)
        await hook(worker, f"{unique}::leave", "streams:leave", leaves.append, {"stream_name": unique})

        async def guarded() -> bool:
            async with stream_client(two) as client:
                await client.join(unique, "secret")
                return bool((await client.next())["event"]["type"] == "unauthorized")

        await eventually(guarded)
        joins.clear()
        async with stream_client(two) as client:
            await client.follow(unique, "room", "m1", id="a")
            await client.follow(unique, "room", id="b")
            await client.leave(unique, "room", "m1", id="a")
            await eventually(lambda: any(frame["data"]["subscription_id"] == "a" for frame in leaves))
        await eventually(lambda: any(frame["data"]["subscription_id"] == "b" for frame in leaves))
    assert joins[0]["data"] == {
        "subscription_id": "a",
        "stream_name": unique,
        "group_id": "room",
        "id": "m1",
        "context": None,
    }
    assert joins[0]["metadata"] == metadata


async def test_a_provider_on_one_gateway_serves_the_other(shared_cluster: Cluster, unique: str) -> None:
    _one, two = ports(shared_cluster)
    data: dict[str, Any] = {}

    def set_(frame: Frame) -> Any:
        item = frame["data"]["item_id"]
        old, data[item] = data.get(item), frame["data"]["data"]
        return {"old_value": old, "new_value": data[item]}

    async with (
        raw_worker(shared_cluster.gateways[0].url) as provider,
        raw_worker(shared_cluster.gateways[1].url) as caller,
        stream_client(two) as client,
    ):
        await provider.register(f"stream::get({unique})", lambda frame: data.get(frame["data"]["item_id"]))
        await provider.register(f"stream::set({unique})", set_)
        await provider.register(f"stream::list({unique})", lambda _frame: list(data.values()))
        await known(caller, *(f"stream::{name}({unique})" for name in ("get", "set", "list")))
        await caller.call("stream::set", {**place(unique), "data": {"n": 1}})
        assert data == {"m1": {"n": 1}}
        assert await client.follow(unique, "room") == [{"n": 1}]
        increment = {"type": "increment", "path": "n", "by": 1}
        calls = [caller.call("stream::update", {**place(unique), "ops": [increment]}) for _ in range(10)]
        calls += [provider.call("stream::update", {**place(unique), "ops": [increment]}) for _ in range(10)]
        await asyncio.gather(*calls)
        assert data == {"m1": {"n": 21}}
        assert [change for _type, change in await client.changes(20)] == [{"n": n} for n in range(2, 22)]


async def test_an_error_of_a_provider_reaches_the_reader_as_it_is(shared_cluster: Cluster, unique: str) -> None:
    error = {"code": "MINE", "message": "no", "stacktrace": "at line 1"}
    async with (
        raw_worker(shared_cluster.gateways[0].url) as provider,
        raw_worker(shared_cluster.gateways[1].url) as caller,
    ):
        await provider.register(f"stream::get({unique})", lambda _frame: CallFailed(error))
        await known(caller, f"stream::get({unique})")
        with pytest.raises(CallFailed) as failed:
            await caller.call("stream::get", place(unique))
    assert failed.value.error == error


async def test_a_provider_that_goes_leaves_the_stream_to_the_engine(shared_cluster: Cluster, unique: str) -> None:
    async with raw_worker(shared_cluster.gateways[1].url) as caller:
        async with raw_worker(shared_cluster.gateways[0].url) as provider:
            await provider.register(f"stream::get({unique})", lambda _frame: "provided")
            await known(caller, f"stream::get({unique})")
            assert await caller.call("stream::get", place(unique)) == "provided"
        await caller.call("stream::set", {**place(unique), "data": "stored"})

        async def stored() -> bool:
            answer: object = await caller.call("stream::get", place(unique))
            return answer == "stored"

        await eventually(stored)


async def test_change_triggers_are_called_once_wherever_they_are(shared_cluster: Cluster, unique: str) -> None:
    calls: list[Frame] = []
    async with (
        raw_worker(shared_cluster.gateways[0].url) as owner,
        raw_worker(shared_cluster.gateways[1].url) as writer,
    ):
        config = {"stream_name": unique, "group_id": "room"}
        await hook(owner, f"{unique}::changed", "stream", calls.append, config, metadata={"team": "a"})

        async def told() -> bool:
            await writer.call("stream::set", {**place(unique, "probe"), "data": 0})
            return bool(calls)

        await eventually(told)
        for n in range(50):
            await writer.call("stream::set", {**place(unique), "data": n})

        def data() -> list[Any]:
            return [frame["data"]["event"]["data"] for frame in calls if frame["data"]["id"] == "m1"]

        await eventually(lambda: len(data()) >= 50)
    assert data() == list(range(50))
    message = next(frame for frame in calls if frame["data"]["id"] == "m1")
    assert message["metadata"] == {"team": "a"}
    assert message["data"]["event"] == {"type": "create", "data": 0}


async def test_a_trigger_without_a_stream_is_refused(shared_cluster: Cluster, unique: str) -> None:
    async with raw_worker(shared_cluster.gateways[0].url) as worker:
        await worker.register(unique, lambda _frame: None)
        await worker.send("registertrigger", id=unique, trigger_type="stream", function_id=unique, config={})
        answer = await worker.expect("triggerregistrationresult")
        assert answer["error"]["code"] == "trigger_registration_failed"
