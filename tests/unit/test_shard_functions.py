import pytest

from iii_cluster.bus.envelopes import Cleanup, CleanupDone, DropFunction, FunctionOwners, RejectFunction, Unwatch, Watch
from iii_cluster.config.settings import Duplicates
from shard.functions import function_hash
from shard.questions import Questions
from tests.support.shard import GATEWAYS, LEADER, Lab, cluster_map, owner

A, B = GATEWAYS
KEY = "function:default/math::add"


@pytest.fixture
def lab() -> Lab:
    return Lab().filled()


def owners(lab: Lab, node: str = A) -> list[list[object]]:
    return [list(said.owners) for said in lab.effects.take(FunctionOwners, node)]


def test_all_owners_serve_under_balance(lab: Lab) -> None:
    lab.put(owner(1), "math::add")
    lab.put(owner(2, B), "math::add")
    lab.get(A, Watch(2, [KEY]))
    assert owners(lab) == [[owner(1), owner(2, B)]]


def test_registering_again_overwrites_and_is_not_pushed(lab: Lab) -> None:
    lab.put(owner(1), "math::add")
    lab.get(A, Watch(2, [KEY]))
    owners(lab)
    lab.put(owner(1), "math::add")
    assert owners(lab) == []
    assert len(Questions(lab.core).function("math::add")) == 1


def test_registrations_nobody_watches_cause_no_mail(lab: Lab) -> None:
    for number in range(100):
        lab.put(owner(1), f"math::{number}")
    assert lab.effects.sent == []


def test_the_newest_serves_under_replace_and_the_former_returns_when_it_leaves() -> None:
    lab = Lab(Duplicates.REPLACE).filled()
    lab.put(owner(1), "math::add", stamp=10)
    lab.get(A, Watch(2, [KEY]))
    lab.put(owner(2), "math::add", stamp=20)
    lab.put(owner(3), "math::add", stamp=15)  # older than the one that serves: stands by
    lab.get(A, DropFunction(owner(2), "default", "math::add"))
    lab.get(A, DropFunction(owner(1), "default", "math::add"))
    assert owners(lab) == [[owner(1)], [owner(2)], [owner(3)]]


def test_the_oldest_keeps_the_id_under_reject() -> None:
    lab = Lab(Duplicates.REJECT).filled()
    lab.put(owner(1), "math::add", stamp=10)
    lab.put(owner(2, B), "math::add", stamp=20)
    assert lab.effects.take(RejectFunction, B) == [RejectFunction(2, "default", "math::add", owner(1).worker, 20)]
    lab.get(A, DropFunction(owner(1), "default", "math::add"), Watch(2, [KEY]))
    assert owners(lab) == [[]], "a refused registration is not stored"


def test_an_older_registration_that_arrives_late_evicts_the_younger_under_reject() -> None:
    lab = Lab(Duplicates.REJECT).filled()
    lab.put(owner(1), "math::add", stamp=20)
    lab.put(owner(2, B), "math::add", stamp=10)
    assert lab.effects.take(RejectFunction, A) == [RejectFunction(1, "default", "math::add", owner(2, B).worker, 20)]


def test_of_equal_stamps_the_first_keeps_the_id_under_reject() -> None:
    lab = Lab(Duplicates.REJECT).filled()
    lab.put(owner(1), "math::add", stamp=10)
    lab.put(owner(2, B), "math::add", stamp=10)
    assert len(lab.effects.take(RejectFunction, B)) == 1


def test_the_same_id_in_two_namespaces_does_not_conflict() -> None:
    lab = Lab(Duplicates.REJECT).filled()
    lab.put(owner(1), "math::add")
    lab.put(owner(2), "math::add", namespace="shop")
    assert lab.effects.take(RejectFunction) == []


def test_a_function_without_owners_is_answered_but_not_watched(lab: Lab) -> None:
    lab.put(owner(1), "math::add", namespace="shop")
    lab.get(A, Watch(2, [KEY]))
    (said,) = lab.effects.take(FunctionOwners)
    assert (said.owners, said.elsewhere) == ([], ["shop"])
    lab.put(owner(1), "math::add")
    assert lab.effects.take(FunctionOwners) == []


def test_the_loss_of_the_last_owner_is_pushed_and_ends_the_watch(lab: Lab) -> None:
    lab.put(owner(1), "math::add")
    lab.get(A, Watch(2, [KEY]))
    lab.get(A, DropFunction(owner(1), "default", "math::add"))
    lab.put(owner(1), "math::add")
    assert owners(lab) == [[owner(1)], []]


def test_versions_of_a_key_grow_even_after_it_was_forgotten(lab: Lab) -> None:
    for _ in range(3):
        lab.put(owner(1), "math::add")
        lab.get(A, Watch(2, [KEY]))
        lab.put(owner(2), "math::add")
        lab.get(A, DropFunction(owner(1), "default", "math::add"), DropFunction(owner(2), "default", "math::add"))
    versions = [said.version for said in lab.effects.take(FunctionOwners)]
    assert versions == sorted(set(versions))


def test_an_unwatched_key_is_not_pushed(lab: Lab) -> None:
    lab.put(owner(1), "math::add")
    lab.get(A, Watch(2, [KEY]), Unwatch([KEY]))
    lab.effects.sent.clear()
    lab.put(owner(2), "math::add")
    assert lab.effects.sent == []


def test_only_the_owner_can_drop_its_registration(lab: Lab) -> None:
    lab.put(owner(1), "math::add")
    lab.get(A, DropFunction(owner(2), "default", "math::add"), Watch(2, [KEY]))
    assert owners(lab) == [[owner(1)]]


def test_cleanup_releases_the_connections_functions_and_no_others(lab: Lab) -> None:
    for id in ("math::add", "math::sub"):
        lab.put(owner(1), id)
    lab.put(owner(2), "math::add")
    lab.get(A, Watch(2, [KEY]))
    for _ in range(2):  # idempotent
        lab.get(LEADER, Cleanup(7, "functions", [owner(1)]))
    assert owners(lab) == [[owner(1), owner(2)], [owner(2)]]
    assert lab.effects.take(CleanupDone, LEADER) == [CleanupDone(7, "functions")] * 2
    assert lab.core.functions.named("math::sub") == []


def test_cleanup_of_many_owners_of_one_function_is_pushed_once(lab: Lab) -> None:
    many = [owner(conn) for conn in range(50)]
    for one in many:
        lab.put(one, "math::add")
    lab.get(B, Watch(2, [KEY]))
    lab.get(LEADER, Cleanup(7, "functions", many[:49]))
    assert owners(lab, B) == [many, [many[49]]]


def test_a_registration_overtaken_by_its_cleanup_does_not_come_back(lab: Lab) -> None:
    lab.get(LEADER, Cleanup(7, "functions", [owner(1)]))
    lab.put(owner(1), "math::add")
    assert lab.core.functions.named("math::add") == []


def test_an_unknown_cleanup_step_is_answered(lab: Lab) -> None:
    lab.put(owner(1), "math::add")
    lab.get(LEADER, Cleanup(7, "something new", [owner(2)]))
    assert lab.effects.take(CleanupDone) == [CleanupDone(7, "something new")]
    assert len(lab.core.functions.named("math::add")) == 1


def test_a_node_that_vanishes_takes_everything_with_it(lab: Lab) -> None:
    lab.put(owner(1), "math::add")
    lab.put(owner(1, B), "math::add")
    lab.get(A, Watch(2, [KEY]))
    lab.get(B, Watch(2, [KEY]))
    lab.effects.sent.clear()
    lab.adopt(cluster_map(3, gateways=(A,)))
    assert owners(lab, A) == [[owner(1)]]
    assert owners(lab, B) == [], "nothing is sent to the dead"


def test_late_mail_of_a_vanished_node_is_ignored(lab: Lab) -> None:
    lab.adopt(cluster_map(3, gateways=(A,)))
    lab.put(owner(1, B), "math::add", epoch=3)
    lab.get(B, Watch(3, [KEY]))
    assert lab.core.functions.named("math::add") == []
    assert lab.effects.take(FunctionOwners) == []


def test_the_digest_follows_the_functions_of_owned_slots(lab: Lab) -> None:
    ask = Questions(lab.core)
    lab.put(owner(1), "math::add")
    lab.put(owner(2), "math::add")
    lab.put(owner(1), "math::add", namespace="shop")
    expected = function_hash("default", "math::add") ^ function_hash("shop", "math::add")
    assert ask.digest() == {"count": 2, "digest": expected, "filling": False}
    lab.get(LEADER, Cleanup(1, "functions", [owner(1)]))
    assert ask.digest()["digest"] == function_hash("default", "math::add")


def test_rows_name_the_serving_workers_and_the_newest_definition(lab: Lab) -> None:
    lab.put(owner(1), "math::add")
    lab.put(owner(2), "math::add")
    expected = {"id": "math::add", "namespace": "default", "owners": [owner(1).worker, owner(2).worker]}
    (row,) = Questions(lab.core).function("math::add")
    assert row == {**expected, "definition": b"{}"}
    everything = [r for slot in lab.core.slots.owned() for r in Questions(lab.core).functions(slot)]
    assert everything == [row]
