"""How many lines of a kind are written: a fault that comes back a thousand times a second does not fill the disk. Pure.

Time is an argument.
"""

LINES = 100  # of a kind, in WINDOW
WINDOW = 10.0  # s
MAX_KINDS = 1000  # remembered; a kind more and none is left out

Kind = tuple[str, ...]


class _Window:
    __slots__ = ("began", "left_out", "written")

    def __init__(self, began: float) -> None:
        self.began = began
        self.written = 0
        self.left_out = 0


class Limit:
    """Lets LINES of a kind pass in WINDOW seconds and counts the others."""

    def __init__(self, lines: int = LINES, window: float = WINDOW) -> None:
        self._lines = lines
        self._window = window
        self._kinds: dict[Kind, _Window] = {}
        self._next = float("inf")  # when there is something to tell

    def admits(self, kind: Kind, now: float) -> bool:
        """Ask `ended` first: it tells what was left out before."""
        known = self._kinds.get(kind)
        if known is None or now - known.began >= self._window:
            if known is None and len(self._kinds) >= MAX_KINDS:
                self._forget(now)
                if len(self._kinds) >= MAX_KINDS:
                    return True
            known = self._kinds[kind] = _Window(now)
        if known.written < self._lines:
            known.written += 1
            return True
        if not known.left_out:
            self._next = min(self._next, known.began + self._window)
        known.left_out += 1
        return False

    @property
    def next(self) -> float:
        """When `ended` has something to tell; infinite: never."""
        return self._next

    def ended(self, now: float) -> list[tuple[Kind, int]]:
        """What was left out in windows that are over. Cheap as long as there is nothing."""
        if now < self._next:
            return []
        told = [
            (kind, each.left_out)
            for kind, each in self._kinds.items()
            if each.left_out and now - each.began >= self._window
        ]
        for kind, _ in told:
            del self._kinds[kind]
        ends = [each.began + self._window for each in self._kinds.values() if each.left_out]
        self._next = min(ends, default=float("inf"))
        return told

    def _forget(self, now: float) -> None:
        over = [kind for kind, each in self._kinds.items() if not each.left_out and now - each.began >= self._window]
        for kind in over:
            del self._kinds[kind]
