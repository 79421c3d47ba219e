import pytest

from iii_cluster.bus.envelopes import Cleanup, DropTrigger, PutService, RemoveTrigger, RevokeTrigger, Trigger
from iii_cluster.cluster.durable import DURABLE
from shard.questions import Questions
from tests.support.shard import GATEWAYS, LEADER, Lab, cluster_map, owner

A, B = GATEWAYS
T = Trigger("t", "webhook", "math::add", b'{"url":"/x"}')


@pytest.fixture
def lab() -> Lab:
    return Lab().filled()


def holder(lab: Lab) -> object:
    stored = lab.core.triggers.find("t")
    return None if stored is None else stored.owner


def test_the_last_to_register_an_id_holds_it_and_the_former_is_told(lab: Lab) -> None:
    lab.store(owner(1), T, stamp=20)
    lab.store(owner(2, B), T, stamp=10)  # a clock that is behind must not matter
    assert holder(lab) == owner(2, B)
    assert lab.effects.take(RevokeTrigger, A) == [RevokeTrigger(1, "t", stamp=20)]


def test_while_a_slot_is_filling_the_newer_stamp_holds_the_id() -> None:
    lab = Lab()
    lab.adopt(cluster_map(1))
    lab.store(owner(1), T, epoch=1, stamp=20)
    lab.store(owner(2, B), T, epoch=1, stamp=10)
    assert holder(lab) == owner(1)
    assert lab.effects.take(RevokeTrigger, B) == [RevokeTrigger(2, "t", stamp=10)]


def test_registering_again_on_the_same_connection_revokes_nothing(lab: Lab) -> None:
    lab.store(owner(1), T)
    lab.store(owner(1), T)
    assert lab.effects.sent == []


def test_a_drop_by_the_former_owner_is_ignored(lab: Lab) -> None:
    lab.store(owner(1), T)
    lab.store(owner(2), T)
    lab.get(A, DropTrigger(owner(1), "t"))
    assert holder(lab) == owner(2)
    lab.get(A, DropTrigger(owner(2), "t"))
    assert holder(lab) is None


def test_anybody_may_remove_a_trigger_and_its_owner_is_told(lab: Lab) -> None:
    lab.store(owner(1), T)
    lab.get(B, RemoveTrigger("t"), RemoveTrigger("t"))
    assert holder(lab) is None
    assert lab.effects.take(RevokeTrigger, A) == [RevokeTrigger(1, "t", stamp=1, removed=True)]


def test_removing_an_unknown_trigger_is_ignored(lab: Lab) -> None:
    lab.get(B, RemoveTrigger("nobody knows me"))
    assert lab.effects.sent == []


def test_a_connection_may_take_over_a_durable_id(lab: Lab) -> None:
    lab.store(DURABLE, T)
    lab.store(owner(1), T)
    assert holder(lab) == owner(1)
    assert lab.effects.forgotten == [T]


def test_cleanup_drops_the_triggers_of_a_connection_in_its_own_step(lab: Lab) -> None:
    lab.store(owner(1), T)
    lab.get(LEADER, Cleanup(1, "functions", [owner(1)]))
    assert holder(lab) == owner(1)
    lab.get(LEADER, Cleanup(1, "triggers", [owner(1)]))
    assert holder(lab) is None


def test_rows_tell_durable_triggers_by_an_empty_owner(lab: Lab) -> None:
    lab.store(owner(1), T)
    (row,) = Questions(lab.core).trigger("t")
    assert (row["owner"], row["config"]) == (owner(1).worker, b'{"url":"/x"}')
    lab.store(DURABLE, T)
    (row,) = Questions(lab.core).trigger("t")
    assert row["owner"] == ""


def test_services_are_announced_or_read_off_function_ids(lab: Lab) -> None:
    lab.get(A, PutService(2, owner(1), "default", "math", b'{"name":"math"}'))
    lab.put(owner(2), "math::add")
    lab.put(owner(2), "math::trig::sin")
    lab.put(owner(2), "lonely")
    ask = Questions(lab.core)

    def services() -> list[tuple[str, int, bytes]]:
        rows = [row for slot in lab.core.slots.owned() for row in ask.services(slot)]
        functions = sum(row["functions"] for row in rows)
        return [(rows[0]["id"], functions, b"".join(row["definition"] for row in rows))] if rows else []

    assert services() == [("math", 2, b'{"name":"math"}')]
    lab.get(LEADER, Cleanup(1, "functions", [owner(1)]))
    assert services() == [("math", 2, b"")]
    lab.get(LEADER, Cleanup(1, "functions", [owner(2)]))
    assert services() == []
