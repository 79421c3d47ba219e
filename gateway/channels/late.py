"""Writers of channels that are over: some clients end their whole process when a socket of theirs is refused."""

from .pipe import BROKEN, Pipe

# What a writer may send that nobody reads, bytes; its next message closes its socket then.
MAX_UNREAD = 16 * 2**20


class Nobody:
    """A sink in the place of the reader: writers that hear of no end mostly finish soon by themselves."""

    ready = True

    def __init__(self, pipe: Pipe, reason: str) -> None:
        self._pipe = pipe
        self._reason = reason
        self._unread = 0

    def send(self, data: bytes, text: bool) -> None:
        self._unread += len(data)
        if self._unread > MAX_UNREAD:
            self._pipe.refuse(BROKEN, self._reason)

    def finish(self, code: int, reason: str) -> None:
        pass
