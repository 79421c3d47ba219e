"""The bus connections against a server made of a script: what it is told, and what it does not answer."""

import asyncio
from asyncio import StreamReader, StreamWriter
from collections.abc import AsyncIterator
from typing import Any

import pytest

from iii_cluster.bus.connection import command
from iii_cluster.bus.endpoint import Endpoint
from iii_cluster.bus.publisher import REPLY_TIMEOUT, Channel, Publisher
from iii_cluster.bus.subscriber import Subscriber

MASTER = b"*3\r\n$6\r\nmaster\r\n:0\r\n*0\r\n"
REPLICA = b"*5\r\n$5\r\nslave\r\n$9\r\n127.0.0.1\r\n:6379\r\n$9\r\nconnected\r\n:0\r\n"


class Server:
    """Answers the greeting of one connection at a time with `greeting`, and keeps what follows."""

    def __init__(self) -> None:
        self.greeting = b""
        self.expected = b""  # end of the greeting to wait for
        self.connections: asyncio.Queue[tuple[bytes, StreamReader, StreamWriter]] = asyncio.Queue()
        self.port = 0

    async def accept(self, reader: StreamReader, writer: StreamWriter) -> None:
        heard = await reader.readuntil(self.expected)
        writer.write(self.greeting)
        await self.connections.put((heard, reader, writer))


@pytest.fixture
async def server() -> AsyncIterator[Server]:
    script = Server()
    listener = await asyncio.start_server(script.accept, "127.0.0.1", 0)
    script.port = listener.sockets[0].getsockname()[1]
    yield script
    listener.close()
    while not script.connections.empty():
        script.connections.get_nowait()[2].close()


class Ups:
    def __init__(self) -> None:
        self.up = asyncio.Event()
        self.down = asyncio.Event()


def publisher(url: str, ups: Ups) -> Publisher:
    return Publisher(Endpoint(url), "pub:a", ups.up.set, ups.down.set)


async def test_a_publisher_authenticates_writes_at_once_and_is_dropped_when_unanswered(server: Server) -> None:
    server.greeting, server.expected = b"+OK\r\n-ERR no names here\r\n-NOPERM\r\n+PONG\r\n", b"PING\r\n"
    ups = Ups()
    connection = publisher(f"redis://user:secret@127.0.0.1:{server.port}", ups)
    connection.publish(Channel("c"), b"dropped: not connected")
    connection.start()
    await ups.up.wait()
    heard, reader, writer = await server.connections.get()
    assert heard.startswith(command(b"AUTH", b"user", b"secret"))
    connection.publish(Channel("c"), b"1")
    connection.publish(Channel("c"), b"22")
    connection.flush()
    expected = command(b"PUBLISH", b"c", b"1") + command(b"PUBLISH", b"c", b"22")
    assert await reader.readexactly(len(expected)) == expected
    connection.check(0.5)
    connection.check(1.0)
    connection.check(1.0 + REPLY_TIMEOUT)
    assert connection.up
    connection.check(1.1 + REPLY_TIMEOUT)
    assert not connection.up
    assert ups.down.is_set()
    connection.flush()
    heard, reader, second = await server.connections.get()
    assert heard.endswith(b"PING\r\n"), "a new connection was made"
    await connection.stop()
    writer.close()
    second.close()


async def test_a_subscriber_is_up_when_every_channel_is_confirmed(server: Server) -> None:
    confirmation = b"*3\r\n$9\r\nsubscribe\r\n$1\r\n%b\r\n:1\r\n"
    message = b"*3\r\n$7\r\nmessage\r\n$1\r\na\r\n$2\r\nhi\r\n"
    server.greeting = b"+OK\r\n" + MASTER + confirmation % b"a" + message
    server.expected = b"$1\r\nb\r\n"
    ups = Ups()
    messages: list[tuple[bytes, bytes]] = []
    arrived = asyncio.Event()

    def take(batch: list[tuple[bytes, bytes]]) -> None:
        messages.extend(batch)
        arrived.set()

    url = f"redis://127.0.0.1:{server.port}"
    connection = Subscriber(Endpoint(url), "sub:a", ["a", "b"], take, ups.up.set, ups.down.set)
    connection.start()
    _, _, writer = await server.connections.get()
    await arrived.wait()
    assert messages == [(b"a", b"hi")], "mail between the confirmations is not lost"
    assert not connection.up
    writer.write(confirmation % b"b")
    await ups.up.wait()
    writer.write(b"?nonsense\r\n")
    await ups.down.wait()
    _, _, second = await server.connections.get()
    await connection.stop()
    writer.close()
    second.close()


async def test_a_refused_greeting_is_tried_again(server: Server, caplog: pytest.LogCaptureFixture) -> None:
    server.greeting, server.expected = b"+OK\r\n" + MASTER + b"-LOADING in memory\r\n", b"PING\r\n"
    ups = Ups()
    connection = publisher(f"redis://127.0.0.1:{server.port}", ups)
    connection.start()
    _, _, writer = await server.connections.get()
    server.greeting = b"+OK\r\n" + MASTER + b"+PONG\r\n"
    await ups.up.wait()
    assert caplog.text.count("action=redis_unreachable") == 1
    await connection.stop()
    writer.close()


async def test_stopping_while_nothing_listens_ends_the_attempts(unused_tcp_port: int) -> None:
    connection = publisher(f"redis://127.0.0.1:{unused_tcp_port}", Ups())
    connection.start()
    await asyncio.sleep(0)
    await connection.stop()
    assert not connection.up


async def test_a_replica_is_refused_until_it_is_a_primary(server: Server, caplog: pytest.LogCaptureFixture) -> None:
    server.greeting, server.expected = b"+OK\r\n" + REPLICA + b"+PONG\r\n", b"PING\r\n"
    ups = Ups()
    connection = publisher(f"redis://127.0.0.1:{server.port}", ups)
    connection.start()
    _, _, writer = await server.connections.get()
    assert not connection.up
    server.greeting = b"+OK\r\n" + MASTER + b"+PONG\r\n"
    await ups.up.wait()
    assert "the server is a replica" in caplog.text
    await connection.stop()
    writer.close()


async def test_a_subscriber_refuses_a_replica(server: Server) -> None:
    confirmation = b"*3\r\n$9\r\nsubscribe\r\n$1\r\na\r\n:1\r\n"
    server.greeting, server.expected = b"+OK\r\n" + REPLICA + confirmation, b"$1\r\na\r\n"
    ups = Ups()
    endpoint = Endpoint(f"redis://127.0.0.1:{server.port}")
    connection = Subscriber(endpoint, "sub:a", ["a"], lambda messages: None, ups.up.set, ups.down.set)
    connection.start()
    heard, reader, writer = await server.connections.get()
    assert heard.index(command(b"ROLE")) < heard.index(b"SUBSCRIBE")
    assert await reader.read() == b"", "it leaves"
    server.greeting = b"+OK\r\n" + MASTER + confirmation
    await ups.up.wait()
    await connection.stop()
    writer.close()


async def test_every_attempt_resolves_the_host_again(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    server.greeting, server.expected = b"+OK\r\n" + MASTER + b"+PONG\r\n", b"PING\r\n"
    loop = asyncio.get_running_loop()
    resolve, asked = loop.getaddrinfo, []

    async def getaddrinfo(host: str, *args: Any, **options: Any) -> Any:
        asked.append(host)
        return await resolve("127.0.0.1", *args, **options)

    monkeypatch.setattr(loop, "getaddrinfo", getaddrinfo)
    ups = Ups()
    connection = publisher(f"redis://redis.test:{server.port}", ups)
    connection.start()
    await ups.up.wait()
    ups.up.clear()
    connection.drop("to see where the next one goes")
    await ups.up.wait()
    assert asked == ["redis.test", "redis.test"]
    await connection.stop()


async def test_a_connection_can_be_closed_at_once(server: Server) -> None:
    server.greeting, server.expected = b"+OK\r\n" + MASTER + b"+PONG\r\n", b"PING\r\n"
    ups = Ups()
    connection = publisher(f"redis://127.0.0.1:{server.port}", ups)
    connection.start()
    await ups.up.wait()
    _, _, writer = await server.connections.get()
    await connection.stop(linger=False)
    assert not ups.down.is_set(), "its owner knows"
    writer.close()
