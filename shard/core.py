"""The registry of one shard: an envelope or a map goes in, envelopes go out through `Effects`. Pure."""

from collections.abc import Callable, Collection, Iterable, Mapping
from typing import Any, TypeVar

from msgspec.structs import replace

from iii_cluster.bus import envelopes
from iii_cluster.bus.envelopes import (
    BindTrigger,
    Envelope,
    Offered,
    Owner,
    PutTrigger,
    RemoveTrigger,
    Trigger,
    UnbindTrigger,
    Watch,
)
from iii_cluster.cluster.durable import DURABLE
from iii_cluster.cluster.map import ClusterMap
from iii_cluster.cluster.slots import slot_of
from iii_cluster.config.settings import Duplicates
from iii_cluster.modules.module import TriggerType

from .bindings import Bindings
from .effects import Effects
from .ended import Ended
from .functions import Functions
from .holds import Holds, Lookup
from .losses import Losses
from .recent import RecentSlots
from .services import Services
from .slots import SlotTable
from .triggers import Triggers
from .watching import Watching

Registered = TypeVar("Registered", PutTrigger, BindTrigger)


class ShardCore:
    """`now` is seconds of any monotonic clock."""

    def __init__(
        self,
        me: str,
        effects: Effects,
        *,
        duplicates: Duplicates,
        builtin_types: Collection[str],
        barrier: float,
        reattach_window: float = 0.0,
        module_types: Mapping[str, TriggerType] | None = None,
    ) -> None:
        """`builtin_types` are the ids of those no worker provides; `module_types` what modules say of theirs, by id."""
        self._me = me
        self._effects = effects
        self.slots = SlotTable(me, barrier)
        self.recent = RecentSlots(reattach_window)
        self.functions = Functions(
            effects,
            duplicates,
            lambda *key: self.watching.function_changed(*key),
            self._decides,
            reattach_window,
        )
        self.services = Services()
        self.triggers = Triggers(effects, self.slots.ready, self._forget_durable, self._unbind, reattach_window)
        self.bindings = Bindings(
            effects,
            builtin_types,
            module_types or {},
            self.slots.ready,
            lambda: self.map.epoch,
            lambda *change: self.watching.trigger_changed(*change),
            reattach_window,
        )
        self.holds = Holds()
        self.watching = Watching(effects, self.slots, self.holds, self.functions, self.bindings, reattach_window)
        self._losses = Losses(self.functions, self.services, self.triggers, self.bindings, self.watching)
        self._now = 0.0  # of the event that is being handled
        self._newest_term = 0  # of a leader that asked for a clean-up
        self._seen: dict[str, int] = {}  # node -> newest epoch it spoke of
        self._departed: Ended[Owner] = Ended()  # connections that were cleaned up
        self._forgotten: Ended[str] = Ended()  # durable triggers; their ids are never used again
        self.handlers: dict[type[Envelope], Callable[[str, Any], None]] = {
            envelopes.PutFunction: self._put_function,
            envelopes.DropFunction: self._drop_function,
            envelopes.PutTriggerType: self._put_trigger_type,
            envelopes.DropTriggerType: lambda _, drop: self.bindings.drop_type(drop),
            envelopes.PutTrigger: self._put_trigger,
            envelopes.DropTrigger: lambda _, drop: self.triggers.drop(drop, self._now),
            envelopes.RemoveTrigger: self._remove_trigger,
            envelopes.BindTrigger: self._bind_trigger,
            envelopes.UnbindTrigger: self._unbind_trigger,
            envelopes.ProviderAnswer: lambda _, answer: self.bindings.answer(answer),
            envelopes.PutService: self._put_service,
            envelopes.Offered: self._offered,
            envelopes.Announced: self._announced,
            envelopes.Watch: self._watch,
            envelopes.Unwatch: self._unwatch,
            envelopes.Cleanup: self._cleanup,
        }

    @property
    def map(self) -> ClusterMap:
        return self.slots.map

    # -- events

    def handle(self, src: str, envelope: Envelope, now: float) -> None:
        """Take in one envelope from node `src`; KeyError for a kind that is none of a shard's business."""
        self._now = now
        self.handlers[type(envelope)](src, envelope)
        self._flush()

    def apply_map(self, new: ClusterMap, now: float) -> None:
        """Adopt a newer map. After any event, `durable_loaded` is to be called if there are `slots.loadable()`."""
        if new.version <= self.map.version:
            return
        self._now = now
        changed = self.slots.apply(new, now)
        ended = {*changed.ended, *changed.gained, *self._unowned()}
        for slot in ended:
            self._losses.end_slot(slot, self.slots.accepts)
        self.functions.reservations.end_slots(ended)
        self.recent.end(ended)
        for slot in changed.gained:
            self.recent.gain(slot, self.slots.since(slot))
        self.recent.hear(self.slots.heard_of, now)
        self.watching.end_slots(ended, self.slots.accepts)
        self._release_nodes(self._vanished(), expect=True)
        self._fill(changed.filled)
        self._flush()
        for slot in sorted(self.holds.slots()):
            self._wake(slot)
        self._flush()

    def link_reset(self, node: str, now: float) -> None:
        """Mail to or from `node` was lost: forget what it registered, it announces everything again."""
        self._now = now
        self.slots.announces_again(node, now)
        self._release_nodes([node], expect=False)
        self._flush()

    def deadline(self) -> float | None:
        """When to call `tick`, None when there is nothing to wait for."""
        slots = (self.slots, self.recent)
        lost = (self.functions.reservations, self.watching.expected, self.triggers.lingering, self.bindings.lingering)
        return min((due for part in (*slots, *lost) if (due := part.deadline()) is not None), default=None)

    def tick(self, now: float) -> None:
        """Fill the slots whose barrier ended, and wait for nobody longer than is due."""
        self._now = now
        self.functions.reservations.tick(now)
        self.triggers.tick(now)
        self.bindings.tick(now)
        self._fill(self.slots.tick(now))
        self._decide(self.recent.tick(now))
        self.watching.tick(now)
        self._flush()

    def settle(self) -> None:
        """One round of repeated offers, asked for with `Effects.settle_soon`."""
        self.bindings.offers.settle()
        self._flush()

    def durable_loaded(self, slots: Collection[int], stored: Iterable[BindTrigger]) -> None:
        """What storage holds, read after these slots were loadable. What arrived in the meantime is newer."""
        owned = {slot for slot in slots if self.slots.owns(slot)}
        for bind in stored:
            trigger = bind.trigger
            if trigger.id in self._forgotten:
                continue
            slot = slot_of(trigger.id)
            if slot in owned and self.triggers.find(trigger.id) is None:
                self.triggers.put(PutTrigger(self.slots.since(slot), DURABLE, bind.stamp, trigger))
            slot = slot_of(trigger.type)
            if slot in owned and self.bindings.find(trigger.id) is None:
                self.bindings.bind(BindTrigger(self.slots.since(slot), DURABLE, bind.stamp, trigger))
        self._fill(self.slots.loaded(owned))
        self._flush()
        for slot in sorted(owned & self.holds.slots()):
            self._wake(slot)
        self._flush()

    def durable_forgotten(self, trigger: Trigger) -> None:
        """Storage has forgotten a durable trigger: now its type may."""
        self._unbind(trigger, DURABLE)

    def lookup(self, slot: int, epoch: int, done: Callable[[bool], None]) -> None:
        """Call `done(True)` as soon as the slot can be asked, `done(False)` if it is not ours (any more).

        `epoch` is the asker's map epoch, 0 if it did not say.
        """
        if self.slots.ready(slot):
            done(True)
        elif self.slots.owns(slot) or epoch > self.map.epoch:
            self.holds.lookup(slot, Lookup(epoch, done))
        else:
            done(False)

    # -- registrations

    def _admits(self, slot: int, owner: Owner, epoch: int) -> bool:
        """Whether a registration counts: what is of a former time or of a dead connection does not come back."""
        if not self.slots.accepts(slot, epoch) or owner in self._departed:
            return False
        return self._hears(owner.node, epoch)

    def _hears(self, node: str, epoch: int) -> bool:
        """Whether `node` is, or will be, in the map."""
        if node not in self.map.nodes and epoch <= self.map.epoch:
            return False
        self._seen[node] = max(epoch, self._seen.get(node, epoch))
        return True

    def _put_function(self, _: str, put: envelopes.PutFunction) -> None:
        if self._admits(slot_of(put.id), put.owner, put.epoch):
            self.functions.put(put, self._now)
            if self.functions.find(put.namespace, put.id) is not None:
                self.watching.registered(put.namespace, put.id)

    def _drop_function(self, _: str, drop: envelopes.DropFunction) -> None:
        known = self.functions.find(drop.namespace, drop.id) is not None
        self.functions.drop(drop, self._now)
        if known and drop.back:
            self.watching.expect([(drop.namespace, drop.id)], self._now)

    def _put_trigger_type(self, _: str, put: envelopes.PutTriggerType) -> None:
        if self._admits(slot_of(put.id), put.owner, put.epoch):
            self.bindings.put_type(put)

    def _put_service(self, _: str, put: envelopes.PutService) -> None:
        if self._admits(slot_of(put.id), put.owner, put.epoch):
            self.services.put(put)

    def _put_trigger(self, _: str, put: PutTrigger) -> None:
        if (counts := self._admitted(put.trigger.id, put)) is not None:
            self.triggers.put(counts)

    def _bind_trigger(self, _: str, bind: BindTrigger) -> None:
        if (counts := self._admitted(bind.trigger.type, bind)) is not None:
            self.bindings.bind(counts)

    def _admitted(self, key: str, said: Registered) -> Registered | None:
        """As it counts in the slot of `key`, None if it does not; a durable one is sent on to who owns that."""
        slot = slot_of(key)
        if said.owner != DURABLE:
            return said if self._admits(slot, said.owner, said.epoch) else None
        if said.trigger.id in self._forgotten:
            return None
        if self.slots.owns(slot):
            return replace(said, epoch=max(said.epoch, self.slots.since(slot)))
        if said.epoch > self.map.epoch:
            return said
        self._forward(key, said)
        return None

    def _remove_trigger(self, src: str, remove: RemoveTrigger) -> None:
        if self._is_here(src, remove.id, remove):
            self.triggers.remove_by_id(remove.id)

    def _unbind_trigger(self, src: str, unbind: UnbindTrigger) -> None:
        if unbind.owner != DURABLE:
            self.bindings.unbind(unbind, self._now)
        elif self._is_here(src, unbind.type, unbind):
            self._forgotten.add([unbind.id])
            self.bindings.unbind(unbind, self._now)

    def _offered(self, src: str, offered: Offered) -> None:
        """Whether a trigger is bound can only be told when the slot is settled."""
        slot = slot_of(offered.type)
        if self.slots.settled(slot):
            self.bindings.take_back_strays(offered)
        elif self.slots.owns(slot) or offered.epoch > self.map.epoch:
            self.holds.removal(slot, src, offered)

    def _is_here(self, src: str, key: str, removal: RemoveTrigger | UnbindTrigger) -> bool:
        """Whether `removal` can be judged now; if not it is held, or sent on to who can."""
        slot = slot_of(key)
        if self.slots.settled(slot):
            return True
        if self.slots.owns(slot) or removal.epoch > self.map.epoch:
            self.holds.removal(slot, src, removal)
        else:
            self._forward(key, removal)
        return False

    def _forward(self, key: str, envelope: PutTrigger | BindTrigger | RemoveTrigger | UnbindTrigger) -> None:
        """To the owner of `key` by our map, which that one waits for: nothing runs in circles."""
        owner = self.map.owner(key)
        if owner:
            self._effects.send(owner, replace(envelope, epoch=self.map.epoch))

    def _unbind(self, trigger: Trigger, owner: Owner) -> None:
        self._forward(trigger.type, UnbindTrigger(owner, trigger.id, trigger.type))

    def _forget_durable(self, trigger: Trigger) -> None:
        self._forgotten.add([trigger.id])
        self._effects.forget_durable(trigger)

    # -- watches

    def _watch(self, src: str, watch: Watch) -> None:
        if self._hears(src, watch.epoch):
            for key in watch.keys:
                self.watching.watch(src, key, watch.epoch)

    def _unwatch(self, src: str, unwatch: envelopes.Unwatch) -> None:
        for key in unwatch.keys:
            self.watching.unwatch(src, key)

    def _flush(self) -> None:
        self.watching.flush()

    # -- slots

    def _announced(self, src: str, announced: envelopes.Announced) -> None:
        filled = self.slots.announced(src, announced.epoch)
        self.recent.hear(self.slots.heard_of, self._now)
        self._fill(filled)

    def _decides(self, slot: int) -> bool:
        return self.slots.ready(slot) and slot not in self.recent

    def _decide(self, slots: Collection[int]) -> None:
        """Of these every claim may be known now."""
        for slot in slots:
            if self._decides(slot):
                self.functions.decide(slot)
        self._flush()
        for slot in self.holds.slots().intersection(slots):
            self._wake(slot)

    def _fill(self, slots: Iterable[int]) -> None:
        filled = list(slots)
        for slot in filled:
            self.bindings.fill(slot)
        self._decide(filled)
        for slot in filled:
            self._wake(slot)

    def _wake(self, slot: int) -> None:
        """Look again at what is held of a slot."""
        self.watching.wake(slot)
        for lookup in self.holds.take_lookups(slot):
            self.lookup(slot, lookup.epoch, lookup.done)
        for src, removal in self.holds.take_removals(slot):
            self.handlers[type(removal)](src, removal)

    def _unowned(self) -> set[int]:
        """Slots of others that hold something: it came early, or is of the past by now."""
        return {slot for slot in self._losses.slots() if not self.slots.owns(slot)}

    # -- nodes and connections

    def _vanished(self) -> list[str]:
        """Nodes that hold something here and are neither in the map nor, as far as we heard, in a later one."""
        nodes = {*self._losses.nodes(), *self.watching.nodes(), *self._seen}
        known = self.map.nodes
        return sorted(node for node in nodes if node not in known and self._seen.get(node, 0) <= self.map.epoch)

    def _release_nodes(self, nodes: Collection[str], expect: bool) -> None:
        for node in nodes:
            self._seen.pop(node, None)
        self._losses.release_nodes(nodes, self._now, expect)

    def _cleanup(self, src: str, cleanup: envelopes.Cleanup) -> None:
        """Idempotent. A step this version does not know is none of a shard's: done. Old leaders are not heard."""
        if cleanup.term:
            if cleanup.term < max(self.map.term, self._newest_term):
                return
            self._newest_term = cleanup.term
        owners = dict.fromkeys(cleanup.owners)
        self._departed.add(owners)
        back = {cleanup.owners[at] for at in cleanup.back if at < len(cleanup.owners)}
        if cleanup.step == "functions":
            self._losses.release_functions(owners, back, self._now)
        elif cleanup.step == "triggers":
            self._losses.release_triggers(owners, back, self._now)
        self._flush()
        self._effects.send(src, envelopes.CleanupDone(cleanup.job, cleanup.step))

    def invariants(self) -> None:
        """What must hold between any two events; raises AssertionError."""
        registries = (self.functions, self.services, self.triggers, self.bindings)
        for part in (self.slots, self.recent, *registries, self.watching):
            part.invariants()
        assert not self._vanished()
        for index in self._losses.indexes():
            for slot in index.slots():
                assert all(self.slots.accepts(slot, record.epoch) for record in index.in_slot(slot))
        for slot in self.holds.slots():
            assert not self.slots.settled(slot) or slot in self.recent
