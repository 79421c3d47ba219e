"""The ports every process has for itself: for its administration, and for those who collect its metrics."""

import asyncio
import logging
import socket
from collections.abc import Mapping
from contextlib import ExitStack

from iii_cluster.access.tls import tls_files
from iii_cluster.access.tokens import Tokens
from iii_cluster.config.hosts import is_loopback
from iii_cluster.config.ports import Listening, admin_port, metrics_port
from iii_cluster.config.settings import Settings

from .admin import Action, Admin, Page, Text, bind

METRICS = "/metrics"

log = logging.getLogger(__name__)


class OwnPorts:
    """Bound when made, so that they can be announced; raises what prevents that. Served from `start` to `stop`.

    What other hosts reach wants the tokens of the workers; the certificate is that of the admin port.
    """

    def __init__(
        self, settings: Settings, pages: Mapping[str, Page], actions: Mapping[str, Action], metrics: Text
    ) -> None:
        texts = {METRICS: metrics}
        with ExitStack() as bound:
            admin = _bound(admin_port(settings), bound)
            collected = _bound(metrics_port(settings), bound)
            self.numbers = {"admin": _number(admin), "metrics": _number(collected)}
            self._servers = [
                _server(settings, admin_port(settings), admin, pages, actions, texts),
                _server(settings, metrics_port(settings), collected, {}, {}, texts),
            ]
            bound.pop_all()

    async def start(self) -> None:
        for server in self._servers:
            await server.start()

    async def stop(self) -> None:
        await asyncio.gather(*(server.stop() for server in self._servers))  # each gives its connections a moment


def _bound(own: Listening, bound: ExitStack) -> socket.socket:
    return bound.enter_context(bind(own.host, own.port))


def _number(listener: socket.socket) -> int:
    return int(listener.getsockname()[1])


def _server(
    settings: Settings,
    own: Listening,
    listener: socket.socket,
    pages: Mapping[str, Page],
    actions: Mapping[str, Action],
    texts: Mapping[str, Text],
) -> Admin:
    tokens = Tokens() if is_loopback(own.host) else Tokens(settings.tokens, settings.tokens_file)
    if not tokens.required and not is_loopback(own.host):
        log.warning("action=%s_open host=%s reason=no tokens are set", own.name, own.host)
    tls = tls_files(own.tls) if own.tls is not None else None
    return Admin(listener, pages, actions, tls, tokens, texts)
