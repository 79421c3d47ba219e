"""Slots that came to this shard so recently that names in them may be kept for workers it never heard of. Pure.

`now` is seconds of any monotonic clock.
"""

import math
from collections.abc import Callable, Collection
from dataclasses import dataclass


@dataclass(slots=True, eq=False)
class _Gain:
    slots: set[int]
    until: float = math.inf  # while a gateway has yet to announce what it has


class RecentSlots:
    """Each from its gain until `window` seconds after every gateway has announced, or is gone; 0: none ever is.

    By then whoever was lost before the gain, or between the gain and the announcement, had the time to come back.
    """

    def __init__(self, window: float) -> None:
        self._window = window
        self._gains: dict[int, _Gain] = {}  # by the epoch of the gain
        self._since: dict[int, int] = {}  # slot -> that epoch

    def __contains__(self, slot: int) -> bool:
        return slot in self._since

    def gain(self, slot: int, since: int) -> None:
        if self._window:
            self._gains.setdefault(since, _Gain(set())).slots.add(slot)
            self._since[slot] = since

    def end(self, slots: Collection[int]) -> None:
        """They are somebody else's, or gained anew."""
        for slot in slots:
            since = self._since.pop(slot, None)
            if since is not None:
                gain = self._gains[since]
                gain.slots.remove(slot)
                if not gain.slots:
                    del self._gains[since]

    def hear(self, heard_of: Callable[[int], bool], now: float) -> None:
        """Whether every gateway has announced what it has as of an epoch may have changed."""
        for since, gain in self._gains.items():
            if gain.until == math.inf and heard_of(since):
                gain.until = now + self._window

    def deadline(self) -> float | None:
        """When to call `tick`."""
        until = min((gain.until for gain in self._gains.values()), default=math.inf)
        return None if until == math.inf else until

    def tick(self, now: float) -> list[int]:
        """What is recent no more."""
        over = [slot for gain in self._gains.values() if gain.until <= now for slot in gain.slots]
        self.end(over)
        return sorted(over)

    def invariants(self) -> None:
        assert {(slot, since) for since, gain in self._gains.items() for slot in gain.slots} == set(self._since.items())
        assert all(gain.slots for gain in self._gains.values())
