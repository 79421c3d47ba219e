"""What has ended and must not come back, remembered for a while."""

from collections.abc import Iterable
from typing import Generic, TypeVar

MAX_REMEMBERED = 20_000

K = TypeVar("K")


class Ended(Generic[K]):
    """The newest of them: a registration that was overtaken by its end on another link does not come back."""

    def __init__(self) -> None:
        self._keys: dict[K, None] = {}

    def add(self, keys: Iterable[K]) -> None:
        self._keys.update(dict.fromkeys(keys))
        while len(self._keys) > MAX_REMEMBERED:
            del self._keys[next(iter(self._keys))]

    def __contains__(self, key: K) -> bool:
        return key in self._keys
