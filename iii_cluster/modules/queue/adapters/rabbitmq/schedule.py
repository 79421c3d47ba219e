"""Which of the messages that were taken from the broker may run now. Pure."""

from collections import deque


class Schedule:
    """Messages are known by their tags, which the broker numbers in the order of the queue. Those of one message group
    run one after the other, in that order; a message without a group waits for nobody."""

    def __init__(self, concurrency: int) -> None:
        self.concurrency = concurrency
        self._ready: deque[int] = deque()
        self._running: set[int] = set()
        self._groups: dict[str, deque[int]] = {}  # the first one of each is ready, runs or waits for its next attempt
        self._group_of: dict[int, str] = {}

    def take(self, tag: int, group: str | None) -> None:
        """A message came."""
        if group is None:
            self._ready.append(tag)
            return
        self._group_of[tag] = group
        line = self._groups.setdefault(group, deque())
        line.append(tag)
        if len(line) == 1:
            self._ready.append(tag)

    def start(self) -> list[int]:
        """These run from now on."""
        started = []
        while self._ready and len(self._running) < self.concurrency:
            tag = self._ready.popleft()
            self._running.add(tag)
            started.append(tag)
        return started

    def hold(self, tag: int) -> None:
        """It does not run any more, and its group waits for it."""
        self._running.discard(tag)

    def again(self, tag: int) -> None:
        """It may run once more, before others."""
        self._ready.appendleft(tag)

    def end(self, tag: int) -> None:
        """It is done with; its group goes on."""
        self._running.discard(tag)
        group = self._group_of.pop(tag, None)
        if group is None:
            return
        line = self._groups[group]
        line.popleft()
        if line:
            self._ready.append(line[0])
        else:
            del self._groups[group]
