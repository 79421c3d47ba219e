"""What the replies to published messages tell, against a server made of a script."""

import asyncio
from asyncio import StreamReader, StreamWriter
from collections.abc import AsyncIterator

import pytest

from iii_cluster.bus.connection import command
from iii_cluster.bus.endpoint import Endpoint
from iii_cluster.bus.publisher import ROLE_INTERVAL, Channel, Publisher
from tests.support.eventually import eventually

MASTER = b"*3\r\n$6\r\nmaster\r\n:0\r\n*0\r\n"
REPLICA = b"*5\r\n$5\r\nslave\r\n$9\r\n127.0.0.1\r\n:6379\r\n$9\r\nconnected\r\n:0\r\n"
ROLE = command(b"ROLE")


class Fixture:
    """A publisher, and the server's ends of its connections."""

    def __init__(self, port: int, connections: asyncio.Queue[tuple[StreamReader, StreamWriter]]) -> None:
        self.up = asyncio.Event()
        self.down = asyncio.Event()
        self.publisher = Publisher(Endpoint(f"redis://127.0.0.1:{port}"), "pub:a", self.up.set, self.down.set)
        self.connections = connections
        self.changes: list[tuple[str, bool]] = []
        self.changed = asyncio.Event()

    def channel(self, name: str) -> Channel:
        def on_change(unheard: bool) -> None:
            self.changes.append((name, unheard))
            self.changed.set()

        return Channel(name, on_change)

    async def connected(self) -> tuple[StreamReader, StreamWriter]:
        """The server's end of the next connection, when the publisher can use it."""
        ends = await self.connections.get()
        await self.up.wait()
        self.up.clear()
        return ends

    async def change(self) -> None:
        await asyncio.wait_for(self.changed.wait(), 10)
        self.changed.clear()


@pytest.fixture
async def fixture() -> AsyncIterator[Fixture]:
    connections: asyncio.Queue[tuple[StreamReader, StreamWriter]] = asyncio.Queue()
    writers = []

    async def accept(reader: StreamReader, writer: StreamWriter) -> None:
        writers.append(writer)
        await reader.readuntil(b"PING\r\n")
        writer.write(b"+OK\r\n" + MASTER + b"+PONG\r\n")
        connections.put_nowait((reader, writer))

    listener = await asyncio.start_server(accept, "127.0.0.1", 0)
    fixture = Fixture(listener.sockets[0].getsockname()[1], connections)
    fixture.publisher.start()
    yield fixture
    await fixture.publisher.stop()
    listener.close()
    for writer in writers:
        writer.close()


async def test_replies_are_matched_to_what_they_answer(fixture: Fixture) -> None:
    _, writer = await fixture.connected()
    publisher, c, d = fixture.publisher, fixture.channel("c"), fixture.channel("d")
    for channel in (c, d, c, d, c):
        publisher.publish(channel, b"x")
    publisher.flush()
    writer.write(b":0\r\n:1\r\n:0\r\n:0\r\n:2\r\n")
    await fixture.change()
    assert fixture.changes == [("c", True), ("d", True), ("c", False)]
    assert (c.unheard, d.unheard) == (False, True)


async def test_neither_errors_nor_roles_tell_who_listens(fixture: Fixture, caplog: pytest.LogCaptureFixture) -> None:
    _, writer = await fixture.connected()
    publisher, c = fixture.publisher, fixture.channel("c")
    publisher.publish(c, b"x")
    publisher.check(0.5)
    publisher.publish(c, b"x")
    publisher.check(0.5 + ROLE_INTERVAL)
    publisher.publish(c, b"x")
    publisher.flush()
    writer.write(b"-NOPERM\r\n" + MASTER + b"-NOPERM\r\n-NOPERM no roles\r\n:0\r\n")
    await fixture.change()
    assert fixture.changes == [("c", True)]
    assert caplog.text.count("action=publish_refused") == 1


async def test_a_new_connection_forgets_what_was_unanswered(fixture: Fixture) -> None:
    _, writer = await fixture.connected()
    publisher, c, d = fixture.publisher, fixture.channel("c"), fixture.channel("d")
    publisher.publish(c, b"x")
    publisher.flush()
    publisher.publish(c, b"never written")
    writer.close()
    await fixture.down.wait()
    _, writer = await fixture.connected()
    publisher.publish(d, b"x")
    publisher.flush()
    writer.write(b":0\r\n")
    await fixture.change()
    assert fixture.changes == [("d", True)]


async def test_a_server_that_became_a_replica_is_left(fixture: Fixture) -> None:
    reader, writer = await fixture.connected()
    fixture.publisher.check(10.0)
    fixture.publisher.check(10.0 + ROLE_INTERVAL / 2)
    fixture.publisher.check(10.0 + ROLE_INTERVAL)
    fixture.publisher.flush()
    assert await reader.readexactly(2 * len(ROLE)) == ROLE * 2, "asked once per interval"
    writer.write(MASTER)
    writer.write(REPLICA)
    await fixture.down.wait()
    await fixture.connected()
    assert fixture.publisher.up


async def test_a_reply_to_nothing_ends_the_connection(fixture: Fixture) -> None:
    _, writer = await fixture.connected()
    writer.write(b":1\r\n")
    await fixture.down.wait()
    await fixture.connected()


async def test_what_surely_nobody_heard_is_known_by_its_number(fixture: Fixture) -> None:
    _, writer = await fixture.connected()
    publisher, c = fixture.publisher, fixture.channel("c")
    for _ in range(5):
        publisher.publish(c, b"x")
    publisher.flush()
    writer.write(b":0\r\n:1\r\n:0\r\n-OOM\r\n:0\r\n")
    await eventually(lambda: c.settled == 5)
    assert (c.published, c.heard) == (5, 4)  # an error tells nothing
    publisher.publish(c, b"x")
    publisher.flush()
    writer.close()
    await fixture.down.wait()
    assert (c.published, c.settled) == (6, 5)
    publisher.publish(c, b"not connected")
    await fixture.connected()
    assert (c.published, c.settled, c.heard) == (6, 6, 6)
