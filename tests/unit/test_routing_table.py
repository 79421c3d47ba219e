from collections import Counter

import pytest

from iii_cluster.bus.envelopes import FunctionOwners, Owner, Unwatch, Watch
from iii_cluster.routing.route import Route, Target
from iii_cluster.routing.table import RouteTable
from tests.support.gateway import RecordedEffects, cluster_map

ME = "gateway-aaaaaaaa"
OTHER = "gateway-bbbbbbbb"
THIRD = "gateway-cccccccc"
SHARD = "shard-00000001"
NEW_SHARD = "shard-00000002"
KEY = "function:default/f"


@pytest.fixture
def effects() -> RecordedEffects:
    return RecordedEffects()


def _table(effects: RecordedEffects, *, trust_local: bool = True) -> RouteTable:
    table = RouteTable(ME, effects, trust_local=trust_local)
    table.on_map(cluster_map(ME, OTHER, SHARD))
    return table


def _owners(*conns: int, node: str = OTHER) -> list[Owner]:
    return [Owner(node, conn, f"w-{conn}") for conn in conns]


def _found(table: RouteTable, *conns: int) -> Route:
    routes: list[Route] = []
    table.lookup("default", "f", routes.append)
    table.on_owners(SHARD, FunctionOwners(KEY, 1, _owners(*conns)))
    return routes[0]


def test_an_unknown_function_is_looked_up_once_however_many_ask(effects: RecordedEffects) -> None:
    table = _table(effects)
    answers: list[Route] = []
    for _ in range(3):
        assert table.ready("default", "f") is None
        table.lookup("default", "f", answers.append)
    assert effects.take() == [(SHARD, Watch(1, [KEY]))]
    table.on_owners(SHARD, FunctionOwners(KEY, 1, _owners(7)))
    assert len(answers) == 3
    assert table.ready("default", "f") is answers[0]
    assert not effects.take()


def test_a_function_nobody_serves_leaves_nothing_behind(effects: RecordedEffects) -> None:
    table = _table(effects)
    answers: list[Route] = []
    table.lookup("default", "f", answers.append)
    table.on_owners(SHARD, FunctionOwners(KEY, 1, [], ["shop"]))
    assert answers[0].choose() is None
    assert answers[0].elsewhere == ["shop"]
    assert len(table) == 0


def test_calls_go_to_the_least_loaded_then_to_the_near_one_then_round_robin(effects: RecordedEffects) -> None:
    table = _table(effects)
    near = table.own_target(1, "me")
    table.export("default", "f", near)
    route = table.ready("default", "f")
    assert route is not None
    table.on_owners(SHARD, FunctionOwners(KEY, 1, [*_owners(7, 8), Owner(ME, 1, "me")]))
    assert route.choose() is near
    near.outstanding = 1
    chosen = Counter(target.conn for target in (route.choose() for _ in range(10)) if target)
    assert chosen == {7: 5, 8: 5}
    for target in route.remote:
        target.outstanding = 2
    assert route.choose() is near


def test_a_congested_owner_is_passed_over_while_there_is_another(effects: RecordedEffects) -> None:
    route = _found(_table(effects), 7, 8)
    route.remote[0].congested = True
    route.remote[1].outstanding = 50
    assert {route.choose() for _ in range(4)} == {route.remote[1]}
    route.remote[1].congested = True
    assert route.choose() is not None


def test_a_choice_looks_at_few_owners_however_many_there_are(effects: RecordedEffects) -> None:
    route = _found(_table(effects), *range(1000))
    looked_at: list[int] = []

    class Watched(Target):
        @property
        def outstanding(self) -> int:
            looked_at.append(self.conn)
            return 0

        @outstanding.setter
        def outstanding(self, value: int) -> None:
            pass

    route.remote = [Watched(OTHER, conn, "") for conn in range(1000)]
    route.choose()
    assert len(looked_at) <= 8


def test_a_local_function_is_served_without_asking_a_shard_first(effects: RecordedEffects) -> None:
    table = _table(effects)
    target = table.own_target(1, "me")
    table.export("default", "f", target)
    assert not effects.take()
    route = table.ready("default", "f")
    assert route is not None
    assert route.choose() is target
    assert effects.take() == [(SHARD, Watch(1, [KEY]))]


def test_under_other_policies_only_owners_the_shard_names_serve(effects: RecordedEffects) -> None:
    table = _table(effects, trust_local=False)
    mine = table.own_target(1, "me")
    table.export("default", "f", mine)
    assert table.ready("default", "f") is None
    answers: list[Route] = []
    table.lookup("default", "f", answers.append)
    table.on_owners(SHARD, FunctionOwners(KEY, 1, [Owner(ME, 1, "me")]))
    assert answers[0].choose() is mine


def test_a_moved_slot_is_asked_again_while_cached_owners_keep_serving(effects: RecordedEffects) -> None:
    table = _table(effects)
    route = _found(table, 7)
    effects.take()
    table.on_map(cluster_map(ME, OTHER, NEW_SHARD, epoch=2, since=2))
    assert effects.take() == [(NEW_SHARD, Watch(2, [KEY]))]
    assert table.ready("default", "f") is route
    table.on_owners(SHARD, FunctionOwners(KEY, 9, []))
    assert route.choose() is not None  # a former owner of the slot has no say
    table.on_owners(NEW_SHARD, FunctionOwners(KEY, 1, _owners(9)))
    assert [target.conn for target in route.remote] == [9]


def test_a_slot_that_left_and_came_back_is_asked_again(effects: RecordedEffects) -> None:
    table = _table(effects)
    _found(table, 7)
    effects.take()
    table.on_map(cluster_map(ME, OTHER, SHARD, epoch=3, since=3))
    assert effects.take() == [(SHARD, Watch(3, [KEY]))]


def test_a_held_lookup_moves_with_its_slot(effects: RecordedEffects) -> None:
    table = _table(effects)
    answers: list[Route] = []
    table.lookup("default", "f", answers.append)
    table.on_map(cluster_map(ME, OTHER, NEW_SHARD, epoch=2, since=2))
    table.on_owners(NEW_SHARD, FunctionOwners(KEY, 1, _owners(7)))
    assert len(answers) == 1


def test_targets_of_a_vanished_node_are_dropped_and_their_feeders_released(effects: RecordedEffects) -> None:
    released: list[Target] = []
    table = RouteTable(ME, effects, released=released.append)
    table.on_map(cluster_map(ME, OTHER, SHARD))
    route = _found(table, 7)
    table.on_map(cluster_map(ME, SHARD, epoch=2))
    assert route.choose() is None
    assert [target.conn for target in released] == [7]


def test_a_lookup_nobody_answers_is_given_up(effects: RecordedEffects) -> None:
    table = _table(effects)
    answers: list[Route] = []
    table.expire(100.0, 10.0)
    table.lookup("default", "f", answers.append)
    table.expire(110.0, 10.0)
    assert not answers
    table.expire(110.5, 10.0)
    assert answers[0].unanswered
    assert len(table) == 0
    effects.take()
    table.on_owners(SHARD, FunctionOwners(KEY, 1, _owners(7)))
    assert effects.take() == [(SHARD, Unwatch([KEY]))]


def test_a_reset_link_to_a_shard_renews_the_watches(effects: RecordedEffects) -> None:
    table = _table(effects)
    _found(table, 7)
    effects.take()
    table.on_reset(SHARD)
    assert effects.take() == [(SHARD, Watch(1, [KEY]))]


def test_the_last_owner_leaving_ends_the_route(effects: RecordedEffects) -> None:
    table = _table(effects)
    _found(table, 7)
    table.on_owners(SHARD, FunctionOwners(KEY, 2, []))
    assert table.ready("default", "f") is None
    assert len(table) == 0
    assert table.target(OTHER, 7) is None


def test_a_shard_that_still_names_a_connection_closed_here_has_not_answered(effects: RecordedEffects) -> None:
    table = _table(effects)
    answers: list[Route] = []
    table.lookup("default", "f", answers.append)
    table.on_owners(SHARD, FunctionOwners(KEY, 1, _owners(3, node=ME)))  # its drop is on its way
    assert answers == []
    table.on_owners(SHARD, FunctionOwners(KEY, 2, _owners(7)))
    assert [route.choose() for route in answers] == [table.target(OTHER, 7)]


def test_owners_on_a_node_to_avoid_are_passed_over_while_there_is_another(effects: RecordedEffects) -> None:
    table = _table(effects)
    route = _found(table, 7)
    table.on_owners(SHARD, FunctionOwners(KEY, 2, [*_owners(7), *_owners(8, node=THIRD)]))
    other, third = route.remote
    third.congested = True
    third.outstanding = 50
    table.set_avoided(OTHER, True)
    assert {route.choose() for _ in range(4)} == {third}
    table.set_avoided(THIRD, True)
    chosen = route.choose()
    assert chosen is not None
    assert chosen.avoided
    table.set_avoided(OTHER, False)
    assert {route.choose() for _ in range(4)} == {other}


def test_an_owner_here_serves_when_all_others_are_to_be_avoided(effects: RecordedEffects) -> None:
    table = _table(effects)
    route = _found(table, 7)
    near = table.own_target(1, "me")
    table.export("default", "f", near)
    near.outstanding = 50
    near.congested = True
    table.set_avoided(OTHER, True)
    assert route.choose() is near


def test_one_owner_to_use_is_found_among_many_to_avoid(effects: RecordedEffects) -> None:
    table = _table(effects)
    route = _found(table, *range(100))
    table.on_owners(SHARD, FunctionOwners(KEY, 2, [*_owners(*range(100)), *_owners(200, node=THIRD)]))
    table.set_avoided(OTHER, True)
    assert {target.conn for target in (route.choose() for _ in range(110)) if target} == {200}


def test_an_owner_that_is_named_later_is_avoided_as_well(effects: RecordedEffects) -> None:
    table = _table(effects)
    table.set_avoided(OTHER, True)
    assert not table.blocked("default", "f")
    route = _found(table, 7)
    assert [target.avoided for target in route.remote] == [True]
    assert table.blocked("default", "f")
    table.set_avoided(OTHER, False)
    assert not table.blocked("default", "f")


def test_a_node_that_left_is_not_avoided_when_its_name_comes_back(effects: RecordedEffects) -> None:
    table = _table(effects)
    table.set_avoided(OTHER, True)
    table.on_map(cluster_map(ME, SHARD, epoch=2))
    table.on_map(cluster_map(ME, OTHER, SHARD, epoch=3))
    assert [target.avoided for target in _found(table, 7).remote] == [False]


def test_owners_that_have_left_are_not_called_and_the_shard_is_asked_again(effects: RecordedEffects) -> None:
    """The shard answered before it knew; it tells when it does."""
    table = _table(effects)
    answers: list[Route] = []
    table.lookup("default", "f", answers.append)
    table.on_map(cluster_map(ME, SHARD, epoch=2))
    effects.take()
    table.on_owners(SHARD, FunctionOwners(KEY, 1, _owners(7)))
    assert not answers
    assert not effects.take()
    table.on_owners(SHARD, FunctionOwners(KEY, 2, []))
    assert effects.take() == [(SHARD, Watch(2, [KEY]))]
    table.on_owners(SHARD, FunctionOwners(KEY, 3, []))
    assert [route.choose() for route in answers] == [None]


def test_of_several_owners_those_that_live_are_used(effects: RecordedEffects) -> None:
    table = _table(effects)
    answers: list[Route] = []
    table.lookup("default", "f", answers.append)
    table.on_map(cluster_map(ME, THIRD, SHARD, epoch=2))
    table.on_owners(SHARD, FunctionOwners(KEY, 1, [*_owners(7), *_owners(8, node=THIRD)]))
    assert [target.conn for target in answers[0].remote] == [8]


def test_another_incarnation_keeps_its_own_owners_and_asks_for_the_others(effects: RecordedEffects) -> None:
    released: list[Target] = []
    table = RouteTable(ME, effects, released=released.append)
    table.on_map(cluster_map(ME, OTHER, SHARD))
    near = table.own_target(1, "me")
    table.export("default", "f", near)
    route = _found(table, 7)
    held: list[Route] = []
    table.lookup("default", "held", held.append)
    new = f"{ME}.2"
    table.reincarnate(new)
    assert [target.conn for target in released] == [7]
    assert near.node == new
    assert table.target(new, 1) is near
    assert route.choose() is near
    effects.take()
    table.on_map(cluster_map(new, OTHER, SHARD, epoch=3))
    assert effects.take() == [(SHARD, Watch(3, ["function:default/held"]))]
    assert table.ready("default", "f") is route
    assert effects.take() == [(SHARD, Watch(3, [KEY]))]
    assert not held


def test_another_incarnation_forgets_functions_of_others(effects: RecordedEffects) -> None:
    table = _table(effects)
    _found(table, 7)
    table.reincarnate(f"{ME}.2")
    assert len(table) == 0
    assert table.targets_of(OTHER) == []
