"""Functions that lost their last owner while its worker is expected to come back: whoever asks for one waits a little.

Pure. `now` is seconds of any monotonic clock.
"""

from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass, field

Key = tuple[str, str]  # namespace, function id


@dataclass(slots=True, eq=False)
class Expectation:
    slot: int
    until: float
    asking: dict[str, int] = field(default_factory=dict)  # node -> epoch of its watch


class Expected:
    """Each function is expected for `window` seconds; 0: none ever is."""

    def __init__(self, window: float) -> None:
        self._window = window
        self._keys: dict[Key, Expectation] = {}  # the soonest to end first

    def __len__(self) -> int:
        return len(self._keys)

    def __contains__(self, key: Key) -> bool:
        return key in self._keys

    def expect(self, slot: int, namespace: str, id: str, now: float) -> None:
        """From now on; it has just lost its last owner."""
        if self._window:
            asking = self.take(namespace, id)
            self._keys[namespace, id] = Expectation(slot, now + self._window, dict(asking))

    def ask(self, namespace: str, id: str, asking: Mapping[str, int]) -> bool:
        """Keep the watches of nodes, by epoch, until there is an answer. False: the function is not expected."""
        expectation = self._keys.get((namespace, id))
        if expectation is None:
            return False
        for node, epoch in asking.items():
            expectation.asking[node] = max(epoch, expectation.asking.get(node, epoch))
        return True

    def unask(self, node: str, namespace: str, id: str) -> None:
        expectation = self._keys.get((namespace, id))
        if expectation is not None:
            expectation.asking.pop(node, None)

    def take(self, namespace: str, id: str) -> Mapping[str, int]:
        """It is back: who asked for it."""
        expectation = self._keys.pop((namespace, id), None)
        return {} if expectation is None else expectation.asking

    def deadline(self) -> float | None:
        """When to call `tick`."""
        return next((expectation.until for expectation in self._keys.values()), None)

    def tick(self, now: float) -> list[tuple[Key, Mapping[str, int]]]:
        """What is expected no longer, and who asked for it."""
        over: list[tuple[Key, Mapping[str, int]]] = []
        for key, expectation in self._keys.items():
            if expectation.until > now:
                break
            over.append((key, expectation.asking))
        for key, _ in over:
            del self._keys[key]
        return over

    def end_slots(self, slots: Collection[int], keep: Callable[[int, int], bool]) -> list[tuple[Key, str, int]]:
        """They are somebody else's. Returns function, node and epoch of each watch that `keep(slot, epoch)` accepts."""
        ended = [(key, expectation) for key, expectation in self._keys.items() if expectation.slot in slots]
        for key, _ in ended:
            del self._keys[key]
        return [(key, node, epoch) for key, e in ended for node, epoch in e.asking.items() if keep(e.slot, epoch)]

    def drop_nodes(self, nodes: Iterable[str]) -> None:
        gone = set(nodes)
        for expectation in self._keys.values():
            for node in gone & expectation.asking.keys():
                del expectation.asking[node]

    def keys(self) -> list[Key]:
        return list(self._keys)

    def nodes(self) -> set[str]:
        return {node for expectation in self._keys.values() for node in expectation.asking}

    def invariants(self) -> None:
        until = [expectation.until for expectation in self._keys.values()]
        assert until == sorted(until)
