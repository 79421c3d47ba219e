"""Frames of several senders that wait: each sender has its turn, and without room who has most there loses. Pure."""

from collections import deque

FRAME = 16 * 2**10  # bytes that a frame weighs besides its own, so that many small ones count, too


class FairQueue:
    def __init__(self) -> None:
        self._frames: dict[object, deque[bytes]] = {}  # by sender, in the order of their turns; none is empty
        self._weights: dict[object, int] = {}
        self._weight = 0  # of all
        self._count = 0
        self.bytes = 0

    def __len__(self) -> int:
        return self._count

    def put(self, sender: object, frame: bytes) -> None:
        frames = self._frames.get(sender)
        if frames is None:
            frames = self._frames[sender] = deque()
            self._weights[sender] = 0
        frames.append(frame)
        self._weigh(sender, frame, 1)

    def take(self) -> bytes:
        """The oldest frame of whose turn it is."""
        sender = next(iter(self._frames))
        frame = self._pop(sender)
        if sender in self._frames:
            self._frames[sender] = self._frames.pop(sender)
        return frame

    def give_up(self, sender: object) -> bytes:
        """The oldest frame of `sender`, who has just put one, if it has more than its share, or of who has most."""
        if self._weights[sender] * len(self._weights) < self._weight:
            sender = max(self._weights, key=self._weights.__getitem__)
        return self._pop(sender)

    def _pop(self, sender: object) -> bytes:
        frames = self._frames[sender]
        frame = frames.popleft()
        self._weigh(sender, frame, -1)
        if not frames:
            del self._frames[sender], self._weights[sender]
        return frame

    def _weigh(self, sender: object, frame: bytes, sign: int) -> None:
        weight = sign * (len(frame) + FRAME)
        self._weights[sender] += weight
        self._weight += weight
        self._count += sign
        self.bytes += sign * len(frame)
