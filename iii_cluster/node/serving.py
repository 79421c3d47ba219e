"""uvicorn on a bound socket of the running loop, with certificates and tokens that are read again when they change."""

import asyncio
import socket
from collections.abc import Callable
from functools import partial
from typing import Any

import uvicorn
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from iii_cluster.access.tls import TlsFiles
from iii_cluster.access.tokens import Tokens

TLS_HANDSHAKE_TIMEOUT = 10.0  # s
TLS_SHUTDOWN_TIMEOUT = 2.0  # s
LOOK = 1.0  # s between looks whether certificates or tokens have changed

Protocol = Callable[..., asyncio.Protocol]


class Serving:
    """From `start` to `stop`. `protocol` takes what uvicorn's take: configuration, state of the server, of the app."""

    def __init__(
        self,
        listener: socket.socket,
        config: uvicorn.Config,
        tls: TlsFiles | None = None,
        tokens: tuple[Tokens, ...] = (),
        protocol: Protocol = HttpToolsProtocol,
    ) -> None:
        self._listener = listener
        self._tls = tls
        self._tokens = tokens
        self._config = config
        self._protocol = protocol
        # `Server.serve` would take the process' signals and wake up ten times a second; its other half does neither.
        self._server = uvicorn.Server(config)
        self._server.lifespan = config.lifespan_class(config)
        self._looking: asyncio.TimerHandle | None = None

    @property
    def connections(self) -> int:
        return len(self._server.server_state.connections)

    async def start(self) -> None:
        tls: dict[str, Any] = {}
        if self._tls is not None:
            tls = {
                "ssl": self._tls.context,
                "ssl_handshake_timeout": TLS_HANDSHAKE_TIMEOUT,
                "ssl_shutdown_timeout": TLS_SHUTDOWN_TIMEOUT,
            }
        make = partial(self._protocol, self._config, self._server.server_state, {})
        server = await asyncio.get_running_loop().create_server(
            make, sock=self._listener, backlog=self._config.backlog, **tls
        )
        self._server.servers = [server]
        self._look()

    async def stop(self) -> None:
        if self._looking is not None:
            self._looking.cancel()
        await self._server.shutdown(sockets=[self._listener])

    def _look(self) -> None:
        loop = asyncio.get_running_loop()
        for tokens in self._tokens:
            tokens.tick(loop.time())
        if self._tls is not None:
            self._tls.tick(loop.time())
        self._looking = loop.call_later(LOOK, self._look)
