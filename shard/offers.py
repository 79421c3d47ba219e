"""Bringing triggers to the providers of their types: offering, parking, refusing, moving to a better namespace."""

from collections.abc import Callable

from iii_cluster.bus.envelopes import OfferTrigger, Owner, WithdrawTrigger

from .builtin import BuiltinTypes
from .effects import Effects
from .outcomes import Done, Outcomes
from .refusals import tell_owner
from .trigger_types import Binding, Providers, State

Changed = Callable[[Binding, bool], None]  # whether it is bound (anew), or no more


class Offers:
    """`ready` tells whether a slot is filled: before that nothing is offered, the best provider may be yet to come.

    `changed` is told of every trigger that was bound, bound anew or is bound no more.
    """

    def __init__(
        self,
        effects: Effects,
        builtin: BuiltinTypes,
        ready: Callable[[int], bool],
        epoch: Callable[[], int],
        changed: Changed,
    ) -> None:
        self.outcomes = Outcomes()
        self._effects = effects
        self._builtin = builtin
        self._ready = ready
        self._epoch = epoch  # of our map
        self._changed = changed
        self._freed: dict[Providers, None] = {}  # let go of a trigger: what they refused may fit now

    def place(self, binding: Binding, again: bool = False) -> None:
        """Bring the binding to the provider it belongs to now."""
        if not self._ready(binding.slot):
            if binding.at is not None and binding.provider not in binding.at.stack:
                self._park(binding)
            return
        due, binding.due = binding.due, False
        if binding.type.id in self._builtin:
            self._builtin.place(binding, due)
            return
        target = binding.type.resolve(binding.trigger)
        if target is None or target.current is None:
            self._park(binding)
            return
        provider = target.current.owner
        moves = binding.at is not target or binding.provider != provider
        if not moves and not due:
            return
        if moves:
            binding.told = False
            self._withdraw(binding)
        binding.answered, binding.error = False, b""
        binding.type.set_state(binding, State.LIVE, target, provider)
        self._effects.send(
            provider.node, OfferTrigger(provider.conn, binding.trigger, target.namespace, again, self._epoch())
        )
        self._changed(binding, True)

    def serve(self, providers: Providers) -> None:
        """A provider (re)registered: it gets what is bound here, then what was waiting."""
        bound = list(providers.live.values())
        for binding in (*bound, *providers.refused.values()):
            binding.due, binding.told = True, False
        for binding in bound:
            self.place(binding)
        for binding in list(providers.type.wanting.get(providers.namespace, {}).values()):
            self.place(binding)

    def settle(self) -> None:
        """Offer again what was refused by providers that let go of a trigger since."""
        freed, self._freed = self._freed, {}
        for providers in freed:
            for binding in list(providers.refused.values()):
                binding.due = True
                self.place(binding)

    def answered(self, binding: Binding, error: bytes) -> None:
        """The result of the provider that has the trigger; empty if it accepted."""
        binding.answered, binding.error = True, error
        self.outcomes.conclude(binding.trigger.id, error)
        state = State.REFUSED if error else State.LIVE
        if state is not binding.state:
            # Its last word counts: a refusal may have crossed a repeated offer.
            binding.type.set_state(binding, state, binding.at, binding.provider)
            self._changed(binding, not error)
        if error:
            tell_owner(self._effects, binding)

    def outcome(self, binding: Binding | None, done: Done) -> None:
        """Call `done` with the error the provider answers, empty when it accepts or there is nobody to ask."""
        if binding is None or binding.answered or binding.state is not State.LIVE or binding.provider is None:
            done(b"" if binding is None else binding.error)
        else:
            self.outcomes.wait(binding.trigger.id, done)

    def take_back(self, binding: Binding, from_provider: bool = True) -> None:
        """It is bound no more; `from_provider`: whoever has it hears of that."""
        if from_provider:
            self._withdraw(binding)
        if binding.state is State.LIVE:
            self._changed(binding, False)

    def take_from(self, provider: Owner, id: str, type: str) -> None:
        """Have a provider let go of a trigger, if it has it."""
        self._effects.send(provider.node, WithdrawTrigger(provider.conn, id, type, self._epoch()))

    def start_over(self, binding: Binding) -> None:
        """As if it had just arrived; tells nobody but who waited for an answer."""
        self.outcomes.conclude(binding.trigger.id, b"")
        binding.type.start_over(binding)

    def _park(self, binding: Binding) -> None:
        was = binding.state
        self._withdraw(binding)
        binding.answered, binding.error = False, b""
        binding.type.set_state(binding, State.PARKED, None, None)
        self.outcomes.conclude(binding.trigger.id, b"")
        if was is State.LIVE:
            self._changed(binding, False)

    def _withdraw(self, binding: Binding) -> None:
        """Take a trigger from its provider, if that one still is there.

        A refused one too: the refusal may have crossed a repeated offer. Its gateway knows whether it has it.
        """
        at, provider = binding.at, binding.provider
        if at is None or provider is None or provider not in at.stack:
            return
        self.take_from(provider, binding.trigger.id, binding.type.id)
        if binding.state is State.LIVE and at.refused:
            if not self._freed:
                self._effects.settle_soon()
            self._freed[at] = None
