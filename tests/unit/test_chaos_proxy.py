import asyncio
from collections.abc import AsyncIterator

import pytest

from iii_cluster.chaos.clusters.addresses import Address
from iii_cluster.chaos.load.proxy import Proxy


class Echo:
    """A server that sends back what it gets; `ends` has how its connections ended."""

    def __init__(self) -> None:
        self.port = 0
        self.ends: asyncio.Queue[str] = asyncio.Queue()

    async def start(self) -> asyncio.Server:
        server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.port = server.sockets[0].getsockname()[1]
        return server

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while data := await reader.read(1024):
                writer.write(data)
            self.ends.put_nowait("closed")
        except ConnectionResetError:
            self.ends.put_nowait("reset")
        finally:
            writer.close()


@pytest.fixture
async def echo() -> AsyncIterator[Echo]:
    made = Echo()
    server = await made.start()
    yield made
    server.close()


@pytest.fixture
async def proxy(echo: Echo) -> AsyncIterator[Proxy]:
    made = Proxy(lambda: Address("127.0.0.1", echo.port) if echo.port else None)
    await made.start()
    yield made
    await made.close()


async def test_what_is_sent_arrives_both_ways_and_a_close_is_passed_on(echo: Echo, proxy: Proxy) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", proxy.port)
    sent = bytes(range(256)) * 4096
    writer.write(sent)
    assert await reader.readexactly(len(sent)) == sent
    writer.close()
    assert await asyncio.wait_for(echo.ends.get(), 10) == "closed"


async def test_a_reset_reaches_both_ends_and_nobody_else(echo: Echo, proxy: Proxy) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", proxy.port)
    others_reader, others_writer = await asyncio.open_connection("127.0.0.1", proxy.port)
    for one in (writer, others_writer):
        one.write(b"x")
    await reader.readexactly(1)
    await others_reader.readexactly(1)
    assert proxy.reset(writer.get_extra_info("sockname")[1])
    with pytest.raises(ConnectionResetError):
        await reader.read()
    assert await asyncio.wait_for(echo.ends.get(), 10) == "reset"
    others_writer.write(b"y")
    assert await others_reader.readexactly(1) == b"y"
    others_writer.close()
    writer.close()


async def test_an_unknown_connection_can_not_be_reset(proxy: Proxy) -> None:
    assert not proxy.reset(1)


async def test_nobody_behind_it_refuses_a_connection(echo: Echo, proxy: Proxy) -> None:
    echo.port = 0
    reader, writer = await asyncio.open_connection("127.0.0.1", proxy.port)
    with pytest.raises(ConnectionResetError):
        await reader.read()
    writer.close()
