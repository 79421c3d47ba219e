"""The cluster that tests of modules run in."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest

from iii_cluster.bus.envelopes import Trigger
from iii_cluster.cluster.map import Role
from iii_cluster.modules.calling import HandlerError, call
from iii_cluster.modules.engine import Engine
from iii_cluster.protocol.errors import EngineError
from tests.support.engine import FakeCluster
from tests.support.eventually import eventually
from tests.support.valkey import ValkeyServer


@pytest.fixture
async def cluster() -> AsyncIterator[FakeCluster]:
    cluster = FakeCluster()
    yield cluster
    await cluster.close()


async def test_functions_are_called_with_json(cluster: FakeCluster) -> None:
    engine: Engine = cluster.node()
    cluster.register("double", lambda value: value * 2)
    assert await call(engine, "double", b"21", metadata=b'"m"') == b"42"
    assert cluster.called("double") == [21]
    assert cluster.calls[0].metadata == b'"m"'


async def test_errors_and_unknown_functions_are_told(cluster: FakeCluster) -> None:
    engine = cluster.node()

    async def refuse(_data: Any) -> None:
        raise EngineError("NO", "not today")

    cluster.register("refuse", refuse)
    with pytest.raises(HandlerError, match="NO: not today"):
        await call(engine, "refuse", b"1")
    with pytest.raises(HandlerError, match="function_not_found"):
        await call(engine, "missing", b"1")


async def test_a_named_delivery_happens_once_and_can_be_adopted(cluster: FakeCluster) -> None:
    first, second = cluster.node(), cluster.node()
    go = asyncio.Event()

    async def slow(_data: Any) -> None:
        await go.wait()

    cluster.register("slow", slow)
    first.invoke("slow", b"1", once="job-1").forget()
    ended: list[tuple[str, bytes]] = []
    adopted = await second.adopt(["job-1", "job-2"], lambda name, error: ended.append((name, error)))
    assert (set(adopted.serving), adopted.ended, adopted.complete) == ({"job-1"}, {}, True)
    go.set()
    await eventually(lambda: ended == [("job-1", b"")])
    await call(second, "slow", b"1", once="job-1")
    assert cluster.called("slow") == [1]


async def test_triggers_are_told_of_and_nudges_reach_the_owner(cluster: FakeCluster) -> None:
    shard, other, gateway = cluster.node(), cluster.node(), cluster.node(role=Role.GATEWAY)
    other.ownership.take_away()
    woken: list[str] = []
    shard.on_nudge("queue", woken.append)
    other.on_nudge("queue", lambda _: pytest.fail("not its slot"))
    changes: list[int] = []
    watched = shard.watch("queue", lambda: changes.append(len(watched.all())))
    cluster.put(Trigger("t", "queue", "f"))
    gateway.nudge("queue:orders")
    await eventually(lambda: changes == [1] and woken == ["queue:orders"])


async def test_slots_come_and_go_under_tokens(cluster: FakeCluster) -> None:
    ownership = cluster.node().ownership
    tokens: list[int] = []
    ownership.subscribe(lambda: tokens.append(ownership.token("queue:orders")))
    ownership.take_away()
    ownership.give(range(1024), 7)
    ownership.fence()
    ownership.fence(False)
    assert tokens == [0, 7, 0, 7]


async def test_commands_are_real(cluster: FakeCluster, valkey: ValkeyServer) -> None:
    engine = cluster.node(valkey.url)
    await engine.commands.execute("SET", f"{engine.prefix}:a", "1")
    assert await engine.commands.execute("GET", f"{engine.prefix}:a") == b"1"
