"""One stream client's socket: what the client says in, frames made elsewhere out.

A client that does not read is congested: it takes nothing until it has read what is under way.
"""

import asyncio
from collections.abc import Callable, Sequence
from typing import Any

from websockets.protocol import State
from websockets.server import ServerProtocol
from websockets.typing import Subprotocol

from gateway.sockets.compression import stream_extensions
from gateway.sockets.websocket import QUIET, Keeper, WebSocket

from .frames import Deflated


def _first(protocol: ServerProtocol, offered: Sequence[Subprotocol]) -> Subprotocol | None:
    """Clients may offer credentials as a subprotocol; browsers end a connection that selects none of their offer."""
    return offered[0] if offered else None


class StreamConnection(WebSocket):
    """A socket of the stream port, from accept to close. `on_text` gets what the client says, once there is one."""

    __slots__ = ("_deflated", "on_text")

    def __init__(self, port: Keeper, max_message: int, deflated: Deflated) -> None:
        """`max_message`: the longest message a client may send, bytes. `deflated` is shared by all clients."""
        extensions = stream_extensions(port.settings)
        protocol = ServerProtocol(select_subprotocol=_first, extensions=extensions, max_size=max_message, logger=QUIET)
        super().__init__(port, protocol)
        self._deflated = deflated
        self.on_text: Callable[[bytes], None] | None = None

    def _address(self, peer: tuple[Any, ...]) -> str:
        """ "10.0.0.7:51522"."""
        host, port = str(peer[0]), peer[1]
        return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"

    def connection_lost(self, exc: Exception | None) -> None:
        self.on_text = None
        super().connection_lost(exc)

    def _on_message(self, payload: bytes, *, text: bool) -> None:
        if self.on_text is not None:
            self.on_text(payload)

    def send(self, frame: bytes) -> bool:
        """Send a frame as it goes on the wire; False when the client does not keep up."""
        if self.congested or self._ws.state is not State.OPEN:
            return False
        if self._ws.extensions:
            frame = self._deflated.of(frame)
        self._ws.writes.append(frame)  # where the library itself puts the frames it makes
        self._mark()
        return True

    def _write(self, transport: asyncio.Transport, writes: Sequence[bytes]) -> None:
        if len(writes) == 1:
            transport.write(writes[0])
        else:
            transport.writelines(writes)  # frames are shared among clients: joining them would copy
