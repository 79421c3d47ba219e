"""The bus over a real server that is killed, restarted, cut off and lied about."""

import asyncio
import logging
import shutil
import ssl
import subprocess
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
import redis.asyncio

from iii_cluster.bus.ask import Asker, AskError, NodeLost
from iii_cluster.bus.endpoint import Endpoint, place
from iii_cluster.bus.envelopes import Answer, Ask, Cleanup, Invoke, Owner, Result
from iii_cluster.cluster.keys import Keys
from tests.support.bus import Inbox, MakeBus, send_numbers, send_until, started_buses
from tests.support.eventually import eventually
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


async def test_envelopes_arrive_in_the_order_they_were_sent(server: ValkeyServer, make_bus: MakeBus) -> None:
    a, b = await make_bus("a", server.url), await make_bus("b", server.url)
    inbox = Inbox(b)
    for number in range(1000):
        a.send("b", Result(str(number)))
    await eventually(lambda: len(inbox.of("a")) == 1000)
    assert inbox.of("a") == list(range(1000))
    assert a.stats.packets < 10, "sends of one tick travel together"


async def test_envelopes_to_oneself_skip_redis(server: ValkeyServer, make_bus: MakeBus) -> None:
    a = await make_bus("a", server.url)
    inbox = Inbox(a)
    a.send("a", Result("1"))
    assert inbox.of("a") == [], "delivered by the loop, not inside send"
    await eventually(lambda: inbox.of("a") == [1])
    assert a.stats.packets == 0


async def test_nothing_is_lost_or_repeated_while_the_server_is_killed_and_restarted(
    server: ValkeyServer, make_bus: MakeBus
) -> None:
    a, b = await make_bus("a", server.url), await make_bus("b", server.url)
    at_a, at_b = Inbox(a), Inbox(b)
    end = asyncio.Event()
    traffic = asyncio.gather(send_until(a, "b", end), send_until(b, "a", end))
    for _ in range(4):
        at_a.hears.clear()
        await asyncio.wait_for(at_a.hears.wait(), 15)
        await asyncio.to_thread(server.kill)
        await eventually(lambda: not a.ready and not b.ready)
        await asyncio.to_thread(server.start)
        await eventually(lambda: a.ready and b.ready)
    end.set()
    from_a, from_b = await traffic
    await eventually(lambda: len(at_a.of("b")) >= from_b and len(at_b.of("a")) >= from_a)
    assert at_a.of("b") == list(range(from_b))
    assert at_b.of("a") == list(range(from_a))
    assert a.stats.resent, "the server was killed under load"
    assert not at_a.resets
    assert not at_b.resets


async def test_a_killed_subscription_is_repaired(server: ValkeyServer, make_bus: MakeBus) -> None:
    a, b = await make_bus("a", server.url), await make_bus("b", server.url)
    inbox = Inbox(b)
    lost = asyncio.Event()
    b.on_ready = lambda ready: None if ready else lost.set()
    async with redis.asyncio.Redis.from_url(server.url) as client:
        for number in range(3000):
            a.send("b", Result(str(number)))
            if number % 1000 == 500:
                await asyncio.sleep(0.002)
                await client.client_kill_filter(_type="pubsub")
        await asyncio.wait_for(lost.wait(), 10)
    await eventually(lambda: len(inbox.of("a")) >= 3000)
    assert inbox.of("a") == list(range(3000))
    await eventually(lambda: b.ready)


async def test_a_deaf_subscription_is_found_and_replaced(server: ValkeyServer, make_bus: MakeBus) -> None:
    async with Proxy(server.port) as proxy:
        a, b = await make_bus("a", server.url), await make_bus("b", f"redis://127.0.0.1:{proxy.port}")
        inbox = Inbox(b)
        readiness: list[bool] = []
        b.on_ready = readiness.append
        proxy.mute()
        a.send("b", Result("1"))
        await eventually(lambda: readiness == [False, True])
        await eventually(lambda: inbox.of("a") == [1])
        assert b.disconnected_for(asyncio.get_running_loop().time()) == 0
        await b.stop()


async def test_a_20_mib_envelope_arrives_whole_between_small_ones(server: ValkeyServer, make_bus: MakeBus) -> None:
    a, b = await make_bus("a", server.url), await make_bus("b", server.url)
    received: list[tuple[str, int, int]] = []
    b.on(Invoke, lambda src, envelope: received.append((envelope.id, len(envelope.data), hash(envelope.data))))
    data = bytes(range(256)) * (20 * 2**20 // 256)
    for id, body in (("first", b"1"), ("big", data), ("last", b"2")):
        a.send("b", Invoke(id, 1, "f", body))
    await eventually(lambda: len(received) == 3)
    assert received == [("first", 1, hash(b"1")), ("big", len(data), hash(data)), ("last", 1, hash(b"2"))]


async def test_many_senders_do_not_disturb_each_other(server: ValkeyServer, make_bus: MakeBus) -> None:
    target = await make_bus("target", server.url)
    inbox = Inbox(target)
    senders = [await make_bus(f"sender-{i}", server.url) for i in range(12)]
    for bus in (target, *senders):
        bus.set_members([str(n) for n in range(12)])
    await asyncio.gather(*(send_numbers(bus, "target", 0, 1000) for bus in senders))
    await eventually(lambda: all(len(inbox.of(bus.node_id)) >= 1000 for bus in senders))
    assert all(inbox.of(bus.node_id) == list(range(1000)) for bus in senders)


async def test_inboxes_spread_over_two_servers(
    server: ValkeyServer, make_bus: MakeBus, tmp_path_factory: pytest.TempPathFactory
) -> None:
    second = ValkeyServer(tmp_path_factory.mktemp("second"))
    second.start()
    try:
        urls = [server.url, second.url]
        names = [Endpoint(url).name for url in urls]
        nodes = [next(f"{i}-{n}" for n in range(100) if place(f"{i}-{n}", names) == i) for i in (0, 1)]
        buses = [await make_bus(nodes[0], *urls), await make_bus(nodes[1], *reversed(urls))]
        inboxes = [Inbox(bus) for bus in buses]
        traffic = asyncio.gather(send_numbers(buses[0], nodes[1], 0, 2000), send_numbers(buses[1], nodes[0], 0, 2000))
        await asyncio.to_thread(second.restart)
        await traffic
        await eventually(lambda: len(inboxes[0].of(nodes[1])) >= 2000 and len(inboxes[1].of(nodes[0])) >= 2000)
        assert inboxes[0].of(nodes[1]) == list(range(2000))
        assert inboxes[1].of(nodes[0]) == list(range(2000))
        await asyncio.gather(*(bus.stop() for bus in buses))
    finally:
        second.close()


async def test_a_stalled_server_congests_the_link_and_frees_it_again(server: ValkeyServer, make_bus: MakeBus) -> None:
    a, b = await make_bus("a", server.url), await make_bus("b", server.url)
    congestion: list[tuple[str, bool]] = []
    a.on_congestion = lambda node, on: congestion.append((node, on))
    received: list[str] = []
    b.on(Invoke, lambda src, envelope: received.append(envelope.id))
    server.pause()
    for i in range(80):
        a.send("b", Invoke(str(i), 1, "f", bytes(100_000)))
    await eventually(lambda: congestion == [("b", True)])
    assert a.congested("b")
    server.resume()
    await eventually(lambda: len(received) == 80)
    await eventually(lambda: congestion == [("b", True), ("b", False)])
    assert received == [str(i) for i in range(80)]


async def test_forgetting_a_live_peer_is_loud_and_the_link_works_again(server: ValkeyServer, make_bus: MakeBus) -> None:
    a, b = await make_bus("a", server.url), await make_bus("b", server.url)
    at_a, at_b = Inbox(a), Inbox(b)
    a.send("b", Result("1"))
    b.send("a", Result("1"))
    await eventually(lambda: at_b.of("a") == [1] and at_a.of("b") == [1])
    a.forget("b")
    a.send("b", Result("2"))
    await eventually(lambda: at_b.of("a") == [1, 2] and at_b.resets == ["a"])
    b.send("a", Result("2"))
    await eventually(lambda: at_a.of("b") == [1, 2])


async def test_stop_delivers_what_was_sent_just_before(server: ValkeyServer, make_bus: MakeBus) -> None:
    a, b = await make_bus("a", server.url), await make_bus("b", server.url)
    inbox = Inbox(b)
    for number in range(500):
        a.send("b", Result(str(number)))
    await a.stop()
    assert inbox.of("a") == list(range(500))


async def test_start_waits_for_a_server_that_comes_later(tmp_path: Path, make_bus: MakeBus) -> None:
    server = ValkeyServer(tmp_path)
    starting = asyncio.ensure_future(make_bus("a", server.url))
    await asyncio.sleep(0)
    assert not starting.done()
    await asyncio.to_thread(server.start)
    try:
        bus = await starting
        assert bus.ready
        await bus.stop()
    finally:
        server.close()


async def test_maps_reach_everybody(server: ValkeyServer, make_bus: MakeBus) -> None:
    buses = [await make_bus(node, server.url) for node in ("a", "b", "c")]
    maps: list[tuple[str, bytes]] = []
    for bus in buses:
        bus.on_map = lambda body, node=bus.node_id: maps.append((node, body))
    buses[0].publish_map(b"map")
    await eventually(lambda: sorted(maps) == [("a", b"map"), ("b", b"map"), ("c", b"map")])


async def test_rubbish_is_skipped_and_failing_handlers_do_not_kill_the_link(
    server: ValkeyServer, make_bus: MakeBus, caplog: pytest.LogCaptureFixture
) -> None:
    a, b = await make_bus("a", server.url), await make_bus("b", server.url)
    inbox = Inbox(b)

    def fail(src: str, envelope: Cleanup) -> None:
        raise RuntimeError("boom")

    b.on(Cleanup, fail)
    async with redis.asyncio.Redis.from_url(server.url) as client:
        await client.publish(Keys("test").inbox("b"), b"rubbish")
    a.send("b", Cleanup(1, "functions", [Owner("a", 1, "w")]))
    a.send("b", Result("1"))
    await eventually(lambda: inbox.of("a") == [1])
    assert b.stats.undecodable == 1
    assert "action=handler_failed source=a kind=Cleanup" in caplog.text


async def test_a_password_is_sent_and_never_logged(
    server: ValkeyServer, make_bus: MakeBus, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG, "iii_cluster")
    async with redis.asyncio.Redis.from_url(server.url) as client:
        await client.acl_setuser("u", enabled=True, passwords=["+s3cret"], channels=["*"], categories=["+@all"])
        await client.acl_setuser("default", enabled=False)
    refused = asyncio.ensure_future(make_bus("nobody", server.url))
    await eventually(lambda: "action=redis_unreachable" in caplog.text)
    a = await make_bus("a", f"redis://u:s3cret@127.0.0.1:{server.port}")
    assert a.ready
    assert not refused.done()
    refused.cancel()
    await asyncio.wait([refused])
    assert "s3cret" not in caplog.text


@pytest.mark.skipif(shutil.which("openssl") is None, reason="needs openssl to make a certificate")
async def test_tls_is_verified(server: ValkeyServer, make_bus: MakeBus, tmp_path: Path) -> None:
    certificate, key = tmp_path / "cert.pem", tmp_path / "key.pem"
    command = (
        "openssl req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN=localhost -addext subjectAltName=IP:127.0.0.1"
    )
    await asyncio.to_thread(
        subprocess.run,
        [*command.split(), "-keyout", str(key), "-out", str(certificate)],
        check=True,
        capture_output=True,
    )
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(certificate, key)
    async with Proxy(server.port, context) as proxy:
        a = await make_bus("a", f"rediss://127.0.0.1:{proxy.port}?ssl_ca_certs={certificate}")
        b = await make_bus("b", server.url)
        inbox = Inbox(b)
        a.send("b", Result("1"))
        await eventually(lambda: inbox.of("a") == [1])
        await a.stop()


async def test_questions_are_answered_refused_lost_or_time_out(server: ValkeyServer, make_bus: MakeBus) -> None:
    a, b = await make_bus("a", server.url), await make_bus("b", server.url)
    asker, other = Asker(a), Asker(b)

    async def later(src: str, body: object) -> object:
        await asyncio.sleep(0)
        return [src, body]

    def refuse(src: str, body: object) -> object:
        raise ValueError("not today")

    asked = asyncio.Event()

    async def never(src: str, body: object) -> None:
        asked.set()
        await asyncio.Event().wait()

    other.answer("now", lambda src, body: {"from": src, "body": body})
    other.answer("later", later)
    other.answer("refuse", refuse)
    other.answer("never", never)
    asker.answer("now", lambda src, body: "myself")
    assert await asker.ask("b", "now", {"n": 1}) == {"from": "a", "body": {"n": 1}}
    assert await asker.ask("b", "later", [1, None]) == ["a", [1, None]]
    with pytest.raises(AskError, match="not today"):
        await asker.ask("b", "refuse")
    with pytest.raises(AskError, match="nobody answers"):
        await asker.ask("b", "unheard of")
    answers, silent = await asker.ask_all(["a", "b", "gone"], "now", timeout=0.2)
    assert answers == {"a": "myself", "b": {"from": "a", "body": None}}
    assert silent == {"gone"}
    waiting = asyncio.ensure_future(asker.ask("b", "never", timeout=60))
    await asked.wait()
    asker.node_lost("b")
    with pytest.raises(NodeLost):
        await waiting
    with pytest.raises(TimeoutError):
        await asker.ask("b", "never", timeout=0.01)
    await other.stop()


async def test_an_answer_of_somebody_else_is_not_taken(server: ValkeyServer, make_bus: MakeBus) -> None:
    a, b = await make_bus("a", server.url), await make_bus("b", server.url)
    asker = Asker(a)
    b.on(Ask, lambda src, question: None)
    waiting = asyncio.ensure_future(asker.ask("c", "secret", timeout=0.3))
    await asyncio.sleep(0)
    b.send("a", Answer(1))
    with pytest.raises(TimeoutError):
        await waiting
