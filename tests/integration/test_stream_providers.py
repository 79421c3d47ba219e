"""Streams whose data a worker keeps."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest

from iii_cluster.protocol.errors import EngineError
from tests.support.stream_client import stream_client
from tests.support.streams import StreamCluster, StreamGateway, followed, streams
from tests.support.valkey import ValkeyServer

ITEM = {"stream_name": "todos", "group_id": "g", "item_id": "i"}


@pytest.fixture
async def cluster(valkey: ValkeyServer) -> AsyncIterator[StreamCluster]:
    async with streams(valkey.url) as cluster:
        yield cluster


@pytest.fixture
async def here(cluster: StreamCluster) -> StreamGateway:
    return await cluster.gateway()


class Provider:
    """What published clients register for a stream of their own."""

    def __init__(self, cluster: StreamCluster, names: str = "stream::{}(todos)") -> None:
        self.data: dict[tuple[str, str], Any] = {}
        for operation in ("get", "set", "delete", "list", "list_groups"):
            cluster.cluster.register(names.format(operation), getattr(self, operation))

    async def get(self, input: Any) -> Any:
        await asyncio.sleep(0)
        return self.data.get((input["group_id"], input["item_id"]))

    async def set(self, input: Any) -> Any:
        await asyncio.sleep(0)
        key = input["group_id"], input["item_id"]
        old, self.data[key] = self.data.get(key), input["data"]
        return {"old_value": old, "new_value": input["data"]}

    def delete(self, input: Any) -> Any:
        return {"old_value": self.data.pop((input["group_id"], input["item_id"]), None)}

    def list(self, input: Any) -> Any:
        return [value for (group, _item), value in self.data.items() if group == input["group_id"]]

    def list_groups(self, _input: Any) -> Any:
        return [group for group, _item in self.data]


@pytest.mark.parametrize("names", ["stream::{}(todos)", "todos.{}"])
async def test_a_provider_serves_every_operation(
    cluster: StreamCluster, here: StreamGateway, valkey: ValkeyServer, names: str
) -> None:
    provider = Provider(cluster, names)
    assert await here.call("stream::set", ITEM | {"data": {"n": 1}}) == {"old_value": None, "new_value": {"n": 1}}
    assert provider.data == {("g", "i"): {"n": 1}}
    assert await here.call("stream::get", ITEM) == {"n": 1}
    assert await here.call("stream::list", {"stream_name": "todos", "group_id": "g"}) == [{"n": 1}]
    assert await here.call("stream::list_groups", {"stream_name": "todos"}) == ["g"]
    assert await here.call("stream::delete", ITEM) == {"old_value": {"n": 1}}
    assert await here.call("stream::get", ITEM) is None
    assert not valkey.execute("EXISTS", "{iii}:stream:todos:g")


async def test_the_provider_gets_the_input_as_it_is(cluster: StreamCluster, here: StreamGateway) -> None:
    Provider(cluster)
    await here.call("stream::set", ITEM | {"data": 1, "extra": [True]})
    assert cluster.cluster.called("stream::set(todos)") == [ITEM | {"data": 1, "extra": [True]}]


async def test_clients_and_triggers_are_told_what_a_provider_changed(
    cluster: StreamCluster, here: StreamGateway
) -> None:
    provider = Provider(cluster)
    provider.data["g", "before"] = {"id": "before"}
    async with stream_client(here.port) as client:
        assert await client.follow("todos", "g", id="group") == [{"id": "before"}]
        assert await client.follow("todos", "g", "before", id="item") == {"id": "before"}
        assert await client.follow("todos", "g", "none", id="none") is None
        await here.call("stream::set", ITEM | {"data": 1})
        await here.call("stream::set", ITEM | {"data": 2})
        await here.call("stream::delete", ITEM)
        await here.call("stream::delete", ITEM)
        assert await client.changes(3) == [("create", 1), ("update", 2), ("delete", 2)]
        await client.silent()


async def test_update_goes_through_get_and_set_of_a_provider_without_update(
    cluster: StreamCluster, here: StreamGateway
) -> None:
    provider = Provider(cluster)
    provider.data["g", "i"] = {"n": 1}
    ops = [{"type": "increment", "path": "n", "by": 1}, {"type": "append", "path": "n", "value": 1}]
    async with stream_client(here.port) as client:
        await client.follow("todos", "g", "i")
        done = await here.call("stream::update", ITEM | {"ops": ops})
        assert (done["old_value"], done["new_value"], len(done["errors"])) == ({"n": 1}, {"n": 2}, 1)
        assert await client.changes(1) == [("update", {"n": 2})]
    assert provider.data["g", "i"] == {"n": 2}


async def test_concurrent_updates_of_a_provider_lose_nothing_and_are_told_in_order(cluster: StreamCluster) -> None:
    here, there = await cluster.gateway(), await cluster.gateway()
    provider = Provider(cluster)
    ops = {"ops": [{"type": "increment", "path": "n", "by": 1}]}
    async with stream_client(here.port) as client:
        await client.follow("todos", "g", "i")
        await asyncio.gather(*(gateway.call("stream::update", ITEM | ops) for gateway in (here, there) * 20))
        assert [data["n"] for _type, data in await client.changes(40)] == list(range(1, 41))
    assert provider.data["g", "i"] == {"n": 40}


async def test_a_provider_with_update_does_it_itself(cluster: StreamCluster, here: StreamGateway) -> None:
    answer = {"old_value": None, "new_value": 5, "errors": [{"op_index": 0}]}
    cluster.cluster.register("stream::update(todos)", lambda _input: answer)
    assert await here.call("stream::update", ITEM | {"ops": []}) == answer


@pytest.mark.parametrize("operation", ["set", "delete", "update"])
async def test_writes_that_fail_at_the_provider_have_the_functions_code(
    cluster: StreamCluster, here: StreamGateway, operation: str
) -> None:
    data = ITEM | {"data": 1, "ops": []}

    async def code(answer: Any) -> str:
        def handler(_input: Any) -> Any:
            if isinstance(answer, EngineError):
                raise answer
            return answer

        cluster.cluster.register(f"stream::{operation}(todos)", handler)
        with pytest.raises(EngineError) as raised:
            await here.call(f"stream::{operation}", data)
        return raised.value.code

    own = f"STREAM_{operation.upper()}_ERROR"
    assert await code(EngineError("MINE", "no")) == own
    assert await code(None) == own
    assert await code([1]) == "JSON_ERROR"


@pytest.mark.parametrize("operation", ["get", "list", "list_groups"])
async def test_reads_that_fail_at_the_provider_fail_with_its_error(
    cluster: StreamCluster, here: StreamGateway, operation: str
) -> None:
    def handler(_input: Any) -> Any:
        raise EngineError("MINE", "no")

    cluster.cluster.register(f"stream::{operation}(todos)", handler)
    with pytest.raises(EngineError) as raised:
        await here.call(f"stream::{operation}", ITEM)
    assert (raised.value.code, raised.value.message) == ("MINE", "no")


async def test_a_failed_snapshot_is_no_beginning_but_changes_come(
    cluster: StreamCluster, here: StreamGateway, valkey: ValkeyServer
) -> None:
    def handler(_input: Any) -> Any:
        raise EngineError("MINE", "no")

    cluster.cluster.register("stream::list(todos)", handler)
    async with stream_client(here.port) as client:
        await client.join("todos", "g")
        await followed(valkey, "todos", "g")
        await here.send("todos", "g", "t", 1)
        assert (await client.next())["event"] == {"type": "event", "event": {"type": "t", "data": 1}}
        await client.silent()


async def test_streams_without_a_provider_do_not_notice_the_others(cluster: StreamCluster, here: StreamGateway) -> None:
    Provider(cluster)
    other = ITEM | {"stream_name": "other"}
    await here.call("stream::set", other | {"data": 1})
    assert await here.call("stream::get", other) == 1
    assert await here.call("stream::list_all", {}) == {"stream": [{"id": "other", "groups": ["g"]}], "count": 1}
