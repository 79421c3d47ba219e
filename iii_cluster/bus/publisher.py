"""The publishing connection of the bus to one Redis server, and what its replies tell."""

import logging
from collections import deque
from collections.abc import Callable

import hiredis

from iii_cluster.bus.connection import Connection, Reply, Wire, command, is_replica
from iii_cluster.bus.endpoint import Endpoint

log = logging.getLogger(__name__)

REPLY_TIMEOUT = 3.0  # seconds without any reply until the connection counts as dead
ROLE_INTERVAL = 1.0  # seconds between questions whether the server still is a primary

_ROLE = command(b"ROLE")


class Channel:
    """Where to publish. `unheard`: nobody was subscribed when Redis last took a message for it; `on_change(unheard)`
    is called when that changes, and must not raise.

    Messages are numbered from 1: `published` is the last one, `settled` the last one of which all that will ever be
    known is known, `heard` the last one that somebody may have heard: what came after it up to `settled` nobody did."""

    __slots__ = ("heard", "on_change", "prefix", "published", "settled", "unheard")

    def __init__(self, name: str, on_change: Callable[[bool], None] | None = None) -> None:
        encoded = name.encode()
        self.prefix = b"*3\r\n$7\r\nPUBLISH\r\n$%d\r\n%b\r\n$" % (len(encoded), encoded)
        self.unheard = False
        self.published = self.settled = self.heard = 0
        self.on_change = on_change

    def answered(self, receivers: int) -> None:
        """Redis has passed the next message on to so many."""
        self.settled += 1
        if receivers:
            self.heard = self.settled
        if self.unheard is not (receivers == 0):
            self.set_unheard(receivers == 0)

    def unanswered(self) -> None:
        """Nobody will know what became of the next message."""
        self.settled += 1
        self.heard = self.settled

    def set_unheard(self, unheard: bool) -> None:
        if self.unheard != unheard:
            self.unheard = unheard
            if self.on_change is not None:
                self.on_change(unheard)


class Publisher(Connection):
    """Publishes, or forgets what it is given while it is not connected. Leaves a server that became a replica."""

    def __init__(self, endpoint: Endpoint, label: str, on_up: Callable[[], None], on_down: Callable[[], None]) -> None:
        super().__init__(endpoint, label, on_up, on_down)
        self._out: list[bytes] = []
        self._unanswered: deque[Channel | None] = deque()  # one per command, None for ROLE; replies keep the order
        self._progress = False  # whether anything was answered since the last check
        self._waiting_since = 0.0  # of the check that first saw no progress; 0 if there was some
        self._role_at = 0.0
        self._refused = False  # whether this connection has logged an error reply

    def publish(self, channel: Channel, body: bytes) -> None:
        """Publish `body` with the next flush."""
        if self.up:
            self._out.append(b"%b%d\r\n%b\r\n" % (channel.prefix, len(body), body))
            self._unanswered.append(channel)
            channel.published += 1

    def flush(self) -> None:
        """Write everything published since the last flush, at once."""
        if self._out and self.up and self._wire is not None and self._wire.transport is not None:
            self._wire.transport.writelines(self._out)
        self._out = []

    def check(self, now: float) -> None:
        """To be called several times a second, before a flush: drops a connection that stopped answering, asks for
        the server's role."""
        if not self.up or not self._unanswered or self._progress:
            self._waiting_since = 0.0
        elif not self._waiting_since:
            self._waiting_since = now
        elif now - self._waiting_since > REPLY_TIMEOUT:
            self.drop("no replies")
        self._progress = False
        if self.up and now >= self._role_at:
            self._role_at = now + ROLE_INTERVAL
            self._out.append(_ROLE)
            self._unanswered.append(None)

    def _greeting(self) -> list[tuple[bytes, ...]]:
        self._out = []
        for channel in self._unanswered:
            if channel is not None:
                channel.unanswered()
        self._unanswered.clear()
        self._refused = False
        return [(b"PING",)]  # refused before authentication and while the server loads its data

    def received(self, wire: Wire, replies: list[Reply]) -> None:
        self._progress = True
        unanswered = self._unanswered
        for reply in replies:
            if wire.awaited:
                wire.answered(reply)
                continue
            if not unanswered:
                wire.close(hiredis.ProtocolError("a reply to nothing"))
                return
            channel = unanswered.popleft()
            if channel is not None and isinstance(reply, int):
                channel.answered(reply)
            elif isinstance(reply, hiredis.ReplyError):
                self._refused_by(channel, reply)
            elif is_replica(reply):
                wire.close(ConnectionAbortedError("the server became a replica"))
                return

    def _refused_by(self, channel: Channel | None, error: Exception) -> None:
        if channel is not None:
            channel.unanswered()
        if channel is not None and not self._refused:
            self._refused = True
            log.error("action=publish_refused server=%s error=%s", self.endpoint.name, error)
