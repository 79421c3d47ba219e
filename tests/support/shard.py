"""A shard core with its effects recorded, maps made by hand, and the envelopes gateways would send."""

from itertools import count
from typing import TypeVar

from msgspec.structs import replace

from iii_cluster.bus.envelopes import (
    BindTrigger,
    Envelope,
    OfferTrigger,
    Owner,
    PutFunction,
    PutTrigger,
    PutTriggerType,
    Trigger,
    WithdrawTrigger,
)
from iii_cluster.cluster.map import ClusterMap, NodeInfo, Role, SlotOwner
from iii_cluster.cluster.slots import SLOTS
from iii_cluster.config.settings import Duplicates
from iii_cluster.modules.module import Rival, TriggerType
from shard.core import ShardCore

ME = "shard-0000000e"
OTHER = "shard-other"
LEADER = "coordinator-1"
GATEWAYS = ("gateway-a", "gateway-b")
BARRIER = 2.0  # seconds
BUILTIN = "engine::workers-available"
ROUTE = "route"  # a type of a module; its triggers exclude each other


def rival_of(trigger: Trigger) -> Rival | None:
    """What a config of "<key>:<variant>" competes for; other configs compete for nothing."""
    key, colon, variant = trigger.config.strip(b'"').decode().partition(":")
    return Rival(key, variant) if colon else None


ROUTES = TriggerType(
    id=ROUTE, rival=rival_of, conflict=lambda bound, refused: f"{refused.config.decode()} after {bound.config.decode()}"
)

E = TypeVar("E", bound=Envelope)


class Recorder:
    """The effects of a core, for looking at."""

    def __init__(self) -> None:
        self.sent: list[tuple[str, Envelope]] = []
        self.forgotten: list[Trigger] = []
        self.settles = 0

    def send(self, node: str, envelope: Envelope) -> None:
        self.sent.append((node, envelope))

    def forget_durable(self, trigger: Trigger) -> None:
        self.forgotten.append(trigger)

    def settle_soon(self) -> None:
        self.settles += 1

    def take(self, kind: type[E], node: str | None = None) -> list[E]:
        """Sent envelopes of one kind (to one node), which are then forgotten."""
        taken = [e for to, e in self.sent if isinstance(e, kind) and node in (None, to)]
        self.sent = [(to, e) for to, e in self.sent if not (isinstance(e, kind) and node in (None, to))]
        # Whether the shard's epoch is told right is the model's business.
        return [replace(e, epoch=0) if isinstance(e, OfferTrigger | WithdrawTrigger) else e for e in taken]


def cluster_map(
    epoch: int, slots: dict[str, int] | tuple[SlotOwner, ...] | None = None, gateways: tuple[str, ...] = GATEWAYS
) -> ClusterMap:
    """A map in which one node owns every slot: `{node: since}`; default: the shard under test, since epoch 1."""
    if not isinstance(slots, tuple):
        ((node, since),) = (slots or {ME: 1}).items()
        slots = (SlotOwner(node, since),) * SLOTS
    nodes = {name: NodeInfo(id=name, role=Role.GATEWAY) for name in gateways}
    nodes |= {name: NodeInfo(id=name, role=Role.SHARD) for name in (ME, OTHER)}
    nodes[LEADER] = NodeInfo(id=LEADER, role=Role.COORDINATOR)
    return ClusterMap(term=1, epoch=epoch, leader=LEADER, nodes=nodes, slots=slots)


class Lab:
    """A core and what is around it; every event is followed by a check of the invariants."""

    def __init__(
        self,
        duplicates: Duplicates = Duplicates.BALANCE,
        reads: bool = True,
        window: float = 0.0,
        routes: TriggerType = ROUTES,
    ) -> None:
        self.now = 0.0
        self.window = window
        self.effects = Recorder()
        self.core = ShardCore(
            ME,
            self.effects,
            duplicates=duplicates,
            builtin_types={BUILTIN, ROUTE},
            barrier=BARRIER,
            reattach_window=window,
            module_types={ROUTE: routes},
        )
        self.reads = reads  # storage, as soon as there is something to load; it is empty
        self._stamps = count(1)

    def adopt(self, new: ClusterMap, now: float = 0.0) -> None:
        self.core.apply_map(new, now)
        self._after()

    def load(self, *stored: BindTrigger) -> None:
        self.core.durable_loaded(self.core.slots.loadable(), stored)
        self.core.invariants()

    def get(self, src: str, *envelopes: Envelope) -> None:
        for envelope in envelopes:
            self.core.handle(src, envelope, self.now)
            self._after()

    def tick(self, now: float) -> None:
        self.now = now
        self.core.tick(now)
        self._after()

    def reset(self, node: str) -> None:
        self.core.link_reset(node, 0.0)
        self._after()

    def _after(self) -> None:
        self.core.invariants()
        if self.reads and self.core.slots.loadable():
            self.load()

    def filled(self) -> "Lab":
        """Owner of every slot since epoch 1, long ago, with two gateways that have announced."""
        self.adopt(cluster_map(1, gateways=()), now=-self.window)
        self.adopt(cluster_map(2))
        self.tick(self.now)
        return self

    # -- what gateways send; stamps grow

    def put(
        self,
        owner: Owner,
        id: str,
        namespace: str = "default",
        epoch: int = 2,
        stamp: int = 0,
        *,
        realm: str = "",
        definition: bytes = b"{}",
    ) -> None:
        put = PutFunction(epoch, owner, namespace, id, stamp or next(self._stamps), definition, realm)
        self.get(owner.node, put)

    def provide(self, owner: Owner, type: str, namespace: str = "default", epoch: int = 2, stamp: int = 0) -> None:
        self.get(owner.node, PutTriggerType(epoch, owner, namespace, type, stamp or next(self._stamps), b"{}"))

    def bind(self, owner: Owner, trigger: Trigger, epoch: int = 2, stamp: int = 0) -> None:
        self.get(owner.node or GATEWAYS[0], BindTrigger(epoch, owner, stamp or next(self._stamps), trigger))

    def store(self, owner: Owner, trigger: Trigger, epoch: int = 2, stamp: int = 0) -> None:
        self.get(owner.node or GATEWAYS[0], PutTrigger(epoch, owner, stamp or next(self._stamps), trigger))


def owner(conn: int, node: str = GATEWAYS[0]) -> Owner:
    return Owner(node, conn, f"worker-{node}-{conn}")
