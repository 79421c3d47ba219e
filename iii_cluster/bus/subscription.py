"""What a node hears through one server: its own inbox there, other channels, and whether it does hear.

The inbox proves the connection: on a server that carries no mail for this node only its own probes arrive in it.
"""

import logging
from collections.abc import Callable, Sequence
from functools import partial

from iii_cluster.bus.endpoint import Endpoint
from iii_cluster.bus.inbox_probe import Advice, InboxProbe
from iii_cluster.bus.packets import SELF, pack
from iii_cluster.bus.publisher import Channel, Publisher
from iii_cluster.bus.subscriber import Subscriber

log = logging.getLogger(__name__)


class Subscription:
    """`on_mail(bodies)` and `on_other(body)` get what arrives; `on_change` is called when `ready` may have changed."""

    def __init__(
        self,
        endpoint: Endpoint,
        node: str,
        inbox: str,
        others: Sequence[str],
        publisher: Publisher,
        on_mail: Callable[[list[bytes]], None],
        on_other: Callable[[bytes], None],
        on_change: Callable[[], None],
    ) -> None:
        self._inbox = inbox
        self._inbox_name = inbox.encode()
        self._publisher = publisher  # to the same server
        self._on_mail = on_mail
        self._on_other = on_other
        self._on_change = on_change
        self._self_packet = pack(SELF, node, 0, 0, 0, 0)
        self._probe = InboxProbe()
        self._subscriber = Subscriber(endpoint, f"sub:{node}", [inbox, *others], self._heard, self.review, self.review)

    def start(self) -> None:
        self._subscriber.start()

    async def stop(self, linger: bool) -> None:
        await self._subscriber.stop(linger)

    @property
    def ready(self) -> bool:
        """Whether what is published to this server now is heard."""
        return self._connected and self._probe.healthy

    @property
    def _connected(self) -> bool:
        return self._subscriber.up and self._publisher.up

    def review(self) -> None:
        """A connection came or went, or something is heard again."""
        if not self._connected:
            self._probe.lost()
        elif not self._probe.healthy:
            self._publish_to_self()
        self._on_change()

    def check(self, now: float) -> None:
        """To be called several times a second: probes, and leaves a connection that is deaf."""
        if not self._connected:
            return
        advice = self._probe.tick(now)
        if advice is Advice.PROBE:
            self._publish_to_self()
        elif advice is Advice.RECONNECT:
            self._leave("deaf")

    def _publish_to_self(self) -> None:
        subscribed = self._subscriber.birth
        self._publisher.publish(Channel(self._inbox, partial(self._unheard, subscribed)), self._self_packet)
        self._publisher.flush()

    def _unheard(self, subscribed: object, unheard: bool) -> None:
        """The server publishes to nobody what this node was subscribed to when it asked: it was cut off without
        knowing it yet, or after a failover its two connections lead to different servers."""
        if unheard and self._subscriber.birth is subscribed:
            self._leave("not subscribed")

    def _leave(self, reason: str) -> None:
        if self._subscriber.up:
            log.warning("action=subscription_deaf server=%s reason=%r", self._subscriber.endpoint.name, reason)
            self._subscriber.drop(reason)

    def _heard(self, messages: list[tuple[bytes, bytes]]) -> None:
        inbox = self._inbox_name
        bodies = []
        for channel, body in messages:
            if channel == inbox:
                bodies.append(body)
            else:
                self._on_other(body)
        if bodies:
            if self._probe.heard():
                self.review()
            self._on_mail(bodies)
