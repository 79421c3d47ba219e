"""Whoever asks whether a function is served is told, and told of every change."""

from iii_cluster.bus.envelopes import DropFunction, Served, Unwatch, Watch
from tests.support.shard import GATEWAYS, Lab, cluster_map, owner

A, B = GATEWAYS
WATCHER = A
KEY = "served:default/f"


def told(lab: Lab) -> list[bool]:
    said = lab.effects.take(Served, WATCHER)
    assert all(answer.key == KEY for answer in said)
    return [answer.on for answer in said]


def watching(lab: Lab) -> Lab:
    lab.get(WATCHER, Watch(2, [KEY]))
    return lab


def test_a_function_nobody_serves_is_watched_too() -> None:
    lab = watching(Lab().filled())
    assert told(lab) == [False]
    lab.put(owner(1), "f")
    lab.put(owner(2, B), "f")
    assert told(lab) == [True]
    lab.get(A, DropFunction(owner(1), "default", "f"))
    assert told(lab) == []
    lab.get(B, DropFunction(owner(2, B), "default", "f"))
    assert told(lab) == [False]


def test_namespaces_differ() -> None:
    lab = watching(Lab().filled())
    told(lab)
    lab.put(owner(1), "f", "shop")
    assert told(lab) == []


def test_nobody_hears_of_what_is_not_watched_any_more() -> None:
    lab = watching(Lab().filled())
    told(lab)
    lab.get(WATCHER, Unwatch([KEY]))
    lab.put(owner(1), "f")
    assert told(lab) == []


def test_a_worker_that_is_expected_back_still_serves() -> None:
    lab = Lab(window=2.0).filled()
    lab.put(owner(1), "f")
    watching(lab)
    lab.get(A, DropFunction(owner(1), "default", "f", back=True))
    assert told(lab) == [True]
    lab.core.tick(1.0)
    watching(lab)
    assert told(lab) == [True]
    lab.core.tick(2.0)
    assert told(lab) == [False]


def test_a_worker_that_came_back_never_left() -> None:
    lab = watching(Lab(window=2.0).filled())
    lab.put(owner(1), "f")
    lab.get(A, DropFunction(owner(1), "default", "f", back=True))
    lab.put(owner(2, B), "f")
    lab.core.tick(2.0)
    assert told(lab) == [False, True]


def test_the_answer_waits_until_the_slot_is_filled() -> None:
    lab = Lab()
    lab.adopt(cluster_map(1))
    watching(lab)
    assert told(lab) == []
    lab.put(owner(1), "f")
    lab.core.tick(10.0)
    assert told(lab) == [True]


def test_what_is_announced_again_was_served_all_the_time() -> None:
    lab = Lab().filled()
    lab.put(owner(1, B), "f")
    watching(lab)
    assert told(lab) == [True]
    lab.reset(B)
    lab.put(owner(1, B), "f")
    lab.core.tick(10.0)
    assert told(lab) == []


def test_what_is_not_announced_again_is_served_no_more() -> None:
    lab = Lab().filled()
    lab.put(owner(1, B), "f")
    watching(lab)
    assert told(lab) == [True]
    lab.reset(B)
    lab.core.tick(10.0)
    assert told(lab) == [False]


def test_the_functions_of_a_lost_gateway_are_served_no_more() -> None:
    lab = Lab().filled()
    lab.put(owner(1, B), "f")
    watching(lab)
    lab.adopt(cluster_map(3, gateways=(A,)))
    assert told(lab) == [True, False]
