"""Which events of an outbox may be dispatched now: per lane one after the other, not too many lanes at once. Pure."""

from collections import deque

from .scripts import Entry


class Lanes:
    """Events wait here in the order they were read."""

    def __init__(self, max_running: int, max_waiting: int, max_bytes: int) -> None:
        """`max_bytes`: of the events that wait; of further ones only the id is kept."""
        self._max_running = max_running
        self._max_waiting = max_waiting
        self._max_bytes = max_bytes
        self._lanes: dict[bytes, deque[Entry]] = {}  # that have anything; the first entry of a lane may be running
        self._ready: deque[bytes] = deque()  # lanes of which nothing runs
        self._running = 0
        self._waiting = 0
        self._bytes = 0

    @property
    def room(self) -> bool:
        """Whether to read further ones."""
        return self._waiting < self._max_waiting

    @property
    def held(self) -> int:
        """How many wait or run."""
        return self._waiting + self._running

    def add(self, entry: Entry) -> bool:
        """Whether it is the first one of its lane."""
        self._waiting += 1
        size = entry.size
        lane = self._lanes.get(entry.lane)
        if lane is None:
            self._lanes[entry.lane] = deque([entry])
            self._ready.append(entry.lane)
        else:
            if self._bytes + size > self._max_bytes:
                entry, size = entry._replace(event=None, context=b""), 0
            lane.append(entry)
        self._bytes += size
        return lane is None

    def take(self) -> Entry | None:
        """The next one to dispatch; None: not now. Tell its end by `ended`."""
        if not self._ready or self._running >= self._max_running:
            return None
        entry = self._lanes[self._ready.popleft()][0]
        self._running += 1
        self._waiting -= 1
        self._bytes -= entry.size
        return entry

    def ended(self, entry: Entry) -> None:
        """It is dispatched, and removed from its outbox."""
        self._running -= 1
        lane = self._lanes[entry.lane]
        lane.popleft()
        if lane:
            self._ready.append(entry.lane)
        else:
            del self._lanes[entry.lane]
