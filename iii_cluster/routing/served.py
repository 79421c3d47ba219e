"""Which functions anybody serves, watched at the shards that own them. Pure: no clock, no I/O."""

from collections.abc import Callable

from iii_cluster.bus.envelopes import Served, Unwatch, Watch
from iii_cluster.bus.outbox import Outbox
from iii_cluster.cluster.map import ClusterMap

from .keys import parse_served_key, served_key

MAX_WATCHED = 10_000  # functions; the one that was asked for first makes room

Key = tuple[str, str]  # namespace, function id
Then = Callable[[bool | None], None]


class _Watched:
    __slots__ = ("asked", "asked_at", "on", "waiting")

    def __init__(self) -> None:
        self.asked = ""  # the shard; "" while nobody was
        self.asked_at = 0.0
        self.on: bool | None = None  # None: no shard has answered yet
        self.waiting: list[Then] = []


class ServedFunctions:
    """Answers at once what was asked before: shards tell of changes."""

    def __init__(self, outbox: Outbox) -> None:
        self.map = ClusterMap()
        self.now = 0.0  # seconds, moved by expire()
        self._outbox = outbox
        self._watched: dict[Key, _Watched] = {}

    def __len__(self) -> int:
        return len(self._watched)

    def get(self, namespace: str, function: str) -> bool | None:
        """Whether anybody serves it; None when that has to be asked."""
        watched = self._watched.get((namespace, function))
        return None if watched is None else watched.on

    def ask(self, namespace: str, function: str, then: Then) -> None:
        """Call `then` with the answer, None if no shard gives one in time. A worker that is expected back serves."""
        watched = self._watched.get((namespace, function))
        if watched is None:
            self._make_room()
            watched = self._watched[namespace, function] = _Watched()
        if not watched.waiting:
            watched.asked_at = self.now
            self._ask(namespace, function, watched)
        watched.waiting.append(then)

    def on_served(self, shard: str, said: Served) -> None:
        watched = self._watched.get(parse_served_key(said.key))
        if watched is None:
            self._outbox.send(shard, Unwatch([said.key]))
        elif watched.asked == shard:
            watched.on = said.on
            _answer(watched, said.on)

    def on_map(self, new: ClusterMap) -> None:
        old, self.map = self.map, new
        for (namespace, function), watched in self._watched.items():
            if old.slot(function) != new.slot(function) or not watched.asked:
                self._ask(namespace, function, watched)

    def on_reset(self, shard: str) -> None:
        """The link to a shard was reset: it forgot our watches."""
        for (namespace, function), watched in self._watched.items():
            if watched.asked == shard:
                self._ask(namespace, function, watched)

    def reincarnate(self) -> None:
        """This node goes on under a new id: it asks again as soon as it has a map. What is known stays."""
        self.map = ClusterMap()
        for watched in self._watched.values():
            watched.asked = ""

    def expire(self, now: float, limit: float) -> None:
        """Move the clock; give up questions older than `limit` seconds."""
        self.now = now
        for key in [key for key, watched in self._watched.items() if watched.waiting]:
            watched = self._watched[key]
            if now - watched.asked_at > limit:
                if watched.on is None:
                    del self._watched[key]
                _answer(watched, watched.on)

    def _ask(self, namespace: str, function: str, watched: _Watched) -> None:
        watched.asked = self.map.owner(function)
        if watched.asked:
            self._outbox.send(watched.asked, Watch(self.map.epoch, [served_key(namespace, function)]))

    def _make_room(self) -> None:
        if len(self._watched) < MAX_WATCHED:
            return
        key = next(iter(self._watched))
        watched = self._watched.pop(key)
        if watched.asked:
            self._outbox.send(watched.asked, Unwatch([served_key(*key)]))
        _answer(watched, watched.on)


def _answer(watched: _Watched, on: bool | None) -> None:
    waiting, watched.waiting = watched.waiting, []
    for then in waiting:
        then(on)
