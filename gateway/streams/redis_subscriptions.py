"""The pub/sub channels of Redis that a gateway listens to, one connection for all of them.

What is published while the connection is away is not heard. The audience is told when it went, and of each channel that
is heard again.
"""

import asyncio
import logging
from collections.abc import Callable
from typing import Protocol

from iii_cluster.bus.connection import Connection, Reply, Wire, command
from iii_cluster.bus.endpoint import Endpoint
from iii_cluster.bus.inbox_probe import Advice, InboxProbe

log = logging.getLogger(__name__)


class Audience(Protocol):
    """What is told of the channels."""

    def heard(self, channel: bytes) -> None:
        """Everything published to it from now on arrives."""

    def message(self, channel: bytes, body: bytes) -> None: ...

    def deaf(self) -> None:
        """No channel is heard any more, until `heard` says so."""


class RedisSubscriptions(Connection):
    """`probe` is this gateway's own channel: what it publishes there must come back, or the connection is deaf.

    `publish(channel)` publishes an empty message, through another connection; the future tells how many listened.
    """

    def __init__(
        self,
        endpoint: Endpoint,
        label: str,
        probe: bytes,
        audience: Audience,
        publish: Callable[[bytes], "asyncio.Future[int]"],
    ) -> None:
        super().__init__(endpoint, label, self._came_up, self._went_down)
        self._probe_channel = probe
        self._audience = audience
        self._publish = publish
        self._probe = InboxProbe()
        self._wanted: set[bytes] = set()
        self._unconfirmed: dict[bytes, int] = {}  # subscriptions on this connection the server has not confirmed

    def __len__(self) -> int:
        return len(self._wanted)

    def subscribe(self, channel: bytes) -> None:
        """The audience is told when it is heard; again after every loss of the connection."""
        self._wanted.add(channel)
        if self.up:
            self._ask((channel,))

    def unsubscribe(self, channel: bytes) -> None:
        self._wanted.discard(channel)
        if self.up:
            self._write(command(b"UNSUBSCRIBE", channel))

    def check(self, now: float) -> None:
        """To be called once a second: leaves a connection that is deaf."""
        if not self.up or not self._wanted:
            return
        advice = self._probe.tick(now)
        if advice is Advice.PROBE:
            subscribed = self.birth
            self._publish(self._probe_channel).add_done_callback(lambda ended: self._published(subscribed, ended))
        elif advice is Advice.RECONNECT:
            self._leave("deaf")

    def _published(self, subscribed: object, ended: "asyncio.Future[int]") -> None:
        """The server publishes to nobody what this connection is subscribed to: after a failover the two connections
        lead to different servers, or the server has cut this one off."""
        if not ended.cancelled() and ended.exception() is None and not ended.result() and self.birth is subscribed:
            self._leave("not subscribed")

    def _leave(self, reason: str) -> None:
        if self.up:
            log.warning("action=subscription_deaf server=%s reason=%r", self.endpoint.name, reason)
            self.drop(reason)

    # -- Connection --------------------------------------------------------------------------------

    def _greeting(self) -> list[tuple[bytes, ...]]:
        return [(b"SUBSCRIBE", self._probe_channel)]

    def _came_up(self) -> None:
        self._unconfirmed = {}
        self._ask(tuple(self._wanted))

    def _went_down(self) -> None:
        self._probe.lost()
        self._audience.deaf()

    def received(self, wire: Wire, replies: list[Reply]) -> None:
        for reply in replies:
            if not isinstance(reply, list) or len(reply) != 3:
                self._answered(wire, reply)
            elif reply[0] == b"message":
                self._message(reply[1], reply[2])
            elif wire.awaited:
                wire.answered(reply)
            elif reply[0] == b"subscribe":
                self._confirmed(reply[1])

    def _answered(self, wire: Wire, reply: Reply) -> None:
        if wire.awaited:
            wire.answered(reply)
        else:
            log.error("action=subscription_refused server=%s error=%r", self.endpoint.name, reply)

    def _message(self, channel: bytes, body: bytes) -> None:
        if channel == self._probe_channel:
            self._probe.heard()
        elif channel in self._wanted:
            self._audience.message(channel, body)

    def _confirmed(self, channel: bytes) -> None:
        """Only the latest subscription counts: an earlier one was ended since."""
        left = self._unconfirmed.pop(channel, 1) - 1
        if left:
            self._unconfirmed[channel] = left
        elif channel in self._wanted:
            self._audience.heard(channel)

    def _ask(self, channels: tuple[bytes, ...]) -> None:
        if channels:
            for channel in channels:
                self._unconfirmed[channel] = self._unconfirmed.get(channel, 0) + 1
            self._write(command(b"SUBSCRIBE", *channels))

    def _write(self, data: bytes) -> None:
        if self._wire is not None and self._wire.transport is not None:
            self._wire.transport.write(data)
