"""All connections of a bus, and whether they work: a publisher per server, a subscription to one's own inbox on the
server it is placed on, and one to the broadcasts on the first."""

import asyncio
import logging
from collections.abc import Sequence
from typing import Protocol

from iii_cluster.bus.connection import Publisher, Subscriber, publish_prefix
from iii_cluster.bus.endpoint import Endpoint, place
from iii_cluster.bus.inbox_probe import Advice, InboxProbe
from iii_cluster.bus.packets import SELF, pack
from iii_cluster.cluster.keys import Keys

log = logging.getLogger(__name__)


class Listener(Protocol):
    """What an uplink tells the bus."""

    def heard(self, bodies: list[bytes]) -> None:
        """Messages to the own inbox that arrived together."""

    def broadcast(self, body: bytes) -> None:
        """A message to everybody, this node's own included."""

    def publisher_up(self, publisher: Publisher) -> None:
        """A server can be published to again: packets may have been lost."""

    def ready_changed(self, ready: bool) -> None:
        """The inbox was lost or restored: packets may have been lost."""


class Uplink:
    def __init__(self, node: str, urls: Sequence[str], keys: Keys, listener: Listener) -> None:
        """Raises ValueError without URLs, or for one that cannot be parsed."""
        endpoints = list({endpoint.name: endpoint for endpoint in map(Endpoint, urls)}.values())
        if not endpoints:
            raise ValueError("the bus needs at least one Redis URL")
        self.ready = False
        self.lost_at: float | None = None  # loop time; None before start and while ready
        self._listener = listener
        self._names = [endpoint.name for endpoint in endpoints]
        self._inbox = keys.inbox(node).encode()
        self._inbox_prefix = publish_prefix(keys.inbox(node))
        self._broadcast_prefix = publish_prefix(keys.broadcast)
        self._self_packet = pack(SELF, node, 0, 0, 0, 0)
        self._probe = InboxProbe()
        self._changed = asyncio.Event()
        self._publishers = [
            Publisher(endpoint, f"pub:{node}", lambda i=i: self._publisher_up(i), self._review)  # type: ignore[misc]
            for i, endpoint in enumerate(endpoints)
        ]
        home = place(node, self._names)
        self._home = self._publishers[home]
        channels = {0: [keys.broadcast]}
        channels.setdefault(home, []).append(keys.inbox(node))
        subscribers = {
            i: Subscriber(endpoints[i], f"sub:{node}", names, self._heard, self._review, self._review)
            for i, names in channels.items()
        }
        self._subscribers = list(subscribers.values())
        self._subscriber = subscribers[home]

    async def start(self) -> None:
        """Connect; returns once everything is heard. Waits for Redis for ever."""
        self._loop = asyncio.get_running_loop()
        self.lost_at = self._loop.time()
        for connection in (*self._publishers, *self._subscribers):
            connection.start()
        while not (self.ready and all(subscriber.up for subscriber in self._subscribers)):
            self._changed.clear()
            await self._changed.wait()

    async def stop(self) -> None:
        await asyncio.gather(*(connection.stop() for connection in (*self._publishers, *self._subscribers)))

    def publisher_for(self, node: str) -> Publisher:
        """The connection to the server that carries this node's inbox."""
        return self._publishers[place(node, self._names)]

    def publish_to_all(self, body: bytes) -> None:
        """Publish a broadcast with the next flush."""
        self._publishers[0].publish(self._broadcast_prefix, body)

    def flush(self) -> None:
        """Write what was published, one write per server."""
        for publisher in self._publishers:
            publisher.flush()

    def check(self, now: float) -> None:
        """To be called several times a second: finds connections that are open but dead."""
        for publisher in self._publishers:
            publisher.check(now)
        if not self._connected:
            return
        advice = self._probe.tick(now)
        if advice is Advice.PROBE:
            self._publish_to_self()
        elif advice is Advice.RECONNECT:
            log.warning("action=subscription_deaf server=%s", self._subscriber.endpoint.name)
            self._subscriber.drop("deaf")

    @property
    def _connected(self) -> bool:
        return self._subscriber.up and self._home.up

    def _publish_to_self(self) -> None:
        self._home.publish(self._inbox_prefix, self._self_packet)
        self._home.flush()

    def _publisher_up(self, index: int) -> None:
        self._listener.publisher_up(self._publishers[index])
        self._review()

    def _heard(self, messages: list[tuple[bytes, bytes]]) -> None:
        inbox = self._inbox
        bodies = []
        for channel, body in messages:
            if channel == inbox:
                bodies.append(body)
            else:
                self._listener.broadcast(body)
        if bodies:
            if self._probe.heard(self._loop.time()):
                self._review()
            self._listener.heard(bodies)

    def _review(self) -> None:
        """A connection came or went, or the inbox is heard again."""
        self._changed.set()
        if not self._connected:
            self._probe.lost()
        elif not self._probe.healthy:
            self._publish_to_self()
        ready = self._connected and self._probe.healthy
        if ready == self.ready:
            return
        self.ready = ready
        self.lost_at = None if ready else self._loop.time()
        log.info("action=bus_ready ready=%s", ready)
        self._listener.ready_changed(ready)
