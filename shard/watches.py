"""Who watches which key, and what they were told last."""

from collections.abc import Callable
from dataclasses import dataclass, field

from iii_cluster.bus.envelopes import Owner


@dataclass(slots=True, eq=False)
class Watched:
    slot: int
    version: int
    watchers: dict[str, int] = field(default_factory=dict)  # node -> epoch of its watch
    owners: list[Owner] = field(default_factory=list)  # of a function, as told last
    metadata: bytes = b""  # of a function, as told last
    served: bool = False  # whether a function is, as told last


class Watches:
    """Versions come from one counter, so that a key forgotten and watched again never goes back."""

    def __init__(self) -> None:
        self._keys: dict[str, Watched] = {}
        self._nodes: dict[str, dict[str, None]] = {}
        self._slots: dict[int, dict[str, None]] = {}
        self._version = 0

    def next_version(self, watched: Watched | None = None) -> int:
        """A version above all former ones, or the successor of a watched key's version."""
        if watched is None:
            self._version += 1
            return self._version
        watched.version += 1
        self._version = max(self._version, watched.version)
        return watched.version

    def get(self, key: str) -> Watched | None:
        return self._keys.get(key)

    def __contains__(self, key: str) -> bool:
        return key in self._keys

    def __len__(self) -> int:
        return len(self._keys)

    def nodes(self) -> list[str]:
        return list(self._nodes)

    def in_slot(self, slot: int) -> list[str]:
        """Keys of one slot."""
        return list(self._slots.get(slot, ()))

    def add(self, node: str, key: str, slot: int, epoch: int) -> Watched:
        watched = self._keys.get(key)
        if watched is None:
            watched = self._keys[key] = Watched(slot, self.next_version())
            self._slots.setdefault(slot, {})[key] = None
        watched.watchers[node] = max(epoch, watched.watchers.get(node, epoch))
        self._nodes.setdefault(node, {})[key] = None
        return watched

    def remove(self, node: str, key: str) -> None:
        watched = self._keys.get(key)
        if watched is None or node not in watched.watchers:
            return
        del watched.watchers[node]
        self._forget(self._nodes, node, key)
        if not watched.watchers:
            del self._keys[key]
            self._forget(self._slots, watched.slot, key)

    def drop_key(self, key: str) -> None:
        for node in list(self._keys[key].watchers):
            self.remove(node, key)

    def drop_node(self, node: str) -> None:
        for key in list(self._nodes.get(node, ())):
            self.remove(node, key)

    def end_slot(self, slot: int, keep: Callable[[int], bool]) -> list[tuple[str, str, int]]:
        """Forget the watches of a slot; returns (node, key, epoch) of those whose epoch `keep` accepts."""
        kept = []
        for key in self.in_slot(slot):
            kept += [(node, key, epoch) for node, epoch in self._keys[key].watchers.items() if keep(epoch)]
            self.drop_key(key)
        return kept

    @staticmethod
    def _forget(index: dict[str, dict[str, None]] | dict[int, dict[str, None]], at: str | int, key: str) -> None:
        keys = index[at]  # type: ignore[index]
        del keys[key]
        if not keys:
            del index[at]  # type: ignore[arg-type]

    def keys(self) -> list[str]:
        return list(self._keys)

    def invariants(self) -> None:
        pairs = {(node, key) for key, watched in self._keys.items() for node in watched.watchers}
        assert pairs == {(node, key) for node, keys in self._nodes.items() for key in keys}
        assert {(w.slot, key) for key, w in self._keys.items()} == {(s, k) for s, ks in self._slots.items() for k in ks}
        assert all(watched.watchers for watched in self._keys.values())
        assert all(self._nodes.values())
        assert all(self._slots.values())
        assert all(watched.version <= self._version for watched in self._keys.values())
