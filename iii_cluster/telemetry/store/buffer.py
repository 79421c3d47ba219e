"""Records of one kind that wait for Redis: bounded in number and bytes, encoded when it is their turn. Pure."""

from collections import deque
from collections.abc import Callable, Iterable
from typing import Generic, TypeVar

from iii_cluster.redis.commands import Argument

MAX_WAITING = 4000
MAX_BYTES = 16 * 2**20
CHUNK = 100  # records of one command
CHUNK_BYTES = 256 * 2**10  # likewise, and one record more

T = TypeVar("T")


class Buffer(Generic[T]):
    """`size` says about how many bytes a record takes; `encode` makes a script's arguments of it, the body last."""

    def __init__(self, size: Callable[[T], int], encode: Callable[[T], tuple[Argument, ...]]) -> None:
        self._size = size
        self._encode = encode
        self._waiting: deque[tuple[T, int]] = deque()
        self._bytes = 0
        self._untold = 0
        self._again: tuple[list[Argument], int] | None = None  # a chunk that could not be written
        self.written = 0
        self.dropped = 0

    def __len__(self) -> int:
        return len(self._waiting) + (self._again[1] if self._again is not None else 0)

    @property
    def room(self) -> int:
        return MAX_WAITING - len(self._waiting) if self._bytes < MAX_BYTES else 0

    @property
    def pending(self) -> bool:
        """There is something to write, or to tell."""
        return bool(self._waiting or self._untold or self._again)

    def drop(self, count: int) -> None:
        """So many are lost."""
        self._untold += count
        self.dropped += count

    def put(self, records: Iterable[T]) -> None:
        for record in records:
            if self.room > 0:
                size = self._size(record)
                self._waiting.append((record, size))
                self._bytes += size
            else:
                self.drop(1)

    def chunk(self) -> tuple[list[Argument], int]:
        """Arguments of the next records, or of those that were put back, and how many records."""
        if self._again is not None:
            again, self._again = self._again, None
            return again
        arguments: list[Argument] = []
        count = size = 0
        while self._waiting and count < CHUNK and size < CHUNK_BYTES:
            record, its = self._waiting.popleft()
            self._bytes -= its
            try:
                encoded = self._encode(record)
            except Exception:  # nothing that a writer may die of
                self.drop(1)
                continue
            arguments += encoded
            size += len(bytes(encoded[-1])) if isinstance(encoded[-1], bytes) else 0
            count += 1
        return arguments, count

    def put_back(self, arguments: list[Argument], count: int) -> None:
        """To be written first."""
        self._again = arguments, count

    def untold(self) -> int:
        """How many were lost that the store has not been told of; they count as told now."""
        untold, self._untold = self._untold, 0
        return untold

    def not_told(self, count: int) -> None:
        self._untold += count
