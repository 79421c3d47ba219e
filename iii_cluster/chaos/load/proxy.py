"""What stands between the load and a gateway, so that connections can be reset as a network does it."""

import asyncio
import socket
import struct
from collections.abc import Callable

from iii_cluster.chaos.clusters.addresses import Address, connected

LINGER_RESET = struct.pack("ii", 1, 0)  # closing sends RST, whatever is still on its way


class Proxy:
    """Forwards connections to 127.0.0.1:`port` to wherever `target` says at that moment; refuses them if that fails."""

    def __init__(self, target: Callable[[], Address | None]) -> None:
        self.port = 0
        self._target = target
        self._server: asyncio.Server | None = None
        self._pairs: dict[int, tuple[_Half, _Half]] = {}  # by the client's port
        self._tasks: set[asyncio.Task[None]] = set()

    async def start(self) -> None:
        loop = asyncio.get_running_loop()
        self._server = await loop.create_server(lambda: _Half(self._accepted), "127.0.0.1", 0)
        self.port = self._server.sockets[0].getsockname()[1]

    async def close(self) -> None:
        if self._server is not None:
            self._server.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        for near, far in list(self._pairs.values()):
            near.abort()
            far.abort()

    def reset(self, client_port: int) -> bool:
        """Both ends of the client's connection get a RST; False if there is none."""
        pair = self._pairs.pop(client_port, None)
        if pair is None:
            return False
        for half in pair:
            half.reset()
        return True

    def _accepted(self, near: "_Half") -> None:
        near.pause()
        task = asyncio.get_running_loop().create_task(self._connect(near))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _connect(self, near: "_Half") -> None:
        far = _Half(None)
        try:
            address = self._target()
            if address is None:
                raise ConnectionRefusedError
            made = await connected(address)
            await asyncio.get_running_loop().create_connection(lambda: far, sock=made)
        except OSError:
            near.reset()
            return
        port = near.peer_port
        self._pairs[port] = (near, far)
        near.join(far, lambda: self._pairs.pop(port, None))
        far.join(near, lambda: self._pairs.pop(port, None))
        near.resume()


class _Half(asyncio.Protocol):
    """One side of a forwarded connection; backpressure and ends are passed on."""

    def __init__(self, on_open: "Callable[[_Half], None] | None") -> None:
        self._on_open = on_open
        self._other: _Half | None = None
        self._on_end: Callable[[], object] = lambda: None
        self._transport: asyncio.Transport | None = None
        self.peer_port = 0

    def join(self, other: "_Half", on_end: Callable[[], object]) -> None:
        self._other = other
        self._on_end = on_end
        if self._transport is None:  # it ended before the far side was there
            other.abort()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        self.peer_port = transport.get_extra_info("peername")[1]
        if self._on_open is not None:
            self._on_open(self)

    def data_received(self, data: bytes) -> None:
        if self._other is not None and self._other._transport is not None:
            self._other._transport.write(data)

    def connection_lost(self, error: Exception | None) -> None:
        self._transport = None
        self._on_end()
        if self._other is not None:
            if error is not None:
                self._other.reset()
            elif self._other._transport is not None:
                self._other._transport.close()

    def pause_writing(self) -> None:
        if self._other is not None:
            self._other.pause()

    def resume_writing(self) -> None:
        if self._other is not None:
            self._other.resume()

    def pause(self) -> None:
        if self._transport is not None and self._transport.is_reading():
            self._transport.pause_reading()

    def resume(self) -> None:
        if self._transport is not None and not self._transport.is_reading():
            self._transport.resume_reading()

    def abort(self) -> None:
        if self._transport is not None:
            self._transport.abort()

    def reset(self) -> None:
        if self._transport is not None:
            made = self._transport.get_extra_info("socket")
            made.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, LINGER_RESET)
            self._transport.abort()
