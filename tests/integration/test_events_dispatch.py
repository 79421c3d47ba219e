"""State events, from the write to the handlers, over real outboxes."""

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import pytest

from iii_cluster.bus.envelopes import Trigger
from iii_cluster.config.settings import Settings
from iii_cluster.modules.events import delivery, dispatcher, outbox, reader, scripts
from iii_cluster.modules.state.triggers import check
from iii_cluster.protocol.errors import EngineError
from tests.support.engine import FakeCluster, FakeEngine
from tests.support.eventually import eventually
from tests.support.state import StateStage, trigger
from tests.support.valkey import ValkeyServer


@pytest.fixture(params=["redis", "memory"])
def config(request: pytest.FixtureRequest) -> dict[str, Any]:
    return {"adapter": {"name": request.param}}


@pytest.fixture
async def stage(valkey: ValkeyServer) -> AsyncIterator[StateStage]:
    stage = StateStage(valkey.url)
    yield stage
    await stage.close()


@pytest.fixture
async def stage_of(valkey: ValkeyServer, config: dict[str, Any]) -> AsyncIterator[StateStage]:
    """On each adapter."""
    stage = StateStage(valkey.url, config)
    yield stage
    await stage.close()


class Handler:
    """Keeps what it is called with; holds calls while it is told to."""

    def __init__(self, cluster: FakeCluster, function: str, namespace: str = "default") -> None:
        self.events: list[dict[str, Any]] = []
        self.running = 0
        self.most = 0
        self.free = asyncio.Event()
        self.free.set()
        cluster.register(function, self, namespace)

    async def __call__(self, event: dict[str, Any]) -> None:
        self.events.append(event)
        self.running += 1
        self.most = max(self.most, self.running)
        try:
            await self.free.wait()
        finally:
            self.running -= 1

    @property
    def values(self) -> list[Any]:
        return [event["new_value"] for event in self.events]

    async def got(self, count: int) -> list[dict[str, Any]]:
        await eventually(lambda: len(self.events) >= count)
        return self.events


async def drained(valkey: ValkeyServer) -> None:
    """Returns when no event waits."""

    def empty() -> bool:
        keys = valkey.execute("KEYS", "{iii}:events:*")
        return all(valkey.execute("XLEN", key) == 0 for key in keys)

    await eventually(empty)


async def test_every_kind_of_write_is_told_in_order(stage_of: StateStage) -> None:
    await stage_of.shard()
    state = await stage_of.gateway()
    handler = Handler(stage_of.cluster, "f")
    stage_of.cluster.put(trigger("t", "f"))
    await state.set("s", "k", {"a": 1})
    await state.set("s", "k", {"a": 1})
    await state.update("s", "k", {"type": "increment", "path": "a", "by": 1})
    await state.update("s", "k", {"type": "remove", "path": ""})
    await state.call("delete", scope="s", key="k")
    await state.call("delete", scope="s", key="k")
    await state.update("s", "k")
    await state.call("clear", scope="s")
    events = await handler.got(8)
    assert [list(event) for event in events] == [["type", "event_type", "scope", "key", "old_value", "new_value"]] * 8
    assert [(event["event_type"], event["old_value"], event["new_value"]) for event in events] == [
        ("state:created", None, {"a": 1}),
        ("state:updated", {"a": 1}, {"a": 1}),
        ("state:updated", {"a": 1}, {"a": 2}),
        ("state:updated", {"a": 2}, None),
        ("state:deleted", None, None),
        ("state:deleted", None, None),
        ("state:created", None, {}),
        ("state:deleted", {}, None),
    ]
    assert {(event["type"], event["scope"], event["key"]) for event in events} == {("state", "s", "k")}


async def test_concurrent_updates_are_told_one_by_one(stage_of: StateStage) -> None:
    await stage_of.shard()
    state = await stage_of.gateway()
    handler = Handler(stage_of.cluster, "f")
    stage_of.cluster.put(trigger("t", "f"))
    increment = {"type": "increment", "path": "", "by": 1}
    await asyncio.gather(*(state.update("s", "k", increment) for _ in range(200)))
    await handler.got(200)
    assert handler.values == list(range(1, 201))
    assert [event["old_value"] for event in handler.events] == [None, *range(1, 200)]


async def test_reads_and_refused_writes_are_not_told(stage: StateStage) -> None:
    await stage.shard()
    state = await stage.gateway()
    handler = Handler(stage.cluster, "f")
    stage.cluster.put(trigger("t", "f"))
    await state.get("s", "k")
    await state.call("list", scope="s")
    with pytest.raises(EngineError):
        await state.raw("state::set", b'{"scope":"s","key":"k"}')
    await state.set("s", "k", 1)
    await handler.got(1)
    assert handler.values == [1]


async def test_filters_are_exact(stage: StateStage, valkey: ValkeyServer) -> None:
    await stage.shard()
    state = await stage.gateway()
    handlers = {name: Handler(stage.cluster, name) for name in ("all", "scope", "key", "both", "glob")}
    stage.cluster.put(
        trigger("1", "all"),
        trigger("2", "scope", scope="s", metadata={"step": "x"}),
        trigger("3", "key", key="k"),
        trigger("4", "both", scope="s", key="k"),
        trigger("5", "glob", scope="s*", key="*"),
    )
    for scope in ("s", "t"):
        for key in ("k", "l"):
            await state.set(scope, key, scope + key)
    await drained(valkey)
    assert {name: sorted(handler.values) for name, handler in handlers.items()} == {
        "all": ["sk", "sl", "tk", "tl"],
        "scope": ["sk", "sl"],
        "key": ["sk", "tk"],
        "both": ["sk"],
        "glob": [],
    }


async def test_without_a_trigger_nothing_is_appended(stage: StateStage, valkey: ValkeyServer) -> None:
    state = await stage.gateway()
    Handler(stage.cluster, "f")
    stage.cluster.put(trigger("t", "f", scope="other"))
    await state.set("s", "k", 1)
    assert valkey.execute("KEYS", "{iii}:events:*") == []


async def test_triggers_can_be_switched_off(valkey: ValkeyServer) -> None:
    stage = StateStage(valkey.url, {"triggers_enabled": False})
    state = await stage.gateway()
    stage.cluster.put(trigger("t", "f"))
    await state.set("s", "k", 1)
    await state.update("s", "k")
    await state.call("delete", scope="s", key="k")
    assert valkey.execute("KEYS", "{iii}:events:*") == []
    await stage.close()


async def test_the_writer_does_not_wait_for_handlers(stage: StateStage) -> None:
    await stage.shard()
    state = await stage.gateway()
    handler = Handler(stage.cluster, "f")
    handler.free.clear()
    stage.cluster.put(trigger("t", "f"))
    for number in range(10):
        await state.set("s", "k", number)
    await handler.got(1)
    assert await state.get("s", "k") == 9
    assert handler.values == [0]
    handler.free.set()
    await handler.got(10)
    assert handler.values == list(range(10))
    assert handler.most == 1


async def test_a_stuck_handler_delays_only_its_key(stage: StateStage, valkey: ValkeyServer) -> None:
    await stage.shard()
    state = await stage.gateway()
    stuck, other = Handler(stage.cluster, "stuck"), Handler(stage.cluster, "other")
    stuck.free.clear()
    stage.cluster.put(trigger("1", "stuck", key="stuck"), trigger("2", "other", scope="s"))
    keys = [f"k{number}" for number in range(1000)]  # some of them share an outbox, none a lane, with the stuck one
    await asyncio.gather(*(state.set("s", key, key) for key in ["stuck", "stuck", *keys]))
    await other.got(1000)
    assert set(keys) <= set(other.values)
    assert stuck.values == ["stuck"]
    stuck.free.set()
    await drained(valkey)
    assert stuck.values == ["stuck"] * 2


async def test_triggers_of_one_event_run_one_after_the_other_whatever_happens(stage: StateStage) -> None:
    await stage.shard()
    state = await stage.gateway()
    order: list[str] = []
    running = 0

    def handler(name: str) -> Callable[[Any], Awaitable[None]]:
        async def handle(event: Any) -> None:
            nonlocal running
            assert running == 0
            running += 1
            await asyncio.sleep(0.01)
            running -= 1
            order.append(name)
            if name == "b":
                raise EngineError("broken", "as always")

        return handle

    for name in "abc":
        stage.cluster.register(name, handler(name))
    stage.cluster.put(*(trigger(name, name) for name in ("a", "b", "missing", "c")))
    await state.set("s", "k", 1)
    await eventually(lambda: len(order) == 3)
    assert sorted(order) == ["a", "b", "c"]


@pytest.mark.parametrize(
    ("answer", "runs"),
    [
        (True, True),
        (False, False),
        (None, True),
        (0, True),
        ("", True),
        ({}, True),
        (EngineError("x", "broken"), False),
    ],
)
@pytest.mark.parametrize("name", ["condition_function_id", "_condition_path"])
async def test_conditions(stage: StateStage, answer: Any, runs: bool, name: str) -> None:
    await stage.shard()
    state = await stage.gateway()
    handler, last = Handler(stage.cluster, "f"), Handler(stage.cluster, "last")
    asked: list[Any] = []

    def condition(event: Any) -> Any:
        asked.append(event)
        if isinstance(answer, EngineError):
            raise answer
        return answer

    stage.cluster.register("c", condition)
    stage.cluster.put(trigger("1", "f", **{name: "c"}), trigger("2", "last"))
    await state.set("s", "k", 1)
    await last.got(1)
    assert asked == last.events
    assert handler.events == (last.events if runs else [])


async def test_a_missing_condition_skips_its_trigger_only(stage: StateStage) -> None:
    await stage.shard()
    state = await stage.gateway()
    handler, last = Handler(stage.cluster, "f"), Handler(stage.cluster, "last")
    stage.cluster.put(trigger("1", "f", condition_function_id="nowhere"), trigger("2", "last"))
    await state.set("s", "k", 1)
    await last.got(1)
    assert handler.events == []


async def test_target_and_condition_are_looked_up_in_the_trigger_s_namespace(stage: StateStage) -> None:
    await stage.shard()
    state = await stage.gateway()
    there, default = Handler(stage.cluster, "f", "blue"), Handler(stage.cluster, "f")
    asked = Handler(stage.cluster, "c", "blue")
    stage.cluster.put(Trigger("t", "state", "f", b'{"condition_function_id":"c"}', b'{"team":7}', "blue"))
    await state.set("s", "k", 1)
    await there.got(1)
    assert (len(asked.events), default.events) == (1, [])
    metadata = {call.function: call.metadata for call in stage.cluster.calls}
    assert metadata == {"c": b"", "f": b'{"team":7}'}


async def test_a_handler_that_never_answers_is_given_up(valkey: ValkeyServer) -> None:
    stage = StateStage(valkey.url, settings=Settings(handler_timeout=0.05))
    await stage.shard()
    state = await stage.gateway()
    stuck, last = Handler(stage.cluster, "stuck"), Handler(stage.cluster, "last")
    stuck.free.clear()
    stage.cluster.put(trigger("1", "stuck"), trigger("2", "last"))
    await state.set("s", "k", 1)
    await state.set("s", "k", 2)
    await last.got(2)
    assert last.values == [1, 2]
    stuck.free.set()
    await stage.close()


async def test_an_event_too_large_for_a_frame_is_left_out(valkey: ValkeyServer) -> None:
    stage = StateStage(valkey.url, settings=Settings(max_message_bytes=1000))
    await stage.shard()
    state = await stage.gateway()
    handler = Handler(stage.cluster, "f")
    stage.cluster.put(trigger("t", "f"))
    await state.set("s", "k", "x" * 990)
    await state.set("s", "k", 1)
    await state.set("s", "k", 2)
    await drained(valkey)
    assert handler.values == [2]
    await stage.close()


async def test_who_registers_a_trigger_may_write_at_once(stage: StateStage) -> None:
    await stage.shard()
    state = await stage.gateway()
    handler = Handler(stage.cluster, "f")
    type = state.host.types["state"]
    new = trigger("t", "f")
    assert type.registered is not None
    type.registered(new)  # the gateway knows it; everybody else is about to
    await state.set("s", "k", 1)
    stage.cluster.put(new)
    await handler.got(1)
    assert type.unregistered is not None
    stage.cluster.drop("t")
    type.unregistered(new)
    await state.set("s", "k", 2)
    assert handler.values == [1]


async def test_a_trigger_that_vanished_is_not_waited_for_twice(
    stage: StateStage, valkey: ValkeyServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(delivery, "TRIGGER_PATIENCE", 0.1)
    state = await stage.gateway()
    handler = Handler(stage.cluster, "f")
    stage.cluster.put(trigger("gone", "f"), trigger("stays", "f"))
    for number in range(100):
        await state.set("s", "k", number)
    stage.cluster.drop("gone")
    await stage.shard()
    await drained(valkey)
    assert handler.values == list(range(100))


async def test_writers_that_do_not_know_the_triggers_yet_lose_nothing(stage: StateStage, valkey: ValkeyServer) -> None:
    stage.cluster.triggers_known.clear()
    await stage.shard()
    state = await stage.gateway()
    handler = Handler(stage.cluster, "f")
    stage.cluster.put(trigger("t", "f", scope="s"))
    await state.set("s", "k", 1)
    await state.set("t", "k", 2)
    stage.cluster.triggers_known.set()
    stage.cluster.put(trigger("u", "f", scope="u"))
    await drained(valkey)
    assert handler.values == [1]


async def test_more_triggers_than_an_event_names_all_fire(stage: StateStage, valkey: ValkeyServer) -> None:
    await stage.shard()
    state = await stage.gateway()
    handler = Handler(stage.cluster, "f")
    stage.cluster.put(*(trigger(f"t{number}", "f") for number in range(50)), trigger("other", "f", scope="x"))
    await state.set("s", "k", 1)
    await drained(valkey)
    assert handler.values == [1] * 50


async def test_names_with_anything_in_them_are_told_as_they_are(stage: StateStage, valkey: ValkeyServer) -> None:
    await stage.shard()
    state = await stage.gateway()
    handler = Handler(stage.cluster, "f")
    names = ["", "a:b", "*", "\0", "☃ 𝄞", '"quoted"\\', "\n%s"]
    stage.cluster.put(*(trigger(str(at), "f", scope=name, key=name) for at, name in enumerate(names)))
    for name in names:
        await state.set(name, name, name)
    await drained(valkey)
    assert sorted(event["scope"] for event in handler.events) == sorted(names)
    assert all(event["scope"] == event["key"] == event["new_value"] for event in handler.events)


async def test_a_lost_wake_up_delays_and_loses_nothing(stage: StateStage, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dispatcher, "POLL_INTERVAL", 0.05)
    await stage.shard()
    state = await stage.gateway()
    handler = Handler(stage.cluster, "f")
    stage.cluster.put(trigger("t", "f"))
    monkeypatch.setattr(stage.cluster, "nudge", lambda key: None)
    await state.set("s", "k", 1)
    await handler.got(1)
    await state.set("s", "k", 2)
    await handler.got(2)


async def test_more_events_than_fit_into_memory_are_read_later(
    stage: StateStage, valkey: ValkeyServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reader, "MAX_WAITING", 50)
    monkeypatch.setattr(reader, "MAX_WAITING_BYTES", 500)
    await stage.shard()
    state = await stage.gateway()
    handler = Handler(stage.cluster, "f")
    handler.free.clear()
    stage.cluster.put(trigger("t", "f"))
    for number in range(1000):
        await state.set("s", "k", number)
    handler.free.set()
    await drained(valkey)
    assert handler.values == list(range(1000))


async def test_large_events_are_read_a_few_at_a_time(stage: StateStage, valkey: ValkeyServer) -> None:
    state = await stage.gateway()
    handler = Handler(stage.cluster, "f")
    stage.cluster.put(trigger("t", "f"))
    for number in range(12):
        await state.set("s", "k", [number, "x" * 2**20])
    await stage.shard()
    await drained(valkey)
    assert [value[0] for value in handler.values] == list(range(12))


async def test_a_full_outbox_takes_no_more_events_but_all_writes(stage: StateStage, valkey: ValkeyServer) -> None:
    state = await stage.gateway()
    stage.cluster.put(trigger("t", "f"))
    await state.set("s", "k", 0)
    (stream,) = valkey.execute("KEYS", "{iii}:events:*")
    script = f"for i = 1, {outbox.FULL} do redis.call('XADD', KEYS[1], '*', 'k', '1', 't', '[]', 'e', '{{}}') end"
    valkey.execute("EVAL", script, 1, stream)
    before = valkey.execute("XLEN", stream)
    await state.set("s", "k", 1)
    assert await state.get("s", "k") == 1
    assert valkey.execute("XLEN", stream) == before
    valkey.execute("XTRIM", stream, "MAXLEN", outbox.FULL - 1)
    await state.set("s", "k", 2)
    assert valkey.execute("XLEN", stream) == outbox.FULL


# Owners that come and go


async def test_what_was_written_while_nobody_owned_the_outbox_is_dispatched(
    stage: StateStage, valkey: ValkeyServer
) -> None:
    state = await stage.gateway()
    handler = Handler(stage.cluster, "f")
    stage.cluster.put(trigger("t", "f"))
    for number in range(20):
        await state.set("s", "k", number)
    shard = await stage.shard(owner=False)
    shard.ownership.give(range(1024), 5)
    await drained(valkey)
    assert handler.values == list(range(20))


async def test_a_new_owner_takes_over_what_runs_and_goes_on_with_the_rest(
    stage: StateStage, valkey: ValkeyServer
) -> None:
    old = await stage.shard()
    state = await stage.gateway()
    handler, second = Handler(stage.cluster, "f"), Handler(stage.cluster, "g")
    handler.free.clear()
    stage.cluster.put(trigger("1", "f"), trigger("2", "g"))
    for number in range(3):
        await state.set("s", "k", number)
    await handler.got(1)
    new = await stage.shard(owner=False)
    old.ownership.take_away()
    new.ownership.give(range(1024), 2)
    await eventually(lambda: valkey.execute("HGETALL", "{iii}:events-fences").get(stage.cluster.nudges[0]) == "2")
    handler.free.set()
    await drained(valkey)
    assert handler.values == [0, 1, 2]
    assert second.values == [0, 1, 2]


async def test_what_ended_before_the_take_over_is_not_repeated(stage: StateStage, valkey: ValkeyServer) -> None:
    old = await stage.shard()
    state = await stage.gateway()
    handler, second = Handler(stage.cluster, "f"), Handler(stage.cluster, "g")
    second.free.clear()
    stage.cluster.put(trigger("1", "f"), trigger("2", "g"))
    await state.set("s", "k", 1)
    await second.got(1)
    old.ownership.take_away()
    second.free.set()
    await eventually(lambda: not second.running)
    new = await stage.shard(owner=False)
    new.ownership.give(range(1024), 2)
    await drained(valkey)
    assert handler.values == [1]
    assert second.values == [1]


@pytest.mark.parametrize("where", [(FakeEngine, "adopt"), (scripts.Scripts, "read"), (scripts.Scripts, "done")])
async def test_whatever_goes_wrong_once_an_outbox_is_read_on(
    stage: StateStage, valkey: ValkeyServer, monkeypatch: pytest.MonkeyPatch, where: tuple[Any, str]
) -> None:
    state = await stage.gateway()
    handler = Handler(stage.cluster, "f")
    stage.cluster.put(trigger("t", "f"))
    for value in (1, 2):
        await state.set("s", "k", value)
    works = getattr(*where)

    async def fails(*_arguments: Any) -> Any:
        monkeypatch.setattr(*where, works)
        raise RuntimeError

    monkeypatch.setattr(*where, fails)
    await stage.shard()
    await handler.got(2)
    await drained(valkey)
    assert getattr(*where) is works
    assert handler.values == [1, 2]


async def test_a_node_that_was_fenced_goes_on_where_it_was(stage: StateStage, valkey: ValkeyServer) -> None:
    shard = await stage.shard()
    state = await stage.gateway()
    handler = Handler(stage.cluster, "f")
    handler.free.clear()
    stage.cluster.put(trigger("t", "f"))
    for number in range(3):
        await state.set("s", "k", number)
    await handler.got(1)
    shard.ownership.fence()
    shard.ownership.fence(False)
    handler.free.set()
    await drained(valkey)
    assert handler.values == [0, 1, 2]


async def test_a_former_owner_that_does_not_know_it_begins_nothing(stage: StateStage, valkey: ValkeyServer) -> None:
    await stage.shard()  # goes on believing that it owns all slots
    state = await stage.gateway()
    handler = Handler(stage.cluster, "f")
    handler.free.clear()
    stage.cluster.put(trigger("t", "f"))
    for number in range(30):
        await state.set("s", "k", number)
    await handler.got(1)
    new = await stage.shard(owner=False)
    new.ownership.give(range(1024), 2)
    await eventually(lambda: valkey.execute("HGETALL", "{iii}:events-fences").get(stage.cluster.nudges[0]) == "2")
    handler.free.set()
    for number in range(30, 60):
        await state.set("s", "k", number)
    await drained(valkey)
    assert handler.values == list(range(60))
    assert handler.most == 1


async def test_gateways_that_do_not_answer_do_not_stop_everything(
    stage: StateStage, valkey: ValkeyServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reader, "ADOPT_DELAY", 0.01)
    stage.cluster.forgotten_deliveries = True
    state = await stage.gateway()
    handler = Handler(stage.cluster, "f")
    stage.cluster.put(trigger("t", "f"))
    await state.set("s", "k", 1)
    await stage.shard()
    await drained(valkey)
    assert handler.values == [1]


async def test_owners_that_change_all_the_time_lose_and_repeat_nothing(stage: StateStage, valkey: ValkeyServer) -> None:
    shards = [await stage.shard(owner=False) for _ in range(3)]
    gateways = [await stage.gateway() for _ in range(2)]
    handler = Handler(stage.cluster, "f")
    stage.cluster.put(trigger("t", "f"))
    done = asyncio.Event()

    async def change_owners() -> None:
        token = 1
        while not done.is_set():
            token += 1
            for shard in shards:
                shard.ownership.take_away()
            shards[token % 3].ownership.give(range(1024), token)
            await asyncio.sleep(0.01)

    changing = asyncio.ensure_future(change_owners())
    increment = {"type": "increment", "path": "", "by": 1}
    for _ in range(40):
        await asyncio.gather(*(gateway.update("s", key, increment) for gateway in gateways for key in "abcdef"))
    await drained(valkey)
    done.set()
    await changing
    for key in "abcdef":
        values = [event["new_value"] for event in handler.events if event["key"] == key]
        assert values == list(range(1, 81))


async def test_events_wait_for_a_redis_that_is_away(stage: StateStage, valkey: ValkeyServer) -> None:
    shard = await stage.shard()
    state = await stage.gateway()
    handler = Handler(stage.cluster, "f")
    handler.free.clear()
    stage.cluster.put(trigger("t", "f"))
    await state.set("s", "k", 1)
    await state.set("s", "k", 2)
    await handler.got(1)
    shard.commands._patience = 0.05
    valkey.execute("CLIENT", "PAUSE", 1000, "WRITE")
    handler.free.set()
    await drained(valkey)
    assert handler.values == [1, 2]


async def test_a_redis_that_lost_its_memory_is_used_again(stage: StateStage, valkey: ValkeyServer) -> None:
    await stage.shard()
    state = await stage.gateway()
    handler = Handler(stage.cluster, "f")
    stage.cluster.put(trigger("t", "f"))
    await state.set("s", "k", 1)
    await handler.got(1)
    valkey.restart()
    assert await state.get("s", "k") is ...
    await state.set("s", "k", 2)
    await handler.got(2)
    assert [event["event_type"] for event in handler.events] == ["state:created", "state:created"]


def test_triggers_with_a_config_that_says_nothing_sensible_are_refused() -> None:
    for config in (
        b"null",
        b"1",
        b'"s"',
        b"[]",
        b'{"scope":1}',
        b'{"key":[]}',
        b'{"condition_function_id":7}',
        b"{oops",
    ):
        with pytest.raises(EngineError, match="could not be parsed") as info:
            check(Trigger("t", "state", "f", config))
        assert info.value.code == "trigger_registration_failed"
    for good in ({}, {"scope": None, "key": "k"}, {"anything": 1, "metadata": {}, "condition_function_id": "c"}):
        check(Trigger("t", "state", "f", json.dumps(good).encode()))
