"""A caller in the hands of a test: what it sends is kept, what it hears is said."""

import json
from typing import Any

from iii_cluster.bus.envelopes import Envelope, FunctionOwners, Invoke, Owner, Result
from iii_cluster.cluster.map import ClusterMap, NodeInfo, Role, SlotOwner
from iii_cluster.cluster.slots import SLOTS
from iii_cluster.routing.call import Call
from iii_cluster.routing.caller import Caller
from iii_cluster.routing.telemetry import CallerTelemetry

ME = "shard-0000000a"
SHARD = "shard-0000000b"
A, B = "gateway-0000000a", "gateway-0000000b"
KEY = "function:default/f"


def owner(node: str, conn: int = 1) -> Owner:
    return Owner(node, conn, f"worker-{node}-{conn}")


def cluster_map(epoch: int, *gateways: str, draining: str = "") -> ClusterMap:
    nodes = {name: NodeInfo(id=name, role=Role.GATEWAY, draining=name == draining) for name in gateways}
    nodes |= {name: NodeInfo(id=name, role=Role.SHARD) for name in (ME, SHARD)}
    return ClusterMap(term=1, epoch=epoch, nodes=nodes, slots=(SlotOwner(SHARD, 1),) * SLOTS)


class Lab:
    """A caller, what it sent, and how its calls ended."""

    def __init__(
        self,
        *gateways: str,
        module_functions: frozenset[str] = frozenset(),
        telemetry: CallerTelemetry | None = None,
    ) -> None:
        self.sent: list[tuple[str, Envelope]] = []
        self.full: set[str] = set()
        self.ends: dict[str, list[tuple[bytes, bytes]]] = {}
        self.caller = Caller(ME, self, module_functions, telemetry)
        self.caller.on_map(cluster_map(1, *(gateways or (A, B))))
        self.caller.expire(100.0)

    def send(self, node: str, envelope: Envelope) -> None:
        self.sent.append((node, envelope))

    def congested(self, node: str) -> bool:
        return node in self.full

    def call(self, name: str = "call", function: str = "f", data: bytes = b"1", **more: Any) -> Call:
        ends = self.ends[name] = []
        return self.caller.call(function, data, lambda result, error: ends.append((result, error)), **more)

    def get(self, src: str, envelope: Envelope) -> None:
        self.caller.handlers[type(envelope)](src, envelope)

    def owners(self, *owners: Owner, elsewhere: tuple[str, ...] = ()) -> None:
        self.get(SHARD, FunctionOwners(KEY, 1, list(owners), list(elsewhere)))

    def known(self, *owners: Owner) -> "Lab":
        """The owners are known already."""
        self.call("first")
        self.owners(*owners)
        ((node, invoke),) = self.taken()
        self.get(node, Result(invoke.id))
        return self

    def taken(self) -> list[tuple[str, Invoke]]:
        """The calls that were sent, which are forgotten then."""
        found = [(node, said) for node, said in self.sent if isinstance(said, Invoke)]
        self.sent.clear()
        return found

    def taken_one(self) -> tuple[str, Invoke]:
        (one,) = self.taken()
        return one

    def error(self, name: str = "call") -> dict[str, str]:
        ((result, error),) = self.ends[name]
        assert result == b""
        body: dict[str, str] = json.loads(error)
        return body
