"""The functions of state on every adapter that needs nothing but a Valkey."""

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import pytest

from iii_cluster.config.settings import ModuleEntry, Settings
from iii_cluster.modules.imports import BadConfig
from iii_cluster.modules.load import make
from iii_cluster.protocol.errors import EngineError
from tests.support.state import StateGateway, StateStage
from tests.support.valkey import ValkeyServer

Make = Callable[..., Awaitable[StateGateway]]
ABSENT = ...
NAMES = [
    "plain",
    "",
    "a:b",
    "::",
    "state:a",
    "*",
    "a?[x]\\",
    "\0",
    "a\0b",
    "ünï ☃ 𝄞",
    " ",
    '"quoted"',
    "{tag}",
    "x" * 5000,
]


@pytest.fixture
async def gateway_of(valkey: ValkeyServer) -> AsyncIterator[Make]:
    """Makes a gateway with the given configuration of the module."""
    stages: list[StateStage] = []

    async def gateway(config: dict[str, Any] | None = None, **settings: Any) -> StateGateway:
        stages.append(StateStage(valkey.url, config, Settings(**settings)))
        return await stages[-1].gateway()

    yield gateway
    for stage in stages:
        await stage.close()


@pytest.fixture(params=["redis", "memory", "postgres"])
async def state(request: pytest.FixtureRequest, gateway_of: Make, unique: str) -> StateGateway:
    config = {}
    if request.param == "postgres":
        config = {"url": request.getfixturevalue("postgres").url, "table": unique}
    return await gateway_of({"adapter": {"name": request.param, "config": config}})


async def fails(call: Awaitable[Any]) -> EngineError:
    with pytest.raises(EngineError) as info:
        await call
    return info.value


async def test_the_first_set_has_no_old_value(state: StateGateway) -> None:
    assert await state.set("s", "k", {"a": 1}) == {"old_value": None, "new_value": {"a": 1}}
    assert await state.set("s", "k", [2]) == {"old_value": {"a": 1}, "new_value": [2]}
    assert await state.get("s", "k") == [2]


async def test_a_missing_key_has_no_result(state: StateGateway) -> None:
    assert await state.get("s", "k") is ABSENT
    assert await state.call("delete", scope="s", key="k") is ABSENT


async def test_null_is_a_value(state: StateGateway) -> None:
    assert await state.set("s", "k", None) == {"old_value": None, "new_value": None}
    assert await state.get("s", "k") is None
    assert await state.call("list", scope="s") == [None]
    assert await state.call("delete", scope="s", key="k") is None
    assert await state.get("s", "k") is ABSENT


async def test_delete_answers_the_value_itself(state: StateGateway) -> None:
    await state.set("s", "k", {"a": 1})
    assert await state.call("delete", scope="s", key="k") == {"a": 1}
    assert await state.get("s", "k") is ABSENT


async def test_data_is_another_name_for_value(state: StateGateway) -> None:
    assert await state.call("set", scope="s", key="k", data=5) == {"old_value": None, "new_value": 5}
    assert await state.call("set", scope="s", key="k", data=None) == {"old_value": 5, "new_value": None}


async def test_dotted_names_work_and_are_not_listed(state: StateGateway) -> None:
    assert await state.raw("state.set", b'{"scope":"s","key":"k","value":1}') == b'{"old_value":null,"new_value":1}'
    assert await state.raw("state.get", b'{"scope":"s","key":"k"}') == b"1"
    functions = state.host.functions
    assert {name for name, (_module, function) in functions.items() if not function.hidden} == {
        f"state::{name}" for name in ("set", "get", "delete", "update", "list", "list_groups", "clear")
    }
    assert {name for name in functions if "." in name} == {name.replace("::", ".") for name in functions if ":" in name}


async def test_list_has_every_value_once(state: StateGateway) -> None:
    for number in range(300):
        await state.set("s", f"k{number}", {"n": number})
    assert sorted(value["n"] for value in await state.call("list", scope="s")) == list(range(300))
    assert await state.call("list", scope="other") == []


async def test_groups_are_the_scopes_that_hold_anything_sorted(state: StateGateway) -> None:
    for scope in ("b", "a", "c:d", "c"):
        await state.set(scope, "k", 1)
        await state.set(scope, "l", 1)
    assert await state.call("list_groups") == {"groups": ["a", "b", "c", "c:d"]}
    assert await state.raw("state::list_groups", b"null") == b'{"groups":["a","b","c","c:d"]}'
    await state.call("delete", scope="a", key="k")
    await state.call("clear", scope="b")
    assert await state.call("list_groups") == {"groups": ["a", "c", "c:d"]}
    await state.call("delete", scope="a", key="l")
    assert await state.call("list_groups") == {"groups": ["c", "c:d"]}


async def test_clear_removes_a_whole_scope(state: StateGateway) -> None:
    await asyncio.gather(*(state.set("s", str(number), number) for number in range(700)))
    await state.set("t", "k", 1)
    assert await state.call("clear", scope="s") == {"deleted": 700}
    assert await state.call("list", scope="s") == []
    assert await state.call("clear", scope="s") == {"deleted": 0}
    assert await state.get("t", "k") == 1


@pytest.mark.parametrize("name", NAMES)
async def test_any_name_is_a_scope_and_a_key(state: StateGateway, name: str) -> None:
    await state.set(name, name, name)
    await state.set("other", name, 1)
    await state.set(name, "other", 2)
    assert await state.get(name, name) == name
    assert await state.call("list_groups") == {"groups": sorted({name, "other"})}
    assert await state.call("list", scope=name) in ([2, name], [name, 2])
    await state.update(name, name, {"type": "append", "path": "", "value": "!"})
    assert await state.call("delete", scope=name, key=name) == name + "!"


async def test_update_changes_parts(state: StateGateway) -> None:
    await state.set("s", "k", {"a": 1, "list": [1], "text": "x"})
    ops: list[dict[str, Any]] = [
        {"type": "set", "path": "b", "value": 2},
        {"type": "append", "path": "list", "value": 2},
        {"type": "append", "path": "text", "value": "y"},
    ]
    new = {"a": 1, "list": [1, 2], "text": "xy", "b": 2}
    assert await state.update("s", "k", *ops) == {"old_value": {"a": 1, "list": [1], "text": "x"}, "new_value": new}
    assert await state.get("s", "k") == new


async def test_update_tells_of_errors_only_when_there_are_any(state: StateGateway) -> None:
    answer = await state.update("s", "k", {"type": "increment", "path": "__proto__", "by": 1})
    assert answer["old_value"] is None
    assert answer["new_value"] == {}
    assert [sorted(error) for error in answer["errors"]] == [["code", "doc_url", "message", "op_index"]]
    assert await state.get("s", "k") == {}
    assert await state.update("s", "k") == {"old_value": {}, "new_value": {}}


async def test_empty_arrays_and_big_numbers_survive_updates(state: StateGateway) -> None:
    stored = '{"a":[],"n":9007199254740993,"u":18446744073709551615,"o":{"e":[]}}'
    await state.raw("state::set", b'{"scope":"s","key":"k","value":%s}' % stored.encode())
    await state.update("s", "k", {"type": "increment", "path": "n", "by": 1})
    assert await state.raw("state::get", b'{"scope":"s","key":"k"}') == stored.replace("0993", "0994").encode()


async def test_500_concurrent_updates_of_one_key_lose_nothing(state: StateGateway) -> None:
    ops = [{"type": "increment", "path": "n", "by": 1}, {"type": "append", "path": "list", "value": 0}]
    answers = await asyncio.gather(*(state.update("s", "k", *ops) for _ in range(500)))
    assert sorted(answer["new_value"]["n"] for answer in answers) == list(range(1, 501))
    assert await state.get("s", "k") == {"n": 500, "list": [0] * 500}


async def test_values_are_kept_as_they_were_written_but_for_whitespace(state: StateGateway) -> None:
    written = rb'{ "b" : 1.10, "a":[ 1e2 , -0.0, "\u00e9 \" { " ],"big":123456789012345678901234567890 }'
    await state.raw("state::set", b'{"scope":"s","key":"k","value": %s }' % written)
    kept = rb'{"b":1.10,"a":[1e2,-0.0,"\u00e9 \" { "],"big":123456789012345678901234567890}'
    assert await state.raw("state::get", b'{"scope":"s","key":"k"}') == kept
    assert await state.raw("state::list", b'{"scope":"s"}') == b"[" + kept + b"]"


@pytest.mark.parametrize(
    ("function", "data", "field"),
    [
        ("set", b'{"scope":"s","key":"k"}', "value"),
        ("set", b'{"scope":"s","value":1}', "key"),
        ("set", b'{"scope":1,"key":"k","value":1}', "scope"),
        ("set", b'{"scope":"s","key":null,"value":1}', "key"),
        ("set", b"[]", "object"),
        ("set", b"null", "object"),
        ("get", b'{"scope":"s"}', "key"),
        ("delete", b'{"key":"k"}', "scope"),
        ("update", b'{"scope":"s","key":"k"}', "ops"),
        ("update", b'{"scope":"s","key":"k","ops":{}}', "ops"),
        ("update", b'{"scope":"s","key":"k","ops":[{"type":"increment","path":"n"}]}', "by"),
        ("update", b'{"scope":"s","key":"k","ops":[{"type":"multiply","path":"n","by":2}]}', "multiply"),
        ("list", b"{}", "scope"),
        ("clear", b"{}", "scope"),
        ("set", b'{"scope":"s","key":"k","value":1e999}', "value"),
        ("set", b'{"scope":"s","key":"k","value":[{"a":-1.5E+400}]}', "value"),
        ("set", b'{"scope":"s","key":"k","value":1%s.5}' % (b"0" * 400), "value"),
        ("set", b'{"scope":"s","key":"k","value":NaN}', "malformed"),
        ("set", b'{"scope":"s","key":"\\ud800","value":1}', "state::set"),
    ],
)
async def test_bad_input_names_the_function_and_the_field(
    state: StateGateway, function: str, data: bytes, field: str
) -> None:
    error = await fails(state.raw(f"state::{function}", data))
    assert error.code == "deserialization_error"
    assert f"state::{function}" in error.message
    assert field in error.message
    assert await state.call("list_groups") == {"groups": []}


@pytest.mark.parametrize("value", ["1e99", "1e-400", "0e999", '"1e999"', '"e0001"', "1" * 300, '"' + "1" * 300 + '"'])
async def test_numbers_that_can_be_held_are_taken_however_they_look(state: StateGateway, value: str) -> None:
    await state.raw("state::set", b'{"scope":"s","key":"k","value":%s}' % value.encode())
    assert await state.raw("state::get", b'{"scope":"s","key":"k"}') == value.encode()


async def test_names_have_a_limit(state: StateGateway) -> None:
    long = "x" * 70_000
    for code, call in [
        ("SET_ERROR", state.set(long, "k", 1)),
        ("SET_ERROR", state.set("s", long, 1)),
        ("UPDATE_ERROR", state.update("s", long)),
        ("DELETE_ERROR", state.call("delete", scope=long, key="k")),
    ]:
        assert (await fails(call)).code == code
    assert await state.get(long, "k") is ABSENT


async def test_max_value_bytes_counts_compact_json(gateway_of: Make) -> None:
    state = await gateway_of({"max_value_bytes": 10})
    await state.raw("state::set", b'{"scope":"s","key":"k","value":   [1,  2, 3,  4]}')
    error = await fails(state.set("s", "k", "123456789"))
    assert (error.code, "11" in error.message) == ("VALUE_TOO_LARGE", True)
    assert await state.get("s", "k") == [1, 2, 3, 4]
    await state.update("s", "k", {"type": "append", "value": "much longer"})
    assert await state.get("s", "k") == [1, 2, 3, 4, "much longer"]


async def test_a_list_that_is_too_large_is_an_error(gateway_of: Make) -> None:
    state = await gateway_of(max_message_bytes=100_000)
    await asyncio.gather(*(state.set("s", str(number), "x" * 90) for number in range(1000)))
    assert len(await state.call("list", scope="s")) == 1000
    await asyncio.gather(*(state.set("s", str(number), "x" * 90) for number in range(1000, 1200)))
    error = await fails(state.call("list", scope="s"))
    assert (error.code, "100000" in error.message) == ("LIST_ERROR", True)


async def test_an_updated_value_that_is_too_large_is_an_error(gateway_of: Make) -> None:
    state = await gateway_of(max_message_bytes=1000)
    await state.set("s", "k", "x" * 900)
    error = await fails(state.update("s", "k", {"type": "append", "value": "y" * 200}))
    assert error.code == "UPDATE_ERROR"
    assert await state.get("s", "k") == "x" * 900


async def test_a_million_elements_can_be_listed(valkey: ValkeyServer, gateway_of: Make) -> None:
    state = await gateway_of()
    script = "for i = ARGV[1] + 1, ARGV[1] + 20000 do redis.call('HSET', KEYS[1], 'key-' .. i, i) end"
    for first in range(0, 1_000_000, 20_000):
        valkey.execute("EVAL", script, 1, "{iii}:state:s", first)
    turns = 0

    async def count() -> None:
        nonlocal turns
        while True:
            turns += 1
            await asyncio.sleep(0)

    others = asyncio.ensure_future(count())
    values = await state.raw("state::list", b'{"scope":"s"}')
    others.cancel()
    assert sorted(json.loads(values or b"")) == list(range(1, 1_000_001))
    assert turns > 100  # others had their turn meanwhile


async def test_a_value_with_a_million_elements(state: StateGateway) -> None:
    await state.set("s", "k", [0] * 1_000_000)
    await state.update("s", "k", {"type": "append", "value": 1})
    assert len(await state.get("s", "k")) == 1_000_001


async def test_updates_from_several_gateways_lose_nothing(valkey: ValkeyServer) -> None:
    stage = StateStage(valkey.url)
    gateways = [await stage.gateway() for _ in range(3)]
    increment = {"type": "increment", "path": "n", "by": 1}
    name = {"type": "append", "path": "names", "value": "x"}
    await asyncio.gather(
        *(gateway.update("s", "k", increment) for _ in range(200) for gateway in gateways),
        *(gateway.update("s", "k", name) for _ in range(50) for gateway in gateways),
    )
    assert await gateways[0].get("s", "k") == {"n": 600, "names": "x" * 150}
    await stage.close()


async def test_errors_of_the_store_have_the_function_s_code(valkey: ValkeyServer, gateway_of: Make) -> None:
    state = await gateway_of()
    valkey.execute("SET", "{iii}:state:s", "no hash")
    valkey.execute("SET", "{iii}:state-scopes", "no set")
    increment = {"type": "increment", "path": "n", "by": 1}
    for code, call in [
        ("SET_ERROR", state.set("s", "k", 1)),
        ("GET_ERROR", state.get("s", "k")),
        ("DELETE_ERROR", state.call("delete", scope="s", key="k")),
        ("UPDATE_ERROR", state.update("s", "k", increment)),
        ("LIST_ERROR", state.call("list", scope="s")),
        ("LIST_GROUPS_ERROR", state.call("list_groups")),
        ("DELETE_ERROR", state.call("clear", scope="s")),
    ]:
        error = await fails(call)
        assert (error.code, "WRONGTYPE" in error.message) == (code, True)


async def test_a_stored_value_that_is_no_json_cannot_be_updated(valkey: ValkeyServer, gateway_of: Make) -> None:
    state = await gateway_of()
    valkey.execute("HSET", "{iii}:state:s", "k", "{oops")
    error = await fails(state.update("s", "k", {"type": "increment", "path": "n", "by": 1}))
    assert error.code == "UPDATE_ERROR"


async def test_data_of_a_reference_engine_goes_on_living(valkey: ValkeyServer, gateway_of: Make) -> None:
    valkey.execute("HSET", "state:a:b*", "k", '{"n":1}')
    valkey.execute("HSET", "state:c", "k", "2")
    valkey.execute("SET", "state:no-hash", "x")
    state = await gateway_of({"adapter": {"name": "redis", "config": {"redis_url": valkey.url, "key_prefix": ""}}})
    assert await state.get("a:b*", "k") == {"n": 1}
    assert await state.call("list_groups") == {"groups": ["a:b*", "c"]}
    await state.set("c", "k", 3)
    assert valkey.execute("HGET", "state:c", "k") == "3"


async def test_kv_of_older_files_means_redis(
    valkey: ValkeyServer, gateway_of: Make, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    config = {"store_method": "file_based", "file_path": "./data", "save_interval_ms": 1000}
    for choice in ({"class": "modules::state::adapters::KvStore", "config": config}, {"name": "kv"}):
        state = await gateway_of({"adapter": choice})
        await state.set("s", "k", 1)
        assert valkey.execute("HGET", "{iii}:state:s", "k") == "1"
    assert "action=adapter_replaced module=iii-state adapter=kv by=redis" in caplog.text


@pytest.mark.parametrize(
    ("config", "named"),
    [
        ({"max_value_bytes": 0}, "max_value_bytes"),
        ({"triggers_enabled": "yes"}, "triggers_enabled"),
        ({"stray": 1}, "stray"),
        ({"adapter": {"name": "floppy"}}, "floppy"),
        ({"adapter": {"name": "redis", "config": {"url": "x"}}}, "url"),
        ({"adapter": {"name": "memory", "config": {"size": 1}}}, "size"),
    ],
)
def test_configuration_that_makes_no_sense_is_refused(config: dict[str, Any], named: str) -> None:
    with pytest.raises(BadConfig, match=named):
        make(ModuleEntry("iii-state", config))


async def test_an_outage_ends_in_the_function_s_code(valkey: ValkeyServer, gateway_of: Make) -> None:
    state = await gateway_of()
    state.engine.commands._patience = 0.2
    await state.set("s", "k", 1)
    valkey.kill()
    assert (await fails(state.get("s", "k"))).code == "GET_ERROR"
    assert (await fails(state.set("s", "k", 2))).code == "SET_ERROR"
    assert (await fails(state.update("s", "k"))).code == "UPDATE_ERROR"
