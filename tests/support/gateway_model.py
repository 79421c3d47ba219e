"""The announcing and watching side of the registry, as simple as it can be: a model to hold shards against."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from itertools import count

from msgspec.structs import replace

from iii_cluster.bus.envelopes import (
    Announced,
    BindTrigger,
    DropFunction,
    DropTrigger,
    Envelope,
    FunctionOwners,
    Offered,
    OfferTrigger,
    Owner,
    PutFunction,
    PutTrigger,
    PutTriggerType,
    RejectFunction,
    RevokeTrigger,
    Served,
    Trigger,
    TriggerChange,
    TriggerFailed,
    TriggerSnapshot,
    UnbindTrigger,
    Watch,
    WithdrawTrigger,
)
from iii_cluster.cluster.map import ClusterMap, Role
from iii_cluster.cluster.slots import SLOTS, slot_of

FunctionKey = tuple[int, str, str]  # connection, namespace, id
Held = tuple[Owner, str, str]  # provider, type, trigger id


def subject(key: str) -> str:
    """The id whose slot a watch key is in."""
    return key.removeprefix("triggers:") if key.startswith("triggers:") else key.partition("/")[2]


def stamped(triggers: list[Trigger], stamps: list[int]) -> dict[str, tuple[int, Trigger]]:
    return {trigger.id: (stamp, trigger) for trigger, stamp in zip(triggers, stamps, strict=True)}


@dataclass
class Gateway:
    """A model of the announcing and watching side, as simple as it can be."""

    id: str
    post: Callable[[str, Envelope], None]
    map: ClusterMap = field(default_factory=ClusterMap)
    functions: dict[FunctionKey, int] = field(default_factory=dict)  # -> stamp
    types: dict[FunctionKey, int] = field(default_factory=dict)
    triggers: dict[tuple[int, str], tuple[int, Trigger]] = field(default_factory=dict)  # (connection, id)
    watched: dict[str, object] = field(
        default_factory=dict
    )  # key -> None (asked), owners, whether served, or triggers by id with their stamps
    versions: dict[tuple[str, str], int] = field(default_factory=dict)  # (shard, key)
    held: dict[Held, tuple[Trigger, str]] = field(default_factory=dict)  # what its providers were given, and where
    failed: set[tuple[int, str]] = field(default_factory=set)  # (connection, id) of triggers that were refused
    worker_numbers: Iterator[int] = field(default_factory=lambda: count(1))
    conns: dict[int, int] = field(default_factory=dict)  # slot of the test -> connection number
    realms: dict[int, str] = field(default_factory=dict)  # of connections that are under rules
    process: str = ""  # worker ids outlive a node id

    def __post_init__(self) -> None:
        self.process = self.id

    def owner(self, conn: int) -> Owner:
        return Owner(self.id, conn, f"{self.process}/{conn}")

    def tell(self, key: str, envelope: Envelope) -> None:
        shard = self.map.owner(key)
        if shard:
            self.post(shard, envelope)

    def announce(self, slots: set[int]) -> None:
        epoch = self.map.epoch
        for (conn, namespace, id), stamp in self.functions.items():
            if slot_of(id) in slots:
                self.put_function((conn, namespace, id), stamp)
        for (conn, namespace, id), stamp in self.types.items():
            if slot_of(id) in slots:
                owner = self.owner(conn)
                self.tell(id, PutTriggerType(epoch, owner, namespace, id, stamp, b"{}"))
                held = [trigger for provider, type, trigger in self.held if (provider, type) == (owner, id)]
                self.tell(id, Offered(epoch, owner, id, held))
        for (conn, id), (stamp, trigger) in self.triggers.items():
            if slot_of(id) in slots:
                self.tell(id, PutTrigger(epoch, self.owner(conn), stamp, trigger))
            if slot_of(trigger.type) in slots:
                self.tell(trigger.type, BindTrigger(epoch, self.owner(conn), stamp, trigger))

    def adopt(self, new: ClusterMap) -> None:
        old, self.map = self.map, new
        moved = {slot for slot in range(SLOTS) if old.slots[slot] != new.slots[slot]}
        self.announce(moved)
        for shard in new.of_role(Role.SHARD):
            self.post(shard, Announced(new.epoch))
        for key in self.watched:
            if slot_of(subject(key)) in moved:
                self.tell(subject(key), Watch(new.epoch, [key]))

    def reincarnate(self, id: str, post: Callable[[str, Envelope], None]) -> None:
        """The same connections under a new node id; nobody knows of them, and the first map is yet to come."""
        self.held = {
            (replace(owner, node=id), type, trigger): given for (owner, type, trigger), given in self.held.items()
        }
        self.id, self.post, self.map = id, post, ClusterMap()
        self.watched = dict.fromkeys(self.watched)
        self.versions.clear()

    def receive(self, shard: str, said: Envelope) -> None:
        match said:
            case FunctionOwners() | TriggerSnapshot() | TriggerChange():
                self.believe(shard, said)
            case Served(key, on):
                if key in self.watched and self.map.owner(subject(key)) == shard:
                    self.watched[key] = on
            case RevokeTrigger(conn, id, stamp):
                known = self.triggers.get((conn, id))
                if known is not None and known[0] <= stamp:
                    self.forget_trigger(conn, id)
            case RejectFunction(conn, namespace, id, _, stamp):
                if self.functions.get((conn, namespace, id), stamp + 1) <= stamp:
                    self.forget_function((conn, namespace, id))
            case OfferTrigger(trigger=Trigger(type=type)) | WithdrawTrigger(type=type) if (
                said.epoch < self.map.slot(type).since
            ):
                pass  # of a former owner of the slot
            case OfferTrigger(conn, trigger, namespace):
                if (conn, namespace, trigger.type) in self.types:
                    self.held[self.owner(conn), trigger.type, trigger.id] = (trigger, namespace)
            case WithdrawTrigger(conn, id, type):
                self.held.pop((self.owner(conn), type, id), None)
            case TriggerFailed(conn, id):
                self.failed.add((conn, id))
            case _:
                raise AssertionError(said)

    def believe(self, shard: str, said: FunctionOwners | TriggerSnapshot | TriggerChange) -> None:
        assert said.version >= self.versions.get((shard, said.key), 0)
        self.versions[shard, said.key] = said.version
        if said.key not in self.watched or self.map.owner(subject(said.key)) != shard:
            return
        if isinstance(said, FunctionOwners):
            if said.owners:
                self.watched[said.key] = said.owners
            else:
                del self.watched[said.key]
        elif isinstance(said, TriggerSnapshot):
            self.watched[said.key] = stamped(said.triggers, said.stamps)
        else:
            view = self.watched[said.key]
            if isinstance(view, dict):
                view.update(stamped(said.put, said.stamps))
                for id in said.dropped:
                    view.pop(id, None)

    def forget_trigger(self, conn: int, id: str, back: bool = False) -> None:
        """`back`: its worker was sent to another gateway."""
        _, trigger = self.triggers.pop((conn, id))
        self.tell(id, DropTrigger(self.owner(conn), id, back))
        self.tell(trigger.type, UnbindTrigger(self.owner(conn), id, trigger.type, back=back))

    def put_function(self, key: FunctionKey, stamp: int) -> None:
        conn, namespace, id = key
        self.functions[key] = stamp
        owner, realm = self.owner(conn), self.realms.get(conn, "")
        self.tell(id, PutFunction(self.map.epoch, owner, namespace, id, stamp, b"{}", realm))

    def forget_function(self, key: FunctionKey, back: bool = False) -> None:
        """`back`: its worker was sent to another gateway."""
        conn, namespace, id = key
        del self.functions[key]
        self.tell(id, DropFunction(self.owner(conn), namespace, id, back))

    def close(self, conn: int) -> Owner:
        for registrations in (self.functions, self.types):
            for key in [key for key in registrations if key[0] == conn]:
                del registrations[key]
        for trigger_key in [key for key in self.triggers if key[0] == conn]:
            del self.triggers[trigger_key]
        for held in [key for key in self.held if key[0].conn == conn]:
            del self.held[held]
        return self.owner(conn)
