"""News of calls that are being adopted: they may come before it is known here that they are awaited. Pure."""

from collections.abc import Iterator
from contextlib import contextmanager


class EarlyEnds:
    """By invocation id; kept only while somebody adopts."""

    def __init__(self) -> None:
        self._adopting = 0
        self._ends: dict[str, tuple[bytes, bytes]] = {}
        self.moves: dict[str, tuple[str, int]] = {}  # node and connection that serve them now

    @contextmanager
    def kept(self) -> Iterator[dict[str, tuple[bytes, bytes]]]:
        """Meanwhile (result, error) of every call that is not known."""
        self._adopting += 1
        try:
            yield self._ends
        finally:
            self._adopting -= 1
            if not self._adopting:
                self._ends.clear()
                self.moves.clear()

    def put(self, id: str, result: bytes, error: bytes) -> None:
        if self._adopting:
            self._ends[id] = result, error

    def moved(self, id: str, node: str, conn: int) -> bool:
        """Whether that is of interest: a worker goes on with the call on another connection."""
        if self._adopting:
            self.moves[id] = node, conn
        return self._adopting > 0
