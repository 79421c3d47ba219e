"""The functions of streams against a real Valkey, in every adapter."""

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any

import pytest

from iii_cluster.modules.module import Request
from iii_cluster.protocol.errors import EngineError
from tests.support.streams import StreamCluster, StreamGateway, streams
from tests.support.valkey import ValkeyServer

ITEM = {"stream_name": "chat", "group_id": "room", "item_id": "m1"}
# Names that a careless key, pattern or script would take for something else.
NAMES = ["a:b", "a", "a:b:c", "*", "[a]", "%3A", "", " ", "é\u0000x", "{iii}", '"\\', "\U0001f600"]


@pytest.fixture
async def cluster(valkey: ValkeyServer) -> AsyncIterator[StreamCluster]:
    async with streams(valkey.url) as cluster:
        yield cluster


@pytest.fixture(params=["redis", "memory", "kv"])
async def gateway(cluster: StreamCluster, request: pytest.FixtureRequest) -> StreamGateway:
    return await cluster.gateway({"adapter": {"name": request.param}})


async def failing(gateway: StreamGateway, function: str, data: Any) -> EngineError:
    with pytest.raises(EngineError) as raised:
        await gateway.call(function, data)
    return raised.value


async def test_set_tells_the_old_and_the_new_value(gateway: StreamGateway) -> None:
    assert await gateway.call("stream::set", ITEM | {"data": {"n": 1}}) == {"old_value": None, "new_value": {"n": 1}}
    assert await gateway.call("stream::set", ITEM | {"data": [2]}) == {"old_value": {"n": 1}, "new_value": [2]}
    assert await gateway.call("stream::get", ITEM) == [2]


async def test_a_missing_item_is_no_result_and_a_stored_null_is_one(gateway: StreamGateway) -> None:
    assert await gateway.call("stream::get", ITEM) is None
    await gateway.call("stream::set", ITEM | {"data": None})
    request = json.dumps(ITEM).encode()
    assert await gateway.host.run("stream::get", Request("stream::get", request)) == b"null"


async def test_delete_tells_what_was_there_and_does_not_mind_if_nothing_was(gateway: StreamGateway) -> None:
    await gateway.call("stream::set", ITEM | {"data": 7})
    assert await gateway.call("stream::delete", ITEM) == {"old_value": 7}
    assert await gateway.call("stream::delete", ITEM) == {"old_value": None}
    assert await gateway.call("stream::get", ITEM) is None


async def test_update_applies_operations_and_tells_of_those_it_skipped(gateway: StreamGateway) -> None:
    ops: list[dict[str, Any]] = [{"type": "increment", "path": "n", "by": 3}]
    assert await gateway.call("stream::update", ITEM | {"ops": ops}) == {"old_value": None, "new_value": {"n": 3}}
    ops = [{"type": "append", "path": "n", "value": 1}, {"type": "set", "path": "m", "value": 2**64 - 1}]
    done = await gateway.call("stream::update", ITEM | {"ops": ops})
    assert done["new_value"] == {"n": 3, "m": 2**64 - 1}
    assert [(error["op_index"], error["code"]) for error in done["errors"]] == [(0, "append.type_mismatch")]


async def test_concurrent_updates_lose_nothing(gateway: StreamGateway) -> None:
    ops = {"ops": [{"type": "increment", "path": "n", "by": 1}]}
    await asyncio.gather(*(gateway.call("stream::update", ITEM | ops) for _ in range(200)))
    assert await gateway.call("stream::get", ITEM) == {"n": 200}


async def test_list_answers_all_values_of_a_group(gateway: StreamGateway) -> None:
    group = {"stream_name": "chat", "group_id": "room"}
    assert await gateway.call("stream::list", group) == []
    for n in range(3):
        await gateway.set("chat", "room", f"m{n}", {"id": f"m{n}"})
    await gateway.set("chat", "other", "m9", {"id": "m9"})
    assert sorted(row["id"] for row in await gateway.call("stream::list", group)) == ["m0", "m1", "m2"]


async def test_list_answers_thousands_of_values_once_each(gateway: StreamGateway) -> None:
    await asyncio.gather(*(gateway.set("chat", "room", f"m{n}", n) for n in range(3000)))
    values = await gateway.call("stream::list", {"stream_name": "chat", "group_id": "room"})
    assert sorted(values) == list(range(3000))


async def test_groups_and_streams_are_listed_while_they_hold_anything(gateway: StreamGateway) -> None:
    for stream, group in (("chat", "b"), ("chat", "a"), ("files", "x")):
        await gateway.set(stream, group, "i", 1)
    assert await gateway.call("stream::list_groups", {"stream_name": "chat"}) == ["a", "b"]
    listed = await gateway.call("stream::list_all", {})
    assert listed == {"stream": [{"id": "chat", "groups": ["a", "b"]}, {"id": "files", "groups": ["x"]}], "count": 2}
    await gateway.delete("chat", "a", "i")
    await gateway.delete("files", "x", "i")
    assert await gateway.call("stream::list_all", {}) == {"stream": [{"id": "chat", "groups": ["b"]}], "count": 1}
    assert await gateway.call("stream::list_groups", {"stream_name": "files"}) == []


async def test_names_are_any_text_and_never_mixed_up(gateway: StreamGateway) -> None:
    places = [(stream, group, item) for stream in NAMES for group in NAMES for item in ("x", "y:z", "")]
    for place in places:
        await gateway.set(*place, list(place))
    for place in places:
        names = dict(zip(("stream_name", "group_id", "item_id"), place, strict=True))
        assert await gateway.call("stream::get", names) == list(place)
    listed = await gateway.call("stream::list_all", {})
    assert [row["id"] for row in listed["stream"]] == sorted(NAMES)
    assert all(row["groups"] == sorted(NAMES) for row in listed["stream"])


async def test_values_are_kept_exactly_and_compactly(gateway: StreamGateway) -> None:
    names = (
        b'{"stream_name":"chat","group_id":"room","item_id":"m1","data": { "n" : 1.50, "big": 12345678901234567890 } }'
    )
    await gateway.call("stream::set", names)
    stored = await gateway.host.run("stream::get", Request("stream::get", json.dumps(ITEM).encode()))
    assert stored == b'{"n":1.50,"big":12345678901234567890}'


@pytest.mark.parametrize("function", ["set", "get", "delete", "update", "list", "list_groups", "send"])
async def test_a_missing_field_fails_the_call_before_anything_is_done(gateway: StreamGateway, function: str) -> None:
    error = await failing(gateway, f"stream::{function}", {"group_id": 5})
    assert error.code == "deserialization_error"
    assert f"stream::{function}" in error.message


async def test_the_oldest_clients_find_every_function_under_its_dotted_name(gateway: StreamGateway) -> None:
    await gateway.call("stream.set", ITEM | {"data": 1})
    assert await gateway.call("stream.get", ITEM) == 1
    functions = gateway.module.functions()
    assert all(functions[name].hidden == ("." in name) for name in functions)
    assert {name.replace("::", ".") for name in functions} == {name for name in functions if "." in name}


async def test_names_and_events_have_a_limit(gateway: StreamGateway) -> None:
    long = "x" * 100_000
    assert (await failing(gateway, "stream::set", ITEM | {"group_id": long, "data": 1})).code == "STREAM_SET_ERROR"
    event = {"stream_name": "chat", "group_id": "room", "type": "t", "data": "x" * 4_000_000}
    assert (await failing(gateway, "stream::send", event)).code == "STREAM_SEND_ERROR"


@pytest.mark.parametrize(
    ("function", "data", "code"),
    [
        ("set", ITEM | {"data": 1}, "STREAM_SET_ERROR"),
        ("get", ITEM, "STREAM_GET_ERROR"),
        ("delete", ITEM, "STREAM_DELETE_ERROR"),
        ("update", ITEM | {"ops": []}, "STREAM_UPDATE_ERROR"),
        ("list", ITEM, "STREAM_GET_GROUP_ERROR"),
        ("list_groups", ITEM, "STREAM_LIST_GROUPS_ERROR"),
        ("list_all", {}, "STREAM_LIST_ALL_ERROR"),
        ("send", ITEM | {"type": "t", "data": 1}, "STREAM_SEND_ERROR"),
    ],
)
async def test_a_store_that_fails_fails_the_call_with_the_functions_own_code(
    cluster: StreamCluster, valkey: ValkeyServer, function: str, data: Any, code: str
) -> None:
    gateway = await cluster.gateway()
    for key in ("{iii}:stream:chat:room", "{iii}:streams", "{iii}:stream-groups:chat", "{iii}:stream-clock:chat:room"):
        valkey.execute("SET", key, "not what it should be")
    error = await failing(gateway, f"stream::{function}", data)
    assert error.code == code
    assert "WRONGTYPE" in error.message


async def test_data_of_one_engine_is_found_under_its_own_keys(cluster: StreamCluster, valkey: ValkeyServer) -> None:
    valkey.execute("HSET", "stream:chat:room:1", "m1", '{"id":"m1"}')
    valkey.execute("HSET", "stream:files:x", "f", "1")
    gateway = await cluster.gateway({"adapter": {"name": "redis", "config": {"key_prefix": ""}}})
    assert await gateway.call("stream::list_groups", {"stream_name": "chat"}) == ["room:1"]
    assert await gateway.call("stream::get", {"stream_name": "chat", "group_id": "room:1", "item_id": "m1"}) == {
        "id": "m1"
    }
    await gateway.set("chat", "room:1", "m2", 2)
    assert valkey.execute("HGET", "stream:chat:room:1", "m2") == "2"


async def test_a_full_server_takes_no_values_but_lets_them_be_deleted(
    cluster: StreamCluster, valkey: ValkeyServer
) -> None:
    gateway = await cluster.gateway()
    await gateway.set("chat", "room", "m1", "x" * 10_000)
    valkey.execute("CONFIG", "SET", "maxmemory", 1)
    error = await failing(gateway, "stream::set", ITEM | {"data": 1})
    assert error.code == "STREAM_SET_ERROR"
    assert await gateway.delete("chat", "room", "m1") == {"old_value": "x" * 10_000}


async def test_streams_may_have_a_server_of_their_own(
    cluster: StreamCluster, valkey: ValkeyServer, tmp_path: Any
) -> None:
    other = ValkeyServer(tmp_path, "other")
    other.start()
    try:
        config = {"adapter": {"name": "redis", "config": {"redis_url": other.url}}}
        gateway = await cluster.gateway(config)
        await gateway.set("chat", "room", "m1", 1)
        assert other.execute("HGET", "{iii}:stream:chat:room", "m1") == "1"
        assert valkey.execute("DBSIZE") == 0
    finally:
        await cluster.close()
        other.close()


@pytest.mark.parametrize(
    "config",
    [
        {"adapter": {"name": "unknown"}},
        {"stray": 1},
        {"adapter": {"name": "redis", "config": {"stray": 1}}},
        {"port": -1},
    ],
)
async def test_a_configuration_that_makes_no_sense_is_refused(cluster: StreamCluster, config: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r"adapter|stray|port"):
        await cluster.gateway(config)
