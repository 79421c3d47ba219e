"""A TCP load balancer in front of gateways: clients know one address, the test decides where it leads."""

import asyncio
from types import TracebackType

from tests.support.ports import release_port, reserve_port


class Balancer:
    """Forwards new connections to `target`, a port of 127.0.0.1; those that exist stay where they are."""

    def __init__(self, target: int) -> None:
        self.target = target
        self._port = reserve_port()
        self._clients: set[asyncio.StreamWriter] = set()
        self._forsaken: set[asyncio.StreamWriter] = set()
        self._tasks: set[asyncio.Task[None]] = set()

    @property
    def url(self) -> str:
        return f"ws://127.0.0.1:{self._port}"

    async def __aenter__(self) -> "Balancer":
        self._server = await asyncio.start_server(self._accept, "127.0.0.1", self._port)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._server.close()
        for task in self._tasks:
            task.cancel()
        if self._tasks:
            await asyncio.wait(self._tasks)
        await self._server.wait_closed()
        release_port(self._port)

    def forsake_clients(self) -> None:
        """Drops every client's connection but keeps its other half open: the gateway does not notice."""
        self._forsaken |= self._clients
        for client in self._clients:
            client.transport.abort()

    async def _accept(self, reader: asyncio.StreamReader, client: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        try:
            answers, gateway = await asyncio.open_connection("127.0.0.1", self.target)
        except OSError:
            client.transport.abort()
            return
        self._clients.add(client)
        down = asyncio.create_task(_pump(answers, client))
        up = asyncio.create_task(_pump(reader, gateway))
        try:
            await asyncio.wait([up, down], return_when=asyncio.FIRST_COMPLETED)
            if client in self._forsaken:
                await down
        except asyncio.CancelledError:
            pass  # the test is over
        finally:
            for pump in (up, down):
                pump.cancel()
            for writer in (client, gateway):
                writer.transport.abort()
            self._clients.discard(client)
            await asyncio.wait([up, down])


async def _pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    try:
        while chunk := await reader.read(65536):
            if not writer.is_closing():
                writer.write(chunk)
                await writer.drain()
    except OSError:
        pass  # one of the two sides is gone: the end of this direction
