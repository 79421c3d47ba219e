"""All connections of a bus, and whether they work: a publisher per server, a subscription to one's own inbox on the
server it is placed on, and one to the broadcasts on the first."""

import asyncio
import logging
from collections.abc import Callable, Sequence
from typing import Protocol

from iii_cluster.bus.endpoint import Endpoint, place
from iii_cluster.bus.publisher import Channel, Publisher
from iii_cluster.bus.subscription import Subscription
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
        """A subscription was lost or restored: packets may have been lost."""


class Uplink:
    def __init__(self, node: str, urls: Sequence[str], keys: Keys, listener: Listener) -> None:
        """Raises ValueError without URLs, or for one that cannot be parsed."""
        endpoints = list({endpoint.name: endpoint for endpoint in map(Endpoint, urls)}.values())
        if not endpoints:
            raise ValueError("the bus needs at least one Redis URL")
        self.ready = False
        self.lost_at: float | None = None  # loop time; None before start and while the inbox is heard
        self._listener = listener
        self._names = [endpoint.name for endpoint in endpoints]
        self._broadcasts = Channel(keys.broadcast)
        self._changed = asyncio.Event()
        self._publishers = [
            Publisher(endpoint, f"pub:{node}", lambda i=i: self._publisher_up(i), self._review)  # type: ignore[misc]
            for i, endpoint in enumerate(endpoints)
        ]
        home = place(node, self._names)

        def subscription(i: int, on_mail: Callable[[list[bytes]], None]) -> Subscription:
            others = [keys.broadcast] if i == 0 else []
            return Subscription(
                endpoints[i],
                node,
                keys.inbox(node),
                others,
                self._publishers[i],
                on_mail,
                listener.broadcast,
                self._tell,
            )

        self._home = subscription(home, listener.heard)
        self._subscriptions = [self._home]
        if home != 0:
            self._subscriptions.append(subscription(0, lambda bodies: None))

    async def start(self) -> None:
        """Connect; returns once everything is heard. Waits for Redis for ever."""
        self._loop = asyncio.get_running_loop()
        self.lost_at = self._loop.time()
        for publisher in self._publishers:
            publisher.start()
        for subscription in self._subscriptions:
            subscription.start()
        while not self.ready:
            self._changed.clear()
            await self._changed.wait()

    async def stop(self, linger: bool) -> None:
        stops = [publisher.stop(linger) for publisher in self._publishers]
        stops += [subscription.stop(linger) for subscription in self._subscriptions]
        await asyncio.gather(*stops)

    def publisher_for(self, node: str) -> Publisher:
        """The connection to the server that carries this node's inbox."""
        return self._publishers[place(node, self._names)]

    def publish_to_all(self, body: bytes) -> None:
        """Publish a broadcast with the next flush."""
        self._publishers[0].publish(self._broadcasts, body)

    def flush(self) -> None:
        """Write what was published, one write per server."""
        for publisher in self._publishers:
            publisher.flush()

    def check(self, now: float) -> None:
        """To be called several times a second, before a flush: finds connections that are open but dead."""
        for publisher in self._publishers:
            publisher.check(now)
        for subscription in self._subscriptions:
            subscription.check(now)

    def _publisher_up(self, index: int) -> None:
        self._listener.publisher_up(self._publishers[index])
        self._review()

    def _review(self) -> None:
        """A publisher came or went."""
        for subscription in self._subscriptions:
            subscription.review()

    def _tell(self) -> None:
        if not self._home.ready:
            self.lost_at = self._loop.time() if self.lost_at is None else self.lost_at
        else:
            self.lost_at = None
        ready = all(subscription.ready for subscription in self._subscriptions)
        if ready == self.ready:
            return
        self.ready = ready
        self._changed.set()
        log.info("action=bus_ready ready=%s", ready)
        self._listener.ready_changed(ready)
