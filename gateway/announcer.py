"""What this gateway's workers registered, by slot, and its announcement to the shards that own the slots. Pure."""

from collections import deque
from collections.abc import Callable
from typing import TYPE_CHECKING

from msgspec import Struct
from msgspec.structs import replace

from iii_cluster.bus.envelopes import (
    Announced,
    BindTrigger,
    DropFunction,
    DropTrigger,
    DropTriggerType,
    Envelope,
    Offered,
    Owner,
    PutFunction,
    PutService,
    PutTrigger,
    PutTriggerType,
    Trigger,
    UnbindTrigger,
)
from iii_cluster.bus.outbox import Links
from iii_cluster.cluster.map import ClusterMap, Role
from iii_cluster.cluster.slots import SLOTS, slot_of

if TYPE_CHECKING:
    from iii_cluster.modules.http_functions.definition import HttpFunction

FUNCTION = "function"
TRIGGER_TYPE = "trigger type"
TRIGGER = "trigger"  # kept by the owner of the trigger id's slot
BINDING = "binding"  # the same trigger, bound by the owner of its type's slot
SERVICE = "service"


class Registration(Struct, frozen=True, gc=False):
    """One thing a connection registered; `body` is the definition, or the trigger."""

    kind: str
    owner: Owner
    namespace: str
    id: str
    stamp: int
    body: bytes | Trigger
    realm: str = ""  # of its worker
    outside: "HttpFunction | None" = None  # how it is called, if not at its worker; stays here

    @property
    def slot_key(self) -> str:
        return self.body.type if self.kind == BINDING and isinstance(self.body, Trigger) else self.id

    @property
    def key(self) -> tuple[str, str, str]:
        """Unique within its connection; triggers are global, so their namespace takes no part."""
        return (self.kind, "" if isinstance(self.body, Trigger) else self.namespace, self.id)

    def put(self, epoch: int) -> Envelope:
        """The envelope that announces it."""
        body = self.body
        if isinstance(body, Trigger):
            make = BindTrigger if self.kind == BINDING else PutTrigger
            return make(epoch, self.owner, self.stamp, body)
        if self.kind == FUNCTION:
            return PutFunction(epoch, self.owner, self.namespace, self.id, self.stamp, body, self.realm)
        if self.kind == TRIGGER_TYPE:
            return PutTriggerType(epoch, self.owner, self.namespace, self.id, self.stamp, body, self.realm)
        return PutService(epoch, self.owner, self.namespace, self.id, body)

    def drop(self, back: bool) -> Envelope | None:
        """The envelope that takes it back; services only go with their connection."""
        if self.kind == FUNCTION:
            return DropFunction(self.owner, self.namespace, self.id, back)
        if self.kind == TRIGGER_TYPE:
            return DropTriggerType(self.owner, self.namespace, self.id)
        if self.kind == TRIGGER:
            return DropTrigger(self.owner, self.id, back)
        if self.kind == BINDING and isinstance(self.body, Trigger):
            return UnbindTrigger(self.owner, self.id, self.body.type, back=back)
        return None

    def moved_to(self, node: str) -> "Registration":
        """The same, of the same connection of another incarnation."""
        return replace(self, owner=replace(self.owner, node=node))


class Announcer:
    """Every registration of this gateway, and what each shard has to be told."""

    def __init__(self, links: Links, offers: Callable[[Owner, str], list[str]]) -> None:
        self.map = ClusterMap()
        self._links = links
        self._offers = offers  # ids of the triggers of a type that a provider of ours was told of
        self._slots: list[dict[tuple[int, str, str, str], Registration]] = [{} for _ in range(SLOTS)]
        self.count = 0
        self._todo: dict[str, deque[int]] = {}  # slots to be announced, by shard; empty: only the closing word

    def put(self, registration: Registration) -> str:
        """Keep and announce it; returns the shard that was told, "" while there is none."""
        slot = slot_of(registration.slot_key)
        entries = self._slots[slot]
        key = (registration.owner.conn, *registration.key)
        self.count += key not in entries
        entries[key] = registration
        shard = self.map.slots[slot].node
        if shard:
            self._links.send(shard, registration.put(self.map.epoch))
        return shard

    def drop(self, registration: Registration, *, back: bool = False) -> None:
        """Forget it and tell the shard; with `back`, that its worker is expected to register it again."""
        if self.forget(registration):
            shard = self.map.owner(registration.slot_key)
            envelope = registration.drop(back)
            if shard and envelope is not None:
                self._links.send(shard, envelope)

    def forget(self, registration: Registration) -> bool:
        """Forget it: the coordinator's clean-up, or the shard itself, takes it off the shard."""
        entries = self._slots[slot_of(registration.slot_key)]
        found = entries.pop((registration.owner.conn, *registration.key), None) is not None
        self.count -= found
        return found

    def reincarnate(self, node: str) -> None:
        """All of it belongs to `node` now, and nobody was told so far."""
        self.map = ClusterMap()
        self._todo.clear()
        for entries in self._slots:
            for key, registration in entries.items():
                entries[key] = registration.moved_to(node)

    def on_map(self, new: ClusterMap) -> None:
        """Announce what lies in slots that changed hands, then say that this epoch is complete."""
        old, self.map = self.map, new
        shards = set(new.of_role(Role.SHARD))
        self._todo = {shard: slots for shard, slots in self._todo.items() if shard in shards}
        for shard in shards:
            self._todo.setdefault(shard, deque())
        for slot in range(SLOTS):
            if old.slots[slot] != new.slots[slot] and new.slots[slot].node in shards:
                self._todo[new.slots[slot].node].append(slot)
        for shard in shards:
            self.resume(shard)

    def on_reset(self, shard: str) -> None:
        """The link to a shard was reset: it released all we had announced."""
        if shard in self.map.nodes:
            self._todo[shard] = deque(slot for slot in range(SLOTS) if self.map.slots[slot].node == shard)
            self.resume(shard)

    def resume(self, shard: str) -> None:
        """Announce what is left for `shard`, as long as the link takes it."""
        slots = self._todo.get(shard)
        if slots is None:
            return
        while slots:
            if self._links.congested(shard):
                return
            self._announce(slots.popleft(), shard)
        del self._todo[shard]
        self._links.send(shard, Announced(self.map.epoch))

    def _announce(self, slot: int, shard: str) -> None:
        if self.map.slots[slot].node != shard:
            return
        for registration in self._slots[slot].values():
            self._links.send(shard, registration.put(self.map.epoch))
            if registration.kind == TRIGGER_TYPE:
                self._tell_offers(shard, registration)

    def _tell_offers(self, shard: str, provided: Registration) -> None:
        ids = self._offers(provided.owner, provided.id)
        if ids:
            self._links.send(shard, Offered(self.map.epoch, provided.owner, provided.id, ids))
