"""Functions that lost an owner whose worker may come back: until then no worker of another realm takes them. Pure.

`now` is seconds of any monotonic clock.
"""

from collections.abc import Collection
from typing import NamedTuple

from iii_cluster.cluster.slots import slot_of


class _Reservation(NamedTuple):
    realm: str
    until: float


class Reservations:
    """Each for `window` seconds from its last loss; 0: none ever is. The empty realm is never kept out."""

    def __init__(self, window: float) -> None:
        self._window = window
        self._keys: dict[tuple[str, str], _Reservation] = {}  # by namespace and function id, the soonest to end first

    def __len__(self) -> int:
        return len(self._keys)

    def reserve(self, namespace: str, id: str, realm: str, now: float) -> None:
        if not self._window:
            return
        known = self._keys.pop((namespace, id), None)
        if known is not None and known.realm == "" and known.until > now:
            realm = ""
        self._keys[namespace, id] = _Reservation(realm, now + self._window)

    def keeps_out(self, namespace: str, id: str, realm: str, now: float) -> bool:
        known = self._keys.get((namespace, id))
        return known is not None and realm not in ("", known.realm) and known.until > now

    def end_slots(self, slots: Collection[int]) -> None:
        """They are somebody else's."""
        for key in [key for key in self._keys if slot_of(key[1]) in slots]:
            del self._keys[key]

    def deadline(self) -> float | None:
        """When to call `tick`."""
        return next((reservation.until for reservation in self._keys.values()), None)

    def tick(self, now: float) -> None:
        """Forget what is over."""
        over = []
        for key, reservation in self._keys.items():
            if reservation.until > now:
                break
            over.append(key)
        for key in over:
            del self._keys[key]
