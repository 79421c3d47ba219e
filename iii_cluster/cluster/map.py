"""The cluster map: nodes, slot owners, leader. One value, replaced as a whole, ordered by (term, epoch)."""

from enum import StrEnum

import msgspec
from msgspec import Struct, field

from .slots import SLOTS, slot_of


class Role(StrEnum):
    GATEWAY = "gateway"
    SHARD = "shard"
    COORDINATOR = "coordinator"


class NodeInfo(Struct, frozen=True, kw_only=True):
    """What a node says of itself with its lease; all but `draining` is fixed for its incarnation."""

    id: str
    role: Role
    host: str = ""
    pid: int = 0
    started_ms: int = 0
    version: str = ""
    ports: dict[str, int] = field(default_factory=dict)
    tls: tuple[str, ...] = ()  # those of the ports that speak TLS only
    draining: bool = False  # it is about to leave: it gets no slots and no new work


def tag_of(node: str) -> str:
    """What names the process in a node id: "<role>-<tag>", then "<role>-<tag>.2" for its second incarnation."""
    return node.partition("-")[2].partition(".")[0]


def incarnation_of(node: str) -> int:
    """How often the process had joined when it joined under this node id."""
    number = node.partition(".")[2]
    return int(number) if number.isdecimal() else 1


class SlotOwner(Struct, frozen=True, array_like=True):
    """Who owns a slot, and since which epoch: a slot that left and came back has a new `since`."""

    node: str = ""
    since: int = 0


class ClusterMap(Struct, frozen=True, kw_only=True):
    term: int = 0
    epoch: int = 0
    leader: str = ""
    nodes: dict[str, NodeInfo] = field(default_factory=dict)
    slots: tuple[SlotOwner, ...] = (SlotOwner(),) * SLOTS

    @property
    def version(self) -> tuple[int, int]:
        return (self.term, self.epoch)

    def slot(self, key: str) -> SlotOwner:
        return self.slots[slot_of(key)]

    def owner(self, key: str) -> str:
        """Node id of the shard that owns `key`, "" while nobody does."""
        return self.slots[slot_of(key)].node

    def of_role(self, role: Role) -> list[str]:
        return [node.id for node in self.nodes.values() if node.role is role]


encode_map = msgspec.msgpack.Encoder().encode
decode_map = msgspec.msgpack.Decoder(ClusterMap).decode
