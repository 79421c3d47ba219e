"""Names of events, remembered so that two who tell of the same one are heard once. Pure."""

MAX_NAMES = 10_000


class Once:
    """The latest names, oldest first."""

    def __init__(self) -> None:
        self._names: dict[str, None] = {}

    def first(self, name: str) -> bool:
        """Whether it is heard for the first time, as far back as is remembered."""
        if name in self._names:
            return False
        self._names[name] = None
        if len(self._names) > MAX_NAMES:
            del self._names[next(iter(self._names))]
        return True
