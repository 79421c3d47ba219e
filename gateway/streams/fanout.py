"""Who gets which event of which group, and snapshots and events in one order. Pure.

A subscription follows a group or one item of it. It begins with a snapshot ("sync"), read after the group's channel is
heard; events that arrive meanwhile are held, and those newer than the snapshot follow it. Snapshots and events have
timestamps, given in the order of Redis, so an event can neither be lost between them nor undo a snapshot. A client that
does not keep up gets no events any more, and a fresh snapshot as soon as it does.
"""

from collections.abc import Iterable
from typing import NamedTuple, Protocol

HELD_BYTES = 8 * 2**20  # of events that wait for a snapshot of their group; beyond that the snapshot is read again

Key = tuple[str, str]  # stream, group


class Event(NamedTuple):
    """One message of a group's channel. Without a frame it only says that something changed: it was too large."""

    timestamp: int  # ms, unique in its group among custom events, snapshots and changes of one item
    item: str | None  # None: for those who follow the whole group only
    custom: bool  # sent, not stored: no snapshot contains it
    frame: bytes


class Outlet(Protocol):
    """A client, as its subscriptions see it."""

    def send(self, frame: bytes) -> bool:
        """False when it does not keep up: the frame was not taken."""


class Subscription:
    """One of a client's. `live`: it gets events; otherwise it waits for a snapshot, or for its turn to ask for one."""

    __slots__ = ("group", "id", "item", "joined", "live", "outlet", "reading", "since", "stream", "synced")

    def __init__(self, id: str, stream: str, group: str, item: str | None, outlet: Outlet) -> None:
        self.id = id
        self.stream = stream
        self.group = group
        self.item = item  # None: the whole group
        self.outlet = outlet
        self.joined = False
        self.live = False
        self.reading: Read | None = None
        self.since = 0  # how many events were held when it began to wait
        self.synced = 0  # timestamp of its snapshot, ms

    @property
    def key(self) -> Key:
        return self.stream, self.group


class Read:
    """A snapshot that is being read, for all who wait for it."""

    __slots__ = ("floor", "group", "item", "stale", "stream", "waiting")

    def __init__(self, key: Key, item: str | None, floor: int) -> None:
        self.stream, self.group = key
        self.item = item
        self.floor = floor  # its timestamp must be later than this one, ms
        self.stale = False  # events that belong behind it were dropped: read it again
        self.waiting: list[Subscription] = []


class Effects(Protocol):
    def listen(self, key: Key) -> None:
        """Hear a group's events; `Fanout.heard` when they are heard."""

    def unlisten(self, key: Key) -> None: ...

    def read(self, read: Read) -> None:
        """Read a snapshot; ends with `Fanout.snapshot` or `Fanout.unreadable`, later, for as long as it is wanted."""


class _Group:
    __slots__ = ("heard", "held", "held_bytes", "newest", "reads", "subscriptions")

    def __init__(self) -> None:
        self.subscriptions: dict[str | None, dict[Subscription, None]] = {}  # by item
        self.heard = False
        self.newest = 0  # timestamp, ms
        self.reads: dict[str | None, Read] = {}  # by item
        self.held: list[Event] = []  # since the oldest of the reads began
        self.held_bytes = 0

    def all(self) -> list[Subscription]:
        return [subscription for some in self.subscriptions.values() for subscription in some]

    def unhold(self) -> None:
        self.held = []
        self.held_bytes = 0


class Fanout:
    def __init__(self, effects: Effects, held_bytes: int = HELD_BYTES) -> None:
        self._effects = effects
        self._held_bytes = held_bytes
        self._groups: dict[Key, _Group] = {}
        self.subscriptions = 0

    def __len__(self) -> int:
        """How many groups are followed."""
        return len(self._groups)

    # -- from clients ------------------------------------------------------------------------------

    def join(self, subscription: Subscription) -> None:
        key = subscription.key
        group = self._groups.get(key)
        if group is None:
            group = self._groups[key] = _Group()
            self._effects.listen(key)
        group.subscriptions.setdefault(subscription.item, {})[subscription] = None
        subscription.joined = True
        self.subscriptions += 1
        self._resync(group, subscription)

    def leave(self, subscription: Subscription) -> None:
        if not subscription.joined:
            return
        group = self._groups[subscription.key]
        some = group.subscriptions[subscription.item]
        del some[subscription]
        subscription.joined = subscription.live = False
        subscription.reading = None
        self.subscriptions -= 1
        if not some:
            del group.subscriptions[subscription.item]
        if not group.subscriptions:
            del self._groups[subscription.key]
            self._effects.unlisten(subscription.key)

    def keeps_up(self, subscriptions: Iterable[Subscription]) -> None:
        """A client reads again: what it has missed meanwhile is told by snapshots."""
        for subscription in subscriptions:
            if subscription.joined and not subscription.live and subscription.reading is None:
                self._resync(self._groups[subscription.key], subscription)

    # -- from Redis --------------------------------------------------------------------------------

    def heard(self, key: Key) -> None:
        """From now on all events of the group arrive; some may have been missed before."""
        group = self._groups.get(key)
        if group is not None:
            group.heard = True
            for subscription in group.all():
                self._resync(group, subscription)

    def deaf(self) -> None:
        """No group is heard any more until `heard` says so: what is being read now may lack events."""
        for group in self._groups.values():
            group.heard = False
            group.reads = {}
            group.unhold()
            for subscription in group.all():
                subscription.live = False
                subscription.reading = None

    def event(self, key: Key, event: Event) -> None:
        group = self._groups.get(key)
        if group is None or not group.heard:
            return
        group.newest = max(group.newest, event.timestamp)
        if group.reads:
            self._hold(group, event)
        if event.item is not None:
            self._deliver(group, group.subscriptions.get(event.item, ()), event)
        self._deliver(group, group.subscriptions.get(None, ()), event)

    def wants(self, read: Read) -> bool:
        """Whether somebody still waits for it."""
        group = self._groups.get((read.stream, read.group))
        return group is not None and group.reads.get(read.item) is read

    def snapshot(self, read: Read, timestamp: int, frame: bytes) -> None:
        """What was read, as of `timestamp`."""
        if not self.wants(read):
            return
        group = self._groups[read.stream, read.group]
        if read.stale:
            read.stale = False
            self._effects.read(read)
            return
        group.newest = max(group.newest, timestamp)
        held = self._read(group, read)
        for subscription in self._waiting(read):
            before = [e for e in held[subscription.since :] if e.custom and e.timestamp < timestamp]
            after = [e for e in held if e.timestamp > timestamp]
            self._deliver_all(group, subscription, before)
            subscription.synced = timestamp
            if subscription.live and not subscription.outlet.send(frame):
                subscription.live = False
            self._deliver_all(group, subscription, after)

    def unreadable(self, read: Read) -> None:
        """There is no snapshot: go on with events alone."""
        if self.wants(read):
            group = self._groups[read.stream, read.group]
            held = self._read(group, read)
            for subscription in self._waiting(read):
                self._deliver_all(group, subscription, held[subscription.since :])

    # -- both --------------------------------------------------------------------------------------

    def _resync(self, group: _Group, subscription: Subscription) -> None:
        """Begin with a snapshot, or begin again; once the group is heard."""
        subscription.live = False
        if not group.heard:
            return
        item = subscription.item
        read = group.reads.get(item)
        if subscription.reading is None or subscription.reading is not read:
            subscription.since = len(group.held)
            if read is None:
                read = group.reads[item] = Read(subscription.key, item, group.newest)
                self._effects.read(read)
            read.waiting.append(subscription)
            subscription.reading = read

    def _hold(self, group: _Group, event: Event) -> None:
        group.held.append(event)
        group.held_bytes += len(event.frame)
        if group.held_bytes > self._held_bytes:
            group.unhold()
            for read in group.reads.values():
                read.stale = True
                read.floor = group.newest
                for subscription in read.waiting:
                    subscription.since = 0

    def _read(self, group: _Group, read: Read) -> list[Event]:
        """End a read; returns the events held meanwhile."""
        del group.reads[read.item]
        held = group.held
        if not group.reads:
            group.unhold()
        return held

    def _waiting(self, read: Read) -> Iterable[Subscription]:
        for subscription in read.waiting:
            if subscription.reading is read:
                subscription.reading = None
                subscription.live = True
                yield subscription

    def _deliver(self, group: _Group, subscriptions: Iterable[Subscription], event: Event) -> None:
        """Snapshots may overtake events on their way here: a change that is older than one is contained in it."""
        wanted = [one for one in subscriptions if one.live and (event.custom or event.timestamp > one.synced)]
        for subscription in wanted:
            if not event.frame:
                self._resync(group, subscription)
            elif not subscription.outlet.send(event.frame):
                subscription.live = False

    def _deliver_all(self, group: _Group, subscription: Subscription, events: Iterable[Event]) -> None:
        for event in events:
            if subscription.item is None or subscription.item == event.item:
                self._deliver(group, (subscription,), event)
