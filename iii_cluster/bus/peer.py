"""One peer as the bus sees it: the link to it, where its inbox is, and whether anybody listens there."""

from collections import deque
from collections.abc import Callable, Iterator
from math import inf

from iii_cluster.bus.link import Link
from iii_cluster.bus.publisher import Channel, Publisher
from iii_cluster.bus.sender import Place

CALL_INTERVAL = 0.25  # seconds between calls to a peer whose inbox nobody listened on


class Peer:
    """`on_reachable(peer, on)` is called when that changes, and must not raise."""

    __slots__ = (
        "_called_at",
        "_flushes",
        "channel",
        "dirty",
        "forgotten",
        "heard_at",
        "link",
        "node",
        "publisher",
        "watched",
    )

    def __init__(
        self,
        node: str,
        link: Link,
        inbox: str,
        publisher: Publisher,
        now: float,
        on_reachable: Callable[["Peer", bool], None],
    ) -> None:
        self.node = node
        self.link = link
        self.channel = Channel(inbox, lambda unheard: on_reachable(self, not unheard))
        self.publisher = publisher
        self.heard_at = now
        self.dirty = False  # in the list of the next flush
        self.watched = False  # looked at by the timer
        self.forgotten = False
        self._called_at = now
        # Where the link stood, and how much had been published, before each flush that nobody may have heard yet.
        self._flushes: deque[tuple[int, Place]] = deque()

    @property
    def unreachable(self) -> bool:
        return self.channel.unheard

    @property
    def active(self) -> bool:
        """Whether the timer has to look at it."""
        return self.channel.unheard or self.link.active

    @property
    def settled(self) -> bool:
        """Whether it has acknowledged everything, or there is nobody who could."""
        return self.channel.unheard or self.link.settled

    def heard(self, now: float) -> None:
        """It sent something. Who is unreachable may be back: it is called at once, as it may also have lost nothing
        but its subscription, or be dead, and this is late mail."""
        self.heard_at = now
        if self.channel.unheard:
            self._called_at = -inf

    def flush(self, now: float) -> None:
        """Publish what the link has to say."""
        channel, flushes, place = self.channel, self._flushes, self.link.place
        while flushes and flushes[0][0] < channel.heard:
            flushes.popleft()
        published = channel.published
        for packet in self.link.flush(now):
            self.publisher.publish(channel, packet)
        if self.link.sent != place.packet:
            flushes.append((published, place))

    def unheard(self) -> Iterator[bytes]:
        """The envelopes that surely never reached anybody, in their order: what contains them was published to no
        subscriber, or not at all."""
        channel, place = self.channel, self.link.place
        if channel.settled == channel.published:
            place = next((place for published, place in self._flushes if published >= channel.heard), place)
        return self.link.after(place)

    def call(self, now: float) -> None:
        """While it is unreachable: find out now and then whether it is back, even if there is nothing to send."""
        if self.channel.unheard and now - self._called_at >= CALL_INTERVAL:
            self._called_at = now
            self.publisher.publish(self.channel, self.link.call())
