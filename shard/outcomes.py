"""Who waits for what a provider answers to the offer of a trigger."""

from collections.abc import Callable

Done = Callable[[bytes], None]


class Outcomes:
    def __init__(self) -> None:
        self._waiting: dict[str, list[Done]] = {}  # by trigger id

    def wait(self, id: str, done: Done) -> None:
        self._waiting.setdefault(id, []).append(done)

    def ignore(self, id: str, done: Done) -> None:
        """Whoever waited has lost patience."""
        waiting = self._waiting.get(id, [])
        if done in waiting:
            waiting.remove(done)
            if not waiting:
                del self._waiting[id]

    def conclude(self, id: str, error: bytes) -> None:
        """The provider's answer; empty if it accepted, or if none is to be expected any more."""
        for done in self._waiting.pop(id, ()):
            done(error)

    def ids(self) -> list[str]:
        return list(self._waiting)
