"""Which triggers an event concerns, without looking at all of them. Pure."""

from collections.abc import Iterable

from iii_cluster.bus.envelopes import Trigger

from .kind import Kind, Parts, Pattern


class Patterns:
    """Triggers by what they ask for."""

    __slots__ = ("_by_pattern", "_kind", "_known", "_masks")

    def __init__(self, kind: Kind) -> None:
        self._kind = kind
        self._known: dict[str, tuple[Trigger, Pattern | None]] = {}  # by id; reading a config costs much more
        self._by_pattern: dict[Pattern, list[str]] = {}
        self._masks: list[tuple[bool, ...]] = []  # which parts patterns name

    def load(self, triggers: Iterable[Trigger]) -> None:
        """From now on there are these, and no others."""
        before, self._known = self._known, {}
        by_pattern: dict[Pattern, list[str]] = {}
        for trigger in triggers:
            old = before.get(trigger.id)
            pattern = (
                old[1] if old is not None and (old[0] is trigger or old[0] == trigger) else self._kind.pattern(trigger)
            )
            self._known[trigger.id] = trigger, pattern
            if pattern is not None:
                by_pattern.setdefault(pattern, []).append(trigger.id)
        self._by_pattern = by_pattern
        self._masks = list({tuple(part is not None for part in pattern) for pattern in by_pattern})

    def get(self, id: str) -> Trigger | None:
        known = self._known.get(id)
        return None if known is None else known[0]

    def matching(self, parts: Parts) -> list[str]:
        """Their ids; of those that ask for the same, in the order they were given."""
        found: list[str] = []
        for mask in self._masks:
            asked = tuple(part if named else None for part, named in zip(parts, mask, strict=True))
            found += self._by_pattern.get(asked, ())
        return found
