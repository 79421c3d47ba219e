"""The metadata of a function as a node knows it, and what it believes of its own workers before a shard agrees."""

from iii_cluster.bus.envelopes import FunctionOwners, Owner, Watch
from iii_cluster.routing.table import RouteTable
from tests.support.gateway import RecordedEffects, cluster_map

ME = "gateway-aaaaaaaa"
OTHER = "gateway-bbbbbbbb"
SHARD = "shard-00000001"
NEW_SHARD = "shard-00000002"
KEY = "function:default/f"
PUBLIC = b'{"public":true}'
MINE = Owner(ME, 1, "w-1")
THEIRS = Owner(OTHER, 7, "w-7")


class Table:
    def __init__(self) -> None:
        self.effects = RecordedEffects()
        self.table = RouteTable(ME, self.effects)
        self.table.on_map(cluster_map(ME, OTHER, SHARD))
        self.mine = self.table.own_target(1, "w-1")
        self.said: list[bytes] = []

    def ask(self) -> None:
        self.table.metadata("default", "f", self.said.append)

    def answer(self, owners: list[Owner], metadata: bytes = b"") -> None:
        self.table.on_owners(SHARD, FunctionOwners(KEY, 1, owners, metadata=metadata))

    def local(self) -> list[int]:
        route = self.table.get("default", "f")
        return [] if route is None else [target.conn for target in route.local]


def test_metadata_is_asked_for_once_and_known_from_then_on() -> None:
    t = Table()
    t.ask()
    t.ask()
    assert t.effects.take() == [(SHARD, Watch(1, [KEY]))]
    t.answer([THEIRS], PUBLIC)
    assert t.said == [PUBLIC, PUBLIC]
    t.answer([THEIRS], b"")
    t.ask()
    assert t.said[2:] == [b""]
    assert not t.effects.take()


def test_metadata_comes_with_the_answer_that_calls_waited_for() -> None:
    t = Table()
    t.table.lookup("default", "f", lambda _: None)
    t.ask()
    assert t.effects.take() == [(SHARD, Watch(1, [KEY]))]
    t.answer([THEIRS], PUBLIC)
    assert t.said == [PUBLIC]


def test_an_own_worker_serves_at_once_but_its_metadata_is_for_the_shard_to_tell() -> None:
    t = Table()
    t.table.lookup("default", "f", lambda _: None)
    t.ask()
    t.table.export("default", "f", t.mine)
    assert t.table.ready("default", "f") is not None
    assert t.said == []
    t.answer([MINE, THEIRS], b"")
    assert t.said == [b""]


def test_metadata_of_a_function_nobody_serves_is_empty_and_leaves_nothing_behind() -> None:
    t = Table()
    t.ask()
    t.answer([])
    assert t.said == [b""]
    assert len(t.table) == 0


def test_metadata_no_shard_tells_in_time_counts_as_none_and_own_workers_go_on() -> None:
    t = Table()
    t.ask()
    t.table.expire(11.0, 10.0)
    assert t.said == [b""]
    assert len(t.table) == 0
    t.table.export("default", "f", t.mine)
    t.ask()
    t.table.expire(22.0, 10.0)
    assert t.said == [b"", b""]
    assert t.table.ready("default", "f") is not None


def test_metadata_is_asked_of_the_next_owner_when_the_slot_moves() -> None:
    t = Table()
    t.ask()
    t.effects.take()
    t.table.on_map(cluster_map(ME, OTHER, NEW_SHARD, epoch=2))
    assert t.effects.take() == [(NEW_SHARD, Watch(2, [KEY]))]
    t.table.on_owners(NEW_SHARD, FunctionOwners(KEY, 1, [THEIRS], metadata=PUBLIC))
    assert t.said == [PUBLIC]


def test_a_decision_that_raises_does_not_keep_the_others_waiting() -> None:
    t = Table()
    t.table.metadata("default", "f", lambda _: [][0])
    t.ask()
    t.answer([THEIRS], PUBLIC)
    assert t.said == [PUBLIC]


def test_an_own_worker_that_is_not_trusted_serves_when_the_shard_names_it() -> None:
    t = Table()
    t.table.export("default", "f", t.mine, trusted=False)
    assert t.table.ready("default", "f") is None
    t.table.lookup("default", "f", lambda _: None)
    t.answer([MINE])
    assert t.local() == [1]
    t.answer([THEIRS])
    assert t.local() == []
    t.answer([MINE, THEIRS])
    assert t.local() == [1]
    t.table.withdraw("default", "f", t.mine)
    assert t.local() == []
    t.answer([])
    assert t.mine.uses == 1


def test_trusted_and_named_workers_of_this_node_are_each_listed_once() -> None:
    t = Table()
    second = t.table.own_target(2, "w-2")
    t.table.export("default", "f", t.mine)
    t.table.export("default", "f", second, trusted=False)
    t.table.ready("default", "f")
    t.answer([Owner(ME, 2, "w-2"), MINE])
    assert t.local() == [1, 2]
    t.answer([MINE])
    assert t.local() == [1]
    assert (t.mine.uses, second.uses) == (2, 1)
