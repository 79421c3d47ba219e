"""The console of one coordinator: it serves whether this one leads or not, through all incarnations of its node."""

import asyncio
import logging

from iii_cluster.config.ports import console_port
from iii_cluster.node.node import Node
from iii_cluster.routing.firing import Firing

from . import assets
from .app import Application
from .filters import read_filter
from .gate import READ_ONLY, Gate
from .live import Live
from .port import ConsolePort
from .reach import Reach
from .reading import Reading, Topic
from .reference import Reference
from .routes import Handler, Request, Route, Routes
from .watcher import Watcher
from .writing import Writing

LOCKED = "to change things, show one of this console's tokens"

logger = logging.getLogger(__name__)


class Console:
    """Listens from `start` to `stop`. Raises TokensError or TlsError when its files cannot be used."""

    def __init__(self, node: Node) -> None:
        settings = node.settings
        self._own = console_port(settings)
        self._gate = Gate(settings)
        self._reach = Reach()
        self._watcher = Watcher(self._reach)
        self._reading = Reading(self._reach, self._watcher)
        topics = self._reading.topics()
        self._live = Live(self._gate, topics)
        app = Application(self._gate, assets.load(), Routes(self._routes(topics)), self._live.serve)
        self._port = ConsolePort(self._own, self._gate, app)

    def attach(self, node: Node, firing: Firing) -> None:
        """Go on by way of `node`, whose calls `firing` makes."""
        self._reach.attach(node, firing)
        node.membership.subscribe(self._watcher.on_map)

    async def start(self) -> None:
        """Raises OSError when the address is taken by somebody who does not share it."""
        await self._port.start()
        self._watcher.start()
        if self._gate.open_to_network:
            logger.warning("action=console_open host=%s reason=no tokens are set", self._own.host)

    async def stop(self) -> None:
        await self._watcher.stop()
        await self._port.stop()
        await self._live.close()
        self._reach.close()

    @property
    def port(self) -> int:
        """0 before `start`."""
        return self._port.port

    def describe(self) -> dict[str, int]:
        """Numbers for the admin port."""
        points = len(self._watcher.history.points)
        return {"connections": self._port.connections, "live": len(self._live), "points": points}

    def _routes(self, topics: list[Topic]) -> list[Route]:
        writing = Writing(self._reach)
        reading = [Route("GET", topic.path, _handler(topic)) for topic in topics]
        session = Route("GET", "/api/session", self._session)
        return [session, *reading, *writing.routes(), *Reference(self._reach, writing).routes()]

    async def _session(self, request: Request) -> bytes:
        self._gate.check_shown(request.authorizations, asyncio.get_running_loop().time())
        tokens, writable = self._gate.writers.required, self._gate.may_write(request.authorizations)
        hint = "" if writable else LOCKED if tokens else READ_ONLY
        shown = bool(request.authorizations)
        return self._reading.session(writable=writable, tokens=tokens, token_shown=shown, hint=hint)


def _handler(topic: Topic) -> Handler:
    async def handler(request: Request) -> bytes:
        return await topic.fetch(read_filter(topic.filter, request.asked))

    return handler
