"""Triggers whose worker is expected to connect again: they stay until it registers them there, for a while. Pure."""

from collections.abc import Iterator
from typing import Generic

from iii_cluster.bus.envelopes import Owner

from .ownership import Ownership, R


class Lingering(Generic[R]):
    """Records of `index` that are left behind, each for `window` seconds; 0: none ever is.

    No connection owns them, so no clean-up finds them: neither of the old connection nor of its gateway.
    `now` is seconds of any monotonic clock.
    """

    def __init__(self, index: Ownership[R], window: float) -> None:
        self._index = index
        self._window = window
        self._until: dict[R, float] = {}  # the soonest to end first

    def __iter__(self) -> Iterator[R]:
        return iter(self._until)

    def __contains__(self, record: R) -> bool:
        return record in self._until

    def keep(self, record: R, now: float) -> bool:
        """From now on its connection does not own it. False if it is not to be kept."""
        if not self._window:
            return False
        if record in self._until:
            return True
        self._index.remove(record)
        record.owner = _nowhere(record.owner)
        self._index.add(record)
        self._until[record] = now + self._window
        return True

    def left(self, record: R | None, owner: Owner) -> R | None:
        """The record if that connection left it behind: its last words may come after its clean-up."""
        return record if record in self._until and record.owner == _nowhere(owner) else None

    def forget(self, record: R) -> None:
        """It is removed, or has a new owner."""
        self._until.pop(record, None)

    def deadline(self) -> float | None:
        """When to look for what is `over`."""
        return next(iter(self._until.values()), None)

    def over(self, now: float) -> list[R]:
        """Those whose time is over; the caller removes them."""
        return [record for record, until in self._until.items() if until <= now]

    def invariants(self) -> None:
        times = list(self._until.values())
        assert times == sorted(times)
        assert all(not record.owner.node and record.owner.worker for record in self._until)
        assert all(record in self._index.in_slot(record.slot) for record in self._until)


def _nowhere(owner: Owner) -> Owner:
    """Worker ids are unique, so this tells connections apart."""
    return Owner("", owner.conn, owner.worker)
