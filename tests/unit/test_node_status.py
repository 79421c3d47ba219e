import msgspec

from iii_cluster.cluster.map import ClusterMap, NodeInfo, Role, SlotOwner
from iii_cluster.cluster.slots import SLOTS
from iii_cluster.node.status import cluster, slot_ranges


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
