"""A TCP proxy that can turn existing connections deaf: open, but nothing comes back any more."""

import asyncio
import ssl
from asyncio import StreamReader, StreamWriter, Task


class Proxy:
    """Forwards from a free port of 127.0.0.1 to `port`. With `tls`, clients connect through TLS."""

    def __init__(self, port: int, tls: ssl.SSLContext | None = None) -> None:
        self.port = 0
        self.connections = 0  # accepted so far
        self._target = port
        self._tls = tls
        self._muted: set[Task[None]] = set()
        self._backward: set[Task[None]] = set()
        self._tasks: set[Task[None]] = set()

    async def __aenter__(self) -> "Proxy":
        self._server = await asyncio.start_server(self._accept, "127.0.0.1", 0, ssl=self._tls)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, *exc: object) -> None:
        self._server.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def mute(self) -> None:
        """Swallow everything the server sends on the connections of now; later ones work."""
        self._muted |= self._backward

    async def _accept(self, reader: StreamReader, writer: StreamWriter) -> None:
        self.connections += 1
        try:
            back_reader, back_writer = await asyncio.open_connection("127.0.0.1", self._target)
        except OSError:
            writer.close()
            return
        self._pipe(reader, back_writer)
        self._backward.add(self._pipe(back_reader, writer))

    def _pipe(self, reader: StreamReader, writer: StreamWriter) -> Task[None]:
        task = asyncio.ensure_future(self._forward(reader, writer))
        self._tasks.add(task)
        return task

    async def _forward(self, reader: StreamReader, writer: StreamWriter) -> None:
        me = asyncio.current_task()
        try:
            while data := await reader.read(65536):
                if me not in self._muted:
                    writer.write(data)
                    await writer.drain()
        except OSError:
            pass
        finally:
            writer.close()
