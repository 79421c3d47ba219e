"""Whether anybody listens at a peer, and what becomes of nodes that were expelled."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
import redis.asyncio

from iii_cluster.bus.ask import Asker, AskError, NodeLost
from iii_cluster.bus.envelopes import Ask, Invoke, Refused, Result
from iii_cluster.bus.packets import DATA, pack
from iii_cluster.bus.peer import CALL_INTERVAL
from iii_cluster.bus.service import Bus
from iii_cluster.cluster.keys import Keys
from tests.support.bus import Inbox, MakeBus, started_buses
from tests.support.eventually import eventually
from tests.support.process import Process
from tests.support.proxy import Proxy
from tests.support.valkey import ValkeyServer


@pytest.fixture
def server(tmp_path: Path) -> Iterator[ValkeyServer]:
    server = ValkeyServer(tmp_path)
    server.start()
    yield server
    server.close()


@pytest.fixture
async def make_bus() -> AsyncIterator[MakeBus]:
    async with started_buses() as make:
        yield make


@pytest.fixture
def peer(server: ValkeyServer, tmp_path: Path) -> Iterator[Process]:
    """Node "peer", a process of its own that sends results back. It may not have started yet."""
    process = Process("peer", tmp_path / "peer.log")
    process.fork("tests.support.bus_peer", ["peer", server.url])
    yield process
    process.kill()


class Reachability:
    """What a bus told of its peers, in order."""

    def __init__(self, bus: Bus) -> None:
        self.told: list[tuple[str, bool]] = []
        bus.on_reachable = lambda node, on: self.told.append((node, on))


async def test_a_killed_process_is_unreachable_as_soon_as_something_is_sent(
    server: ValkeyServer, make_bus: MakeBus, peer: Process
) -> None:
    a = await make_bus("a", server.url)
    inbox = Inbox(a)
    a.send("peer", Result("1"))
    await eventually(lambda: inbox.of("peer") == [1])
    seen = Reachability(a)
    assert not a.unreachable("peer")
    peer.kill()
    a.send("peer", Result("2"))
    await eventually(lambda: a.unreachable("peer"))
    assert seen.told == [("peer", False)]
    a.forget("peer")
    assert not a.unreachable("peer")
    await eventually(lambda: seen.told == [("peer", False), ("peer", True)])


async def test_calls_that_surely_never_reached_a_dead_process_come_back_when_it_is_forgotten(
    server: ValkeyServer, make_bus: MakeBus, peer: Process
) -> None:
    a = await make_bus("a", server.url)
    inbox = Inbox(a)
    returned: list[tuple[str, Refused]] = []
    a.on(Refused, lambda node, refused: returned.append((node, refused)))
    a.send("peer", Invoke("1", 7, "f", b"{}"))  # it hears this one, and says nothing
    a.send("peer", Result("1"))
    await eventually(lambda: inbox.of("peer") == [1])
    peer.kill()
    await eventually(lambda: not any("peer" in client["name"] for client in server.clients()))
    calls = [Invoke(str(number), 7, "f", b"x" * size) for number, size in ((2, 10), (3, 200_000), (4, 10))]
    a.send("peer", calls[0])
    await eventually(lambda: a.unreachable("peer"))
    a.send("peer", calls[1])
    a.send("peer", Result("2"))
    await asyncio.sleep(0)  # in a packet of its own
    a.send("peer", calls[2])
    assert returned == []
    channel = a._peers["peer"].channel
    await eventually(lambda: channel.published == channel.settled)
    a.forget("peer")
    assert returned == [("peer", Refused(call)) for call in calls]


async def test_a_process_that_lost_its_subscription_keeps_its_mail_and_is_reachable_again(
    server: ValkeyServer, make_bus: MakeBus, peer: Process
) -> None:
    a = await make_bus("a", server.url)
    inbox = Inbox(a)
    a.send("peer", Result("0"))
    await eventually(lambda: inbox.of("peer") == [0])
    seen = Reachability(a)
    peer.pause()
    for client in server.clients():
        if client["name"] == "sub:peer":
            server.execute("CLIENT", "KILL", "ID", client["id"])
    for number in range(1, 50):
        a.send("peer", Result(str(number)))
    await eventually(lambda: a.unreachable("peer"))
    assert seen.told == [("peer", False)]
    peer.resume()
    await eventually(lambda: not a.unreachable("peer"))
    await eventually(lambda: len(inbox.of("peer")) >= 50)
    assert inbox.of("peer") == list(range(50))
    assert seen.told == [("peer", False), ("peer", True)]
    assert not inbox.resets


async def test_a_peer_cut_off_from_redis_is_unreachable_until_it_is_back(
    server: ValkeyServer, make_bus: MakeBus, unused_tcp_port: int
) -> None:
    async with Proxy(server.port) as proxy:
        a, b = await make_bus("a", server.url), await make_bus("b", proxy.url)
        inbox, seen = Inbox(b), Reachability(a)
        proxy.target = unused_tcp_port
        proxy.reset()
        await eventually(lambda: not b.ready)
        a.send("b", Result("1"))
        await eventually(lambda: a.unreachable("b"))
        proxy.target = server.port
        await eventually(lambda: not a.unreachable("b"))
        await eventually(lambda: inbox.of("a") == [1])
        assert seen.told == [("b", False), ("b", True)]
        await b.stop()


async def test_an_unreachable_peer_is_called_on_even_if_nothing_is_owed_to_it(
    server: ValkeyServer, make_bus: MakeBus
) -> None:
    a = await make_bus("a", server.url)
    seen = Reachability(a)
    async with redis.asyncio.Redis.from_url(server.url) as client:
        await client.publish(Keys("test").inbox("a"), pack(DATA, "c", 1, 1, 0, 0, []))
        await eventually(lambda: seen.told == [("c", False)])  # nobody heard the acknowledgement
        await client.publish(Keys("test").inbox("a"), pack(DATA, "c", 1, 2, 0, 0, []))
        await eventually(lambda: a.stats.packets_in == 2)
        await asyncio.sleep(2 * CALL_INTERVAL)
        assert seen.told == [("c", False)], "late mail proves nothing"
        subscription = client.pubsub()
        await subscription.subscribe(Keys("test").inbox("c"))
        await eventually(lambda: seen.told == [("c", False), ("c", True)])
        await subscription.aclose()  # type: ignore[no-untyped-call]


async def test_broadcasts_and_probes_are_not_taken_for_mail(server: ValkeyServer, make_bus: MakeBus) -> None:
    a, b = await make_bus("a", server.url), await make_bus("b", server.url)
    inbox, seen = Inbox(b), Reachability(a)
    maps: list[bytes] = []
    b.on_map = maps.append
    for number in range(100):
        a.publish_map(b"map")
        a.send("b", Result(str(number)))
        a.send("ghost", Result(str(number)))
        await asyncio.sleep(0)
    await eventually(lambda: len(maps) == 100 and len(inbox.of("a")) == 100 and a.unreachable("ghost"))
    assert seen.told == [("ghost", False)]


async def test_a_closing_bus_does_not_wait_for_whom_nobody_hears(server: ValkeyServer, make_bus: MakeBus) -> None:
    a = await make_bus("a", server.url)
    a.send("ghost", Result("1"))
    await eventually(lambda: a.unreachable("ghost"))
    await asyncio.wait_for(a.settle(timeout=60), 10)


async def test_nodes_that_are_members_no_more_are_ignored_until_they_are_again(
    server: ValkeyServer, make_bus: MakeBus
) -> None:
    a, b = await make_bus("a", server.url), await make_bus("b", server.url)
    c = await make_bus("c", server.url)
    at_a, at_b = Inbox(a), Inbox(b)
    b.send("a", Result("1"))
    await eventually(lambda: at_a.of("b") == [1])
    a.set_members(["b", "c"])
    a.set_members(["c"])
    b.send("a", Result("2"))
    a.send("b", Result("2"))
    c.send("a", Result("1"))
    await eventually(lambda: at_a.of("c") == [1])
    await b.settle(timeout=0.1)
    assert at_a.of("b") == [1]
    assert at_b.of("a") == []
    with pytest.raises(NodeLost):
        await Asker(a).ask("b", "anything")
    a.set_members(["b", "c"])
    a.send("b", Result("3"))
    await eventually(lambda: at_b.of("a") == [3])


async def test_a_bus_stopped_at_once_drops_what_was_not_sent(server: ValkeyServer, make_bus: MakeBus) -> None:
    a, b = await make_bus("a", server.url), await make_bus("b", server.url)
    inbox, own = Inbox(b), Inbox(a)
    a.send("b", Result("1"))
    a.send("a", Result("1"))
    await a.stop(linger=False)
    assert not a.ready
    b.send("a", Result("1"))
    await eventually(lambda: b.unreachable("a"))
    assert inbox.of("a") == []
    assert own.by_source == {}


async def test_closing_an_asker_fails_its_questions(server: ValkeyServer, make_bus: MakeBus) -> None:
    a, b = await make_bus("a", server.url), await make_bus("b", server.url)
    asker = Asker(a)
    asked = asyncio.Event()
    b.on(Ask, lambda src, question: asked.set())
    waiting = asyncio.ensure_future(asker.ask("b", "never", timeout=60))
    await asked.wait()
    asker.close()
    with pytest.raises(AskError, match="node closed"):
        await waiting
    with pytest.raises(AskError, match="node closed"):
        await asker.ask("b", "never", timeout=60)
