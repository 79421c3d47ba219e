"""What waits for a collector: bounded, in batches, with pauses after failures. Pure: time and chance are arguments.

One thread puts, one other does all the rest; neither waits for the other.
"""

from collections import deque
from typing import Generic, TypeVar

Item = TypeVar("Item")

MAX_ITEMS = 8192
MAX_BYTES = 32 * 2**20
BATCH_BYTES = 2 * 2**20  # collectors take 4 MiB of gRPC at once
ATTEMPTS = 3  # at one batch: what a collector refuses for what it is does not block the way for ever
FIRST_PAUSE = 1.0  # s, twice as much after each failure
LONGEST_PAUSE = 30.0  # s


class Lane(Generic[Item]):
    """`batch` items make a request, or fewer that have waited `interval` seconds."""

    def __init__(self, batch: int, interval: float) -> None:
        self._batch = batch
        self._interval = interval
        self._queue: deque[tuple[Item, int]] = deque()
        self._bytes_in = 0  # of whoever puts
        self._bytes_out = 0  # of whoever takes
        self._refused = 0  # of whoever puts
        self._given_up = 0  # of whoever takes
        self._taken: list[Item] = []  # and not known to have arrived
        self._attempts = 0  # at them
        self._pause = 0.0  # s; 0: the last request went well
        self._not_before = 0.0
        self._sent_at = 0.0
        self.sent = 0

    # -- whoever puts

    @property
    def fill(self) -> float:
        """How full it is, 0 to 1."""
        return max(len(self._queue) / MAX_ITEMS, (self._bytes_in - self._bytes_out) / MAX_BYTES)

    def put(self, item: Item, size: int) -> None:
        if self.fill >= 1:
            self._refused += 1
        else:
            self._bytes_in += size
            self._queue.append((item, size))

    def refuse(self, count: int) -> None:
        """So many do not come in."""
        self._refused += count

    @property
    def room(self) -> int:
        """Items that still fit in, about."""
        return MAX_ITEMS - len(self._queue) if self.fill < 1 else 0

    # -- whoever takes

    @property
    def dropped(self) -> int:
        return self._refused + self._given_up

    @property
    def failing(self) -> bool:
        return self._pause > 0

    @property
    def empty(self) -> bool:
        return not self._queue and not self._taken

    def due(self, now: float) -> bool:
        if self.empty or (self.failing and now < self._not_before):
            return False
        return bool(self._taken) or len(self._queue) >= self._batch or now - self._sent_at >= self._interval

    def take(self) -> list[Item]:
        """The next batch, or the last one again if that failed."""
        size = 0
        while self._queue and not self._attempts and len(self._taken) < self._batch and size < BATCH_BYTES:
            item, bytes_ = self._queue.popleft()
            size += bytes_
            self._bytes_out += bytes_
            self._taken.append(item)
        return self._taken

    def arrived(self, now: float, unfit: int = 0) -> None:
        """`unfit` of those taken were nothing that could be sent."""
        self.sent += len(self._taken) - unfit
        self._given_up += unfit
        self._taken = []
        self._attempts = 0
        self._pause = 0.0
        self._sent_at = now

    def failed(self, now: float, chance: float) -> None:
        """`chance` from 0 to 1 spreads those who come back."""
        self._attempts += 1
        if self._attempts >= ATTEMPTS:
            self._given_up += len(self._taken)
            self._taken = []
            self._attempts = 0
        self._pause = min(LONGEST_PAUSE, max(FIRST_PAUSE, self._pause * 2))
        self._not_before = now + self._pause * (0.8 + 0.4 * chance)
        self._sent_at = now
