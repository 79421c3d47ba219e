"""Triggers at their types, the providers of these, and which claim to a trigger's id counts. Pure."""

from collections.abc import Callable, Collection, Mapping

from iii_cluster.bus.envelopes import (
    BindTrigger,
    DropTriggerType,
    Offered,
    Owner,
    ProviderAnswer,
    PutTriggerType,
    UnbindTrigger,
)
from iii_cluster.cluster.slots import slot_of
from iii_cluster.modules.module import TriggerType as ModuleType

from .builtin import BuiltinTypes
from .claims import Claims
from .effects import Effects
from .lingering import Lingering
from .offers import Changed, Offers
from .ownership import Ownership
from .trigger_types import Binding, ByFunction, Provider, Providers, State, TriggerType, TriggerTypes


class Bindings:
    """Who holds a trigger's id is decided at the id's slot, and those who lost it unbind. Their mail comes over other
    links, so until then a superseded claim is kept: whichever is unbound, the right one is left.
    """

    def __init__(
        self,
        effects: Effects,
        builtin: Collection[str],
        module_types: Mapping[str, ModuleType],
        ready: Callable[[int], bool],
        epoch: Callable[[], int],
        changed: Changed,
        window: float,
    ) -> None:
        self.index: Ownership[Binding] = Ownership()
        self.lingering = Lingering(self.index, window)  # they count, and have no superseded claims
        self.providers: Ownership[Provider] = Ownership()
        self._builtin = BuiltinTypes(effects, builtin, module_types, ready, changed)
        self.offers = Offers(effects, self._builtin, ready, epoch, changed)
        self._ready = ready
        self._ids: dict[str, Binding] = {}
        self._claims = Claims()  # superseded ones
        self._types = TriggerTypes()
        self._functions = ByFunction()

    # -- questions

    def __len__(self) -> int:
        return len(self._ids)

    def find(self, id: str) -> Binding | None:
        return self._ids.get(id)

    def find_type(self, id: str) -> TriggerType | None:
        return self._types.get(id)

    def bound(self, type: str) -> list[Binding]:
        found = self._types.get(type)
        return [] if found is None else list(found.live.values())

    def of_function(self, namespace: str, function: str) -> list[Binding]:
        return self._functions.of(namespace, function)

    def in_slot(self, slot: int) -> list[Binding]:
        return [binding for binding in self.index.in_slot(slot) if self._counts(binding)]

    def types_in_slot(self, slot: int) -> list[TriggerType]:
        return list({provider.at.type: None for provider in self.providers.in_slot(slot)})

    # -- triggers

    def bind(self, bind: BindTrigger) -> None:
        id, slot = bind.trigger.id, slot_of(bind.trigger.type)
        current = self._ids.get(id)
        known = self._claim(id, bind.owner)
        if known is not None and (known.stamp, known.trigger) == (bind.stamp, bind.trigger):
            known.epoch = max(known.epoch, bind.epoch)  # announced again
            return
        if known is not None and known is not current:
            self.remove(known)
        owner = self.index.canonical(bind.owner)
        binding = Binding(owner, slot, bind.epoch, bind.stamp, bind.trigger, self._types.of(bind.trigger.type))
        self.index.add(binding)
        if current is None:
            self._install(binding)
        elif current is known or current in self.lingering:
            self._replace(current, binding)
            self.index.remove(current)
            self.lingering.forget(current)
        elif current.stamp > bind.stamp and not self._ready(slot):
            self._claims.add(binding)
        else:
            self._claims.add(current)
            self._replace(current, binding)
        self._types.forget_empty(binding.type)

    def unbind(self, unbind: UnbindTrigger, now: float) -> None:
        binding = self._claim(unbind.id, unbind.owner) or self.lingering.left(self._ids.get(unbind.id), unbind.owner)
        if binding is not None and binding.type.id == unbind.type and not self._lingers(binding, unbind.back, now):
            self.remove(binding)

    def tick(self, now: float) -> None:
        """Forget what was left behind; call it at `lingering.deadline()`."""
        for binding in self.lingering.over(now):
            self.remove(binding)

    def remove(self, binding: Binding, leaving: Collection[Owner] = ()) -> None:
        """Forget it; taken from its provider unless that one is `leaving` too. A superseded claim takes its place."""
        if not self._counts(binding):
            self._claims.drop(binding)
            self.index.remove(binding)
            return
        heir = self._claims.heir(binding.trigger.id, leaving)
        if heir is not None:
            self._claims.drop(heir)
            self._replace(binding, heir)
        else:
            self.offers.take_back(binding, binding.provider not in leaving)
            self._uninstall(binding)
        self.index.remove(binding)
        self.lingering.forget(binding)
        self._types.forget_empty(binding.type)

    def answer(self, answer: ProviderAnswer) -> None:
        """A provider's result; counts if that provider has the trigger."""
        binding = self._ids.get(answer.id)
        if binding is not None and binding.type.id == answer.type and binding.provider == answer.provider:
            self.offers.answered(binding, answer.error)

    # -- providers

    def put_type(self, put: PutTriggerType) -> None:
        providers = self._types.of(put.id).providers_in(put.namespace)
        known = providers.stack.get(put.owner)
        if known is not None and (known.stamp, known.definition) == (put.stamp, put.definition):
            known.epoch = max(known.epoch, put.epoch)  # announced again
            return
        if known is not None:
            known.epoch = max(known.epoch, put.epoch)
            known.stamp, known.definition = put.stamp, put.definition
            provider = known
        else:
            owner = self.providers.canonical(put.owner)
            slot, stamp = slot_of(put.id), put.stamp
            provider = Provider(owner, slot, put.epoch, stamp, put.definition, providers, put.realm, stamp)
            self.providers.add(provider)
        providers.push(provider)
        if providers.current is provider:
            self.offers.serve(providers)

    def drop_type(self, drop: DropTriggerType) -> None:
        type = self._types.get(drop.id)
        providers = None if type is None else type.providers.get(drop.namespace)
        provider = None if providers is None else providers.stack.get(drop.owner)
        if provider is not None:
            self._drop_providers([provider])

    def take_back_strays(self, offered: Offered) -> None:
        """Take from a provider what the slot's former owner had given it and what it has no more."""
        provider = offered.provider
        if all(known.at.type.id != offered.type for known in self.providers.of_owner(provider)):
            return
        for id in offered.ids:
            binding = self._ids.get(id)
            if binding is None or binding.provider != provider or binding.type.id != offered.type:
                self.offers.take_from(provider, id, offered.type)

    def _drop_providers(self, dropped: Collection[Provider]) -> None:
        served: dict[Providers, None] = {}
        for provider in dropped:
            self.providers.remove(provider)
            if provider.at.remove(provider):
                served[provider.at] = None
        for provider in dropped:
            provider.at.type.forget_empty(provider.at)
        for providers in served:
            for binding in (*providers.live.values(), *providers.refused.values()):
                self.offers.place(binding)
        for provider in dropped:
            self._types.forget_empty(provider.at.type)

    # -- many at once

    def release(self, owners: Collection[Owner], back: Collection[Owner], now: float) -> None:
        """Forget everything of `owners`; the rest of their types' triggers find other providers or are parked.

        What counts stays for a while if it is of those whose workers are expected `back`.
        """
        mine = [binding for owner in owners for binding in self.index.of_owner(owner)]
        for binding in sorted(mine, key=self._counts):  # superseded claims of theirs are nobody's heirs
            if not self._lingers(binding, binding.owner in back, now):
                self.remove(binding, owners)
        self._drop_providers([provider for owner in owners for provider in self.providers.of_owner(owner)])

    def fill(self, slot: int) -> None:
        """The slot is filled: every provider is known, so place every trigger."""
        self._builtin.fill(self.in_slot(slot))
        for binding in self.in_slot(slot):
            self.offers.place(binding, again=True)

    def end_slot(self, slot: int, keep: Callable[[int], bool]) -> None:
        """Our time with the slot is over: its next owner takes over what the providers have. Tells nobody.

        What was announced under an epoch that `keep` accepts stays, as if it had just arrived.
        """
        self._builtin.forget(self.in_slot(slot))
        for binding in self.in_slot(slot):
            self.offers.start_over(binding)
        for binding in self.index.in_slot(slot):
            if not keep(binding.epoch):
                self.remove(binding)
        self._drop_providers([p for p in self.providers.in_slot(slot) if not keep(p.epoch)])

    # -- inside: which claim to an id counts

    def _counts(self, binding: Binding) -> bool:
        return self._ids.get(binding.trigger.id) is binding

    def _lingers(self, binding: Binding, back: bool, now: float) -> bool:
        """Leave it behind if its worker is expected back, it counts, and nobody else claims its id."""
        counts = self._counts(binding) and self._claims.heir(binding.trigger.id, ()) is None
        return back and counts and self.lingering.keep(binding, now)

    def _claim(self, id: str, owner: Owner) -> Binding | None:
        current = self._ids.get(id)
        if current is None or current.owner == owner:
            return current
        return self._claims.find(id, owner)

    def _replace(self, old: Binding, new: Binding) -> None:
        """Put `new` in the place of `old`: bound as that is until it is placed anew."""
        at, provider = old.at, old.provider
        succeeds = old.trigger.type == new.trigger.type and self._builtin.succeed(old, new)
        keeps = succeeds and old.state is State.LIVE
        if not keeps:
            self.offers.take_back(old)
        self._uninstall(old)
        self._install(new, (at, provider) if keeps else None)
        self._types.forget_empty(old.type)

    def _install(self, binding: Binding, live: tuple[Providers | None, Owner | None] | None = None) -> None:
        trigger = binding.trigger
        # The type may have gone with its last trigger.
        binding.type = self._types.of(trigger.type)
        self._ids[trigger.id] = binding
        binding.type.add(binding)
        self._functions.add(binding)
        if live is not None:
            binding.type.set_state(binding, State.LIVE, *live)
        self.offers.place(binding)

    def _uninstall(self, binding: Binding) -> None:
        trigger = binding.trigger
        self.offers.start_over(binding)
        binding.type.remove(binding)
        del self._ids[trigger.id]
        self._functions.remove(binding)
        self._builtin.left(binding)

    def invariants(self) -> None:
        for part in (self.index, self.providers, self.lingering, self._claims):
            part.invariants()
        everything = [binding for slot in self.index.slots() for binding in self.index.in_slot(slot)]
        indexed = [binding for binding in everything if self._counts(binding)]
        claims = self._claims.all()
        assert {id(b) for b in everything} == {id(b) for b in indexed} | {id(c) for c in claims}
        assert len(everything) == len(indexed) + len(claims)
        assert all(claim.owner != self._ids[claim.trigger.id].owner for claim in claims)
        assert not any(claim.trigger.id == left.trigger.id for left in self.lingering for claim in claims)
        assert {id(b) for b in indexed} == {id(b) for b in self._ids.values()}
        self._functions.invariants(indexed)
        stacked = [p for t in self._types.values() for at in t.providers.values() for p in at.stack.values()]
        assert {id(p) for p in stacked} == {id(p) for s in self.providers.slots() for p in self.providers.in_slot(s)}
        for type in self._types.values():
            assert not type.empty
            type.invariants([binding for binding in indexed if binding.type is type])
        assert {binding.type for binding in indexed} <= set(self._types.values())
        self._builtin.invariants(indexed)
        awaited = [self._ids[id] for id in self.offers.outcomes.ids()]
        assert all(binding.state is State.LIVE and not binding.answered for binding in awaited)
        for binding in indexed:
            assert not binding.due or not self._ready(binding.slot)
