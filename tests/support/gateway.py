"""A gateway core without sockets or bus: what it sends is recorded."""

import json
from collections.abc import Sequence
from typing import Any

from gateway.call_telemetry import CallTelemetry
from gateway.core import GatewayCore
from gateway.limits import Limits
from gateway.worker import Worker
from iii_cluster.bus.envelopes import Envelope
from iii_cluster.cluster.map import ClusterMap, NodeInfo, Role, SlotOwner
from iii_cluster.cluster.slots import SLOTS
from iii_cluster.config.settings import Duplicates
from iii_cluster.modules.module import TriggerType


class FakeOutlet:
    """A worker's socket that keeps what it is given."""

    def __init__(self) -> None:
        self.frames: list[dict[str, Any]] = []
        self.raw: list[bytes] = []
        self.paused = 0
        self.open = True
        self.congested = False
        self.aborted = False

    def send(self, frame: bytes) -> None:
        self.raw.append(frame)
        self.frames.append(json.loads(frame))

    def take(self) -> list[dict[str, Any]]:
        frames, self.frames = self.frames, []
        return frames

    def pause(self) -> None:
        self.paused += 1

    def resume(self) -> None:
        self.paused -= 1

    def abort(self) -> None:
        self.aborted = True


class RecordedEffects:
    def __init__(self) -> None:
        self.sent: list[tuple[str, Envelope]] = []
        self.reattached: list[tuple[Worker, str, str]] = []
        self.congested_nodes: set[str] = set()

    def send(self, node: str, envelope: Envelope) -> None:
        self.sent.append((node, envelope))

    def congested(self, node: str) -> bool:
        return node in self.congested_nodes

    def reattach(self, worker: Worker, previous: str, token: str) -> None:
        self.reattached.append((worker, previous, token))

    def take(self, kind: type[Envelope] | None = None) -> list[Any]:
        """What was sent since the last time, of one kind or (node, envelope) pairs of all."""
        sent, self.sent = self.sent, []
        return sent if kind is None else [envelope for _, envelope in sent if isinstance(envelope, kind)]


def node_info(node: str) -> NodeInfo:
    return NodeInfo(id=node, role=Role(node.partition("-")[0]))


def cluster_map(*nodes: str, epoch: int = 1, term: int = 1, since: int = 1) -> ClusterMap:
    """A map of these nodes; slots go to the shards in turn, the first coordinator leads."""
    infos = {node: node_info(node) for node in nodes}
    shards = [node for node in nodes if infos[node].role is Role.SHARD]
    leader = next((node for node in nodes if infos[node].role is Role.COORDINATOR), "")
    slots = tuple(SlotOwner(shards[i % len(shards)], since) if shards else SlotOwner() for i in range(SLOTS))
    return ClusterMap(term=term, epoch=epoch, leader=leader, nodes=infos, slots=slots)


class FakeGateway:
    """A core, its recorded effects, and workers to drive it with."""

    def __init__(
        self,
        *nodes: str,
        duplicates: Duplicates = Duplicates.BALANCE,
        max_registrations: int = 0,
        name: str = "gateway-aaaaaaaa",
        reattach_window: float = 0.0,
        types: Sequence[TriggerType] = (),
        limits: Limits | None = None,
        telemetry: CallTelemetry | None = None,
    ) -> None:
        self.effects = RecordedEffects()
        self.core = GatewayCore(
            name,
            self.effects,
            duplicates=duplicates,
            max_registrations=max_registrations,
            reattach_window=reattach_window,
            types={name: type for type in types for name in (type.id, *type.aliases)},
            limits=limits,
            telemetry=telemetry,
        )
        self.use(cluster_map(name, *(nodes or ("shard-00000001", "coordinator-00000001"))))

    def use(self, new: ClusterMap) -> None:
        self.core.on_map(self.core.map, new)

    def connect(self) -> tuple[Worker, FakeOutlet]:
        outlet = FakeOutlet()
        worker = self.core.connect(outlet, "127.0.0.1", f"token-{len(self.core.workers)}")
        outlet.take()
        return worker, outlet

    def say(self, worker: Worker, **message: Any) -> None:
        self.core.on_text(worker, json.dumps(message).encode())
