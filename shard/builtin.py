"""Binding triggers of the types that no worker provides: at once, unless they exclude each other. Pure."""

import logging
from collections.abc import Callable, Collection, Iterable, Mapping

from iii_cluster.modules.module import TriggerType as ModuleType
from iii_cluster.protocol import errors

from .effects import Effects
from .refusals import tell_owner
from .rivals import Rivals
from .trigger_types import Binding, State

log = logging.getLogger(__name__)


class BuiltinTypes:
    """`changed` is told of every trigger that was bound, or is bound no more.

    One that is refused because of a rival stays refused until that one is gone. Its owner is told, once by each owner
    of the type's slot.
    """

    def __init__(
        self,
        effects: Effects,
        ids: Collection[str],
        types: Mapping[str, ModuleType],
        ready: Callable[[int], bool],
        changed: Callable[[Binding, bool], None],
    ) -> None:
        self._effects = effects
        self._ids = ids
        self._types = types
        self._ready = ready
        self._changed = changed
        self._rivals = {type.id: Rivals(type.rival) for type in types.values() if type.rival is not None}

    def __contains__(self, type: str) -> bool:
        return type in self._ids

    def fill(self, bindings: Iterable[Binding]) -> None:
        """These are all of a slot: who comes first is decided among all of them, when the first one is placed."""
        for binding in bindings:
            if (rivals := self._rivals.get(binding.type.id)) is not None:
                rivals.enter(binding)

    def place(self, binding: Binding, due: bool) -> None:
        """`due`: it is to be told of even if it is bound, or refused, already."""
        rivals = self._rivals.get(binding.type.id)
        if rivals is None:
            if due:
                self._bind(binding)
            return
        for affected in rivals.enter(binding):
            self._judge(rivals, affected, due and affected is binding)

    def left(self, binding: Binding) -> None:
        """It is gone: others may be bound. While the slot is filled nobody is, it may be announced again."""
        rivals = self._rivals.get(binding.type.id)
        left = None if rivals is None else rivals.leave(binding)
        if rivals is not None and left is not None and self._ready(binding.slot):
            for heir in rivals.heirs(left):
                self._judge(rivals, heir, False)

    def forget(self, bindings: Iterable[Binding]) -> None:
        """They start over."""
        for binding in bindings:
            if (rivals := self._rivals.get(binding.type.id)) is not None:
                rivals.leave(binding)

    def succeed(self, old: Binding, new: Binding) -> bool:
        """Whether `new`, of the same type, may be bound for as long as `old` was: its rivals are the same."""
        rivals = self._rivals.get(old.type.id)
        return rivals is None or old.rival is None or rivals.succeed(old, new)

    def _judge(self, rivals: Rivals, binding: Binding, due: bool) -> None:
        winner = rivals.winner(binding)
        if winner is None:
            if due or binding.state is not State.LIVE:
                self._bind(binding)
        elif due or binding.state is not State.REFUSED:
            self._refuse(binding, winner)

    def _bind(self, binding: Binding) -> None:
        binding.told, binding.answered, binding.error = False, False, b""
        binding.type.set_state(binding, State.LIVE, None, None)
        self._changed(binding, True)

    def _refuse(self, binding: Binding, winner: Binding) -> None:
        was = binding.state
        binding.answered = True
        binding.error = errors.error_body(errors.TRIGGER_REGISTRATION_FAILED, self._reason(winner, binding))
        binding.type.set_state(binding, State.REFUSED, None, None)
        if was is State.LIVE:
            self._changed(binding, False)
        tell_owner(self._effects, binding)

    def _reason(self, winner: Binding, refused: Binding) -> str:
        try:
            return self._types[refused.type.id].conflict(winner.trigger, refused.trigger)
        except Exception:
            log.exception("action=trigger_conflict_failed type=%s", refused.type.id)
            return f"it conflicts with the trigger {winner.trigger.id}"

    def invariants(self, bindings: Iterable[Binding]) -> None:
        """`bindings` are all that count."""
        everything = list(bindings)
        for type, rivals in self._rivals.items():
            rivals.invariants([binding for binding in everything if binding.type.id == type])
        for binding in everything:
            if binding.type.id in self._rivals and not binding.due and self._ready(binding.slot):
                winner = self._rivals[binding.type.id].winner(binding)
                assert binding.state is (State.LIVE if winner is None else State.REFUSED)
