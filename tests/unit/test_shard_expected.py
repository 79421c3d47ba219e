"""Functions whose worker is expected back: who asks for one waits, for a while."""

from msgspec.structs import replace

from iii_cluster.bus.envelopes import (
    Announced,
    Cleanup,
    CleanupDone,
    DropFunction,
    FunctionOwners,
    Owner,
    Unwatch,
    Watch,
)
from shard.expected import Expected
from tests.support.shard import GATEWAYS, LEADER, ME, OTHER, Lab, cluster_map, owner

A, B = GATEWAYS
ID = "math::add"
KEY = f"function:default/{ID}"
WINDOW = 2.0  # seconds


def serving(*owners: Owner) -> Lab:
    lab = Lab(window=WINDOW).filled()
    for each in owners:
        lab.put(each, ID)
    return lab


def answers(lab: Lab, node: str = B) -> list[list[Owner]]:
    return [said.owners for said in lab.effects.take(FunctionOwners, node)]


def ask(lab: Lab, node: str = B, epoch: int = 2) -> list[list[Owner]]:
    lab.get(node, Watch(epoch, [KEY]))
    return answers(lab, node)


def drop(lab: Lab, who: Owner, back: bool = True) -> None:
    lab.get(who.node, DropFunction(who, "default", ID, back=back))


def test_who_asks_for_a_function_whose_worker_was_sent_away_waits_for_it() -> None:
    lab = serving(owner(1))
    drop(lab, owner(1))
    assert ask(lab) == []
    lab.put(owner(1, B), ID)
    assert answers(lab) == [[owner(1, B)]]


def test_a_worker_that_does_not_come_back_is_given_up_when_the_window_is_over() -> None:
    lab = serving(owner(1))
    lab.now = 10.0
    drop(lab, owner(1))
    assert ask(lab) == []
    assert lab.core.deadline() == 10.0 + WINDOW
    lab.core.tick(10.0 + WINDOW / 2)
    assert answers(lab) == []
    lab.core.tick(10.0 + WINDOW)
    assert answers(lab) == [[]]
    assert lab.core.deadline() is None
    assert ask(lab) == [[]]


def test_watchers_hear_nothing_of_a_loss_until_it_is_sure() -> None:
    lab = serving(owner(1))
    assert ask(lab) == [[owner(1)]]
    drop(lab, owner(1))
    assert answers(lab) == []
    lab.put(owner(2, B), ID)
    assert answers(lab) == [[owner(2, B)]]
    drop(lab, owner(2, B))
    lab.core.tick(WINDOW)
    assert answers(lab) == [[]]


def test_a_worker_that_leaves_by_itself_is_not_expected() -> None:
    lab = serving(owner(1))
    drop(lab, owner(1), back=False)
    assert ask(lab) == [[]]


def test_a_function_with_another_owner_left_is_not_held() -> None:
    lab = serving(owner(1), owner(2, B))
    drop(lab, owner(1))
    assert ask(lab) == [[owner(2, B)]]


def test_what_was_not_there_is_not_expected_back() -> None:
    lab = serving()
    drop(lab, owner(1))
    assert ask(lab) == [[]]


def test_workers_of_a_gateway_that_left_the_map_are_expected_on_others() -> None:
    lab = serving(owner(1))
    assert ask(lab) == [[owner(1)]]
    lab.adopt(cluster_map(3, gateways=(B,)), now=5.0)
    assert ask(lab, epoch=3) == []
    assert lab.core.deadline() == 5.0 + WINDOW
    lab.put(owner(7, B), ID, epoch=3)
    assert answers(lab) == [[owner(7, B)]]


def test_a_clean_up_says_which_workers_are_expected_back() -> None:
    lab = serving(owner(1), owner(2))
    lab.put(owner(1), "other::f")
    lab.get(LEADER, Cleanup(1, "functions", [owner(2), owner(1)], term=1, back=[1, 9]))
    assert ask(lab) == []
    lab = serving(owner(1))
    lab.get(LEADER, Cleanup(1, "functions", [owner(1)], term=1))
    assert ask(lab) == [[]]


def test_a_repeated_clean_up_does_not_prolong_the_wait() -> None:
    lab = serving(owner(1))
    cleanup = Cleanup(1, "functions", [owner(1)], term=1, back=[0])
    lab.get(LEADER, cleanup)
    lab.now = WINDOW / 2
    lab.get(LEADER, replace(cleanup, job=2))
    assert lab.core.deadline() == WINDOW


def test_the_clean_up_of_a_former_leader_is_not_done() -> None:
    lab = serving(owner(1))
    lab.adopt(replace(cluster_map(3), term=4))
    lab.get(LEADER, Cleanup(1, "functions", [owner(1)], term=3))
    assert lab.effects.take(CleanupDone) == []
    assert ask(lab, epoch=3) == [[owner(1)]]
    lab.get(LEADER, Cleanup(1, "triggers", [owner(5)], term=5))
    assert len(lab.effects.take(CleanupDone)) == 1
    lab.get(LEADER, Cleanup(1, "functions", [owner(1)], term=4))
    assert lab.effects.take(CleanupDone) == []
    lab.get(LEADER, Cleanup(1, "functions", [owner(1)]))
    assert len(lab.effects.take(CleanupDone)) == 1


def test_an_unwatched_or_dead_asker_is_not_answered() -> None:
    lab = serving(owner(1))
    drop(lab, owner(1))
    ask(lab, A)
    ask(lab, B)
    lab.get(A, Unwatch([KEY]))
    lab.adopt(cluster_map(3, gateways=(A,)))
    lab.core.tick(WINDOW)
    assert lab.effects.take(FunctionOwners) == []


def test_a_slot_that_moves_takes_its_expectations_along() -> None:
    lab = serving(owner(1))
    drop(lab, owner(1))
    ask(lab)
    lab.adopt(cluster_map(3, {OTHER: 3}))
    assert lab.core.deadline() is None
    assert answers(lab) == []


def test_whoever_asked_ahead_of_the_map_that_takes_and_returns_the_slot_is_answered_then() -> None:
    lab = serving(owner(1))
    drop(lab, owner(1))
    assert ask(lab, epoch=4) == []
    lab.adopt(cluster_map(4, {ME: 4}))
    for gateway in GATEWAYS:
        lab.get(gateway, Announced(4))
    assert answers(lab) == [[]]


def test_without_a_window_nobody_is_expected() -> None:
    lab = Lab(window=0.0).filled()
    lab.put(owner(1), ID)
    drop(lab, owner(1))
    assert ask(lab) == [[]]


def test_expectations_end_in_the_order_they_began() -> None:
    expected = Expected(WINDOW)
    expected.expect(1, "default", "a", 0.0)
    expected.expect(2, "default", "b", 1.0)
    expected.ask("default", "a", {A: 1})
    expected.expect(1, "default", "a", 1.5)
    expected.invariants()
    assert expected.deadline() == 1.0 + WINDOW
    assert expected.tick(1.0 + WINDOW) == [(("default", "b"), {})]
    assert expected.tick(9.0) == [(("default", "a"), {A: 1})]
    assert not expected.ask("default", "a", {A: 1})
    assert len(expected) == 0
