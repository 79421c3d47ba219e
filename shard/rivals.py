"""Triggers of one type that exclude each other: which of them may be bound. Pure."""

import logging
from bisect import bisect_left, insort
from collections.abc import Callable
from itertools import chain

from iii_cluster.access.triggers import under_rules
from iii_cluster.bus.envelopes import Trigger
from iii_cluster.modules.module import Rival

from .trigger_types import Binding

log = logging.getLogger(__name__)


def _order(binding: Binding) -> tuple[bool, int, str]:
    return under_rules(binding.trigger.id), binding.stamp, binding.trigger.id


class _Contest:
    """Who competes for one key, the earliest first; `bound` is the variant that has it, if any does."""

    __slots__ = ("bound", "contenders", "variants")

    def __init__(self) -> None:
        self.bound: str | None = None
        self.contenders: list[Binding] = []
        self.variants: dict[str, list[Binding]] = {}

    def add(self, binding: Binding, variant: str) -> None:
        insort(self.contenders, binding, key=_order)
        insort(self.variants.setdefault(variant, []), binding, key=_order)

    def remove(self, binding: Binding, variant: str) -> None:
        mine = self.variants[variant]
        for contenders in (self.contenders, mine):
            del contenders[bisect_left(contenders, _order(binding), key=_order)]
        if not mine:
            del self.variants[variant]

    def keeps(self, variant: str) -> bool:
        """Whether it may go on having the key."""
        mine = self.variants.get(variant)
        return mine is not None and _order(mine[0])[0] <= _order(self.contenders[0])[0]

    def choose(self) -> str:
        if self.bound is None:
            rival = self.contenders[0].rival
            assert rival is not None
            self.bound = rival.variant
        return self.bound


class Rivals:
    """Of the triggers with one key those of one variant are bound: that of the earliest, by stamp and then id.

    When the earliest leaves, others of its variant go on: a replica that ends does not hand its route to a rival.
    When the last of them leaves, the earliest of the rest has it. Triggers of workers under rules come after all
    others, and keep nothing from them.
    """

    def __init__(self, rival: Callable[[Trigger], Rival | None]) -> None:
        self._rival = rival
        self._contests: dict[str, _Contest] = {}

    def enter(self, binding: Binding) -> list[Binding]:
        """It competes from now on. Returns whose fate that may change, its own included."""
        if binding.rival is not None:
            return [binding]
        rival = binding.rival = self._read(binding)
        if rival is None:
            return [binding]
        contest = self._contests.setdefault(rival.key, _Contest())
        contest.add(binding, rival.variant)
        bound = contest.bound
        if bound is None or bound == rival.variant or _order(binding) > _order(contest.variants[bound][0]):
            return [binding]
        contest.bound = rival.variant
        return [*contest.variants[bound], *contest.variants[rival.variant]]

    def leave(self, binding: Binding) -> Rival | None:
        """It competes no more. Returns what it competed for if somebody else may have that now."""
        rival, binding.rival = binding.rival, None
        if rival is None:
            return None
        contest = self._contests[rival.key]
        contest.remove(binding, rival.variant)
        if not contest.contenders:
            del self._contests[rival.key]
            return None
        if contest.bound != rival.variant or contest.keeps(rival.variant):
            return None
        contest.bound = None
        return rival

    def heirs(self, left: Rival) -> list[Binding]:
        """Whose fate is another when somebody `left`."""
        contest = self._contests[left.key]
        return [*contest.variants.get(left.variant, ()), *contest.variants[contest.choose()]]

    def succeed(self, old: Binding, new: Binding) -> bool:
        """Put `new` in the place of `old` if it competes as that did."""
        rival = old.rival
        if rival is None or self._read(new) != rival:
            return False
        contest = self._contests[rival.key]
        contest.remove(old, rival.variant)
        contest.add(new, rival.variant)
        old.rival, new.rival = None, rival
        return True

    def winner(self, binding: Binding) -> Binding | None:
        """Because of whom it cannot be bound, None if it can."""
        if binding.rival is None:
            return None
        contest = self._contests[binding.rival.key]
        bound = contest.choose()
        return None if bound == binding.rival.variant else contest.variants[bound][0]

    def _read(self, binding: Binding) -> Rival | None:
        try:
            return self._rival(binding.trigger)
        except Exception:
            log.exception("action=trigger_rival_failed type=%s", binding.trigger.type)
            return None

    def invariants(self, bindings: list[Binding]) -> None:
        """`bindings` are all of the type."""
        entered = [b for contest in self._contests.values() for mine in contest.variants.values() for b in mine]
        assert {id(b) for b in entered} == {id(b) for b in bindings if b.rival is not None}
        for key, contest in self._contests.items():
            assert contest.contenders == sorted(chain(*contest.variants.values()), key=_order) != []
            assert contest.bound is None or contest.bound in contest.variants
            for variant, mine in contest.variants.items():
                assert mine
                assert mine == sorted(mine, key=_order)
                assert all(b.rival == (key, variant) for b in mine)
