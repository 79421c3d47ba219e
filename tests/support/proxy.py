"""A TCP proxy in front of Redis: it can be pointed elsewhere, reset its connections, or leave them open but silent."""

import asyncio
import ssl
from asyncio import StreamReader, StreamWriter, Task

_PUSH = b"$7\r\nmessage\r\n"  # how a published message begins on the wire


class _Pair:
    """A client's connection and the one made for it."""

    def __init__(self, client: StreamWriter, server: StreamWriter) -> None:
        self.client = client
        self.server = server
        self.muted = False


class Proxy:
    """Forwards from a free port of 127.0.0.1 to `target`. With `tls`, clients connect through TLS."""

    def __init__(self, target: int, tls: ssl.SSLContext | None = None) -> None:
        self.port = 0
        self.target = target  # port of connections made from now on; those of before stay where they are
        self.swallow_pushes = False  # a connection that should carry a published message goes silent for good
        self.connections = 0  # accepted so far
        self._tls = tls
        self._pairs: set[_Pair] = set()
        self._tasks: set[Task[None]] = set()

    @property
    def url(self) -> str:
        return f"redis://127.0.0.1:{self.port}"

    async def __aenter__(self) -> "Proxy":
        self._server = await asyncio.start_server(self._accept, "127.0.0.1", 0, ssl=self._tls)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, *exc: object) -> None:
        self._server.close()
        self.reset()  # what is closed with unsent bytes is closed only when somebody takes them
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def mute(self) -> None:
        """Swallow everything the server sends on the connections of now; later ones work."""
        for pair in self._pairs:
            pair.muted = True

    def reset(self) -> None:
        """Abort the connections of now, at both ends."""
        for pair in self._pairs:
            pair.client.transport.abort()
            pair.server.transport.abort()

    async def _accept(self, reader: StreamReader, writer: StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        self.connections += 1
        try:
            await self._serve(reader, writer)
        except (OSError, asyncio.CancelledError):
            pass  # the target is away, or the proxy ends
        finally:
            writer.close()
            self._tasks.discard(task)

    async def _serve(self, reader: StreamReader, writer: StreamWriter) -> None:
        back_reader, back_writer = await asyncio.open_connection("127.0.0.1", self.target)
        pair = _Pair(writer, back_writer)
        self._pairs.add(pair)
        try:
            await asyncio.gather(self._forward(reader, back_writer, None), self._forward(back_reader, writer, pair))
        finally:
            back_writer.close()
            self._pairs.discard(pair)

    async def _forward(self, reader: StreamReader, writer: StreamWriter, muting: _Pair | None) -> None:
        """`muting` is the pair whose way back this is."""
        try:
            while data := await reader.read(65536):
                if muting is not None:
                    muting.muted |= self.swallow_pushes and _PUSH in data
                    if muting.muted:
                        continue
                writer.write(data)
                await writer.drain()
        except OSError:
            pass
        finally:
            writer.close()
