from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any, cast

import msgspec
import pytest

from iii_cluster.cluster.map import ClusterMap, NodeInfo, Role, SlotOwner, incarnation_of, tag_of
from iii_cluster.cluster.slots import SLOTS
from iii_cluster.node.node import Node
from iii_cluster.node.role import RoleService
from iii_cluster.node.status import cluster, not_ready, slot_ranges, status

INFO = NodeInfo(id="shard-0000abcd.2", role=Role.SHARD)
MAP = ClusterMap(term=1, epoch=1, nodes={INFO.id: INFO})
SERVING = cast(RoleService, SimpleNamespace(ready=lambda: True, describe=lambda: {"rows": 7}))


@dataclass
class Member:
    map: ClusterMap = MAP
    leased: bool = True
    healthy: bool = True
    expelled: bool = False
    draining: bool = False


@dataclass
class Bus:
    ready: bool = True
    stats: object = field(default_factory=object)


def node(member: Member, bus: Bus | None = None) -> Node:
    return cast(Node, SimpleNamespace(info=INFO, membership=member, bus=bus or Bus()))


def test_slots_are_told_as_ranges_per_shard() -> None:
    a, b, nobody = SlotOwner("a", 1), SlotOwner("b", 2), SlotOwner()
    slots = (a,) * 10 + (b,) * 5 + (a,) + (nobody,) * (SLOTS - 16)
    assert slot_ranges(ClusterMap(slots=slots)) == {"a": [[0, 9], [15, 15]], "b": [[10, 14]]}


def test_the_map_is_told_as_json() -> None:
    node = NodeInfo(id="shard-1", role=Role.SHARD, ports={"admin": 1})
    current = ClusterMap(term=2, epoch=3, leader="coordinator-1", nodes={node.id: node})
    page = msgspec.json.decode(msgspec.json.encode(cluster(current)))
    assert (page["term"], page["epoch"], page["leader"], page["slots"]) == (2, 3, "coordinator-1", {})
    assert [(shown["id"], shown["role"]) for shown in page["nodes"]] == [("shard-1", "shard")]


def test_a_node_that_serves_is_ready() -> None:
    assert not_ready(node(Member()), SERVING) == []


@pytest.mark.parametrize(
    ("member", "reason"),
    [
        (Member(leased=False, healthy=False), "no lease yet"),
        (Member(healthy=False), "fenced: its lease ran out"),
        (Member(healthy=False, expelled=True), "fenced: it was declared dead and joins anew"),
        (Member(map=ClusterMap()), "not in the cluster map"),
        (Member(draining=True), "draining"),
    ],
)
def test_a_node_that_should_get_no_work_says_why(member: Member, reason: str) -> None:
    assert not_ready(node(member), SERVING) == [reason]


def test_a_node_without_redis_or_role_is_not_ready() -> None:
    assert not_ready(node(Member(), Bus(ready=False)), SERVING) == ["bus is not subscribed"]
    assert not_ready(node(Member()), None) == ["starting"]
    idle = cast(RoleService, SimpleNamespace(ready=lambda: False))
    assert not_ready(node(Member()), idle) == ["shard is not ready"]


def test_the_status_tells_which_incarnation_it_is() -> None:
    page: dict[str, Any] = status(node(Member()), SERVING)
    assert (page["id"], page["incarnation"], page["draining"], page["service"]) == (INFO.id, 2, False, {"rows": 7})


def test_incarnations_of_a_process_share_its_tag() -> None:
    assert [incarnation_of(name) for name in ("shard-0000abcd", "shard-0000abcd.2", "shard-0000abcd.31")] == [1, 2, 31]
    assert {tag_of(name) for name in ("shard-0000abcd", "shard-0000abcd.2")} == {"0000abcd"}
