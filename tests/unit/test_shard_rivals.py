"""Triggers of one type that exclude each other: who is bound, who is refused, and who is told."""

from itertools import permutations

import msgspec
import pytest

from iii_cluster.access.triggers import scoped
from iii_cluster.bus.envelopes import (
    Announced,
    Cleanup,
    DropTrigger,
    Owner,
    Trigger,
    TriggerChange,
    TriggerFailed,
    TriggerSnapshot,
    UnbindTrigger,
    Watch,
)
from iii_cluster.cluster.durable import DURABLE
from iii_cluster.modules.module import Rival, TriggerType
from tests.support.shard import BARRIER, GATEWAYS, LEADER, ME, OTHER, ROUTE, Lab, cluster_map, owner

A, B = GATEWAYS
V, W = owner(1), owner(2, B)
KEY = f"triggers:{ROUTE}"


def route(id: str, config: str) -> Trigger:
    return Trigger(id, ROUTE, "f", f'"{config}"'.encode())


X, Y = route("x", "a:x"), route("y", "a:y")
X2, Y2 = route("x2", "a:x"), route("y2", "a:y")


@pytest.fixture
def lab() -> Lab:
    lab = Lab(window=2.0).filled()
    lab.get(B, Watch(2, [KEY]))
    lab.effects.take(TriggerSnapshot)
    return lab


def bound(lab: Lab) -> set[str]:
    return {binding.trigger.id for binding in lab.core.bindings.bound(ROUTE)}


def changes(lab: Lab) -> list[tuple[list[str], list[str]]]:
    return [([t.id for t in said.put], sorted(said.dropped)) for said in lab.effects.take(TriggerChange, B)]


def failures(lab: Lab, node: str | None = None) -> list[str]:
    return [said.id for said in lab.effects.take(TriggerFailed, node)]


def unbind(lab: Lab, who: Owner, trigger: Trigger, back: bool = False) -> None:
    lab.get(who.node or A, UnbindTrigger(who, trigger.id, trigger.type, back=back))


def test_the_later_of_two_rivals_is_refused_and_its_owner_told_once(lab: Lab) -> None:
    lab.bind(V, X, stamp=1)
    lab.bind(W, Y, stamp=2)
    lab.bind(W, Y, stamp=2)
    assert bound(lab) == {"x"}
    assert changes(lab) == [(["x"], [])]
    (failed,) = lab.effects.take(TriggerFailed, B)
    assert (failed.conn, failed.id, failed.type, failed.function) == (W.conn, "y", ROUTE, "f")
    said = msgspec.json.decode(failed.error)
    assert (said["code"], said["message"]) == ("trigger_registration_failed", '"a:y" after "a:x"')


def test_triggers_of_other_keys_of_one_variant_or_of_none_are_no_rivals(lab: Lab) -> None:
    for trigger in (X, X2, route("o", "b:y"), route("n", "none"), route("m", "none")):
        lab.bind(V, trigger)
    assert bound(lab) == {"x", "x2", "o", "n", "m"}
    assert failures(lab) == []


def test_a_refused_trigger_is_bound_when_the_last_rival_is_gone(lab: Lab) -> None:
    for who, trigger in ((V, X), (W, Y), (V, X2), (W, Y2)):
        lab.bind(who, trigger)
    assert failures(lab) == ["y", "y2"]
    changes(lab)
    unbind(lab, V, X)
    assert changes(lab) == [([], ["x"])], "a replica goes on"
    unbind(lab, V, X2)
    assert changes(lab) == [(["y", "y2"], ["x2"])]
    assert failures(lab) == []


def test_of_several_that_wait_the_earliest_comes_next(lab: Lab) -> None:
    Z = route("z", "a:z")
    lab.bind(V, X, stamp=1)
    lab.bind(V, Z, stamp=3)
    lab.bind(W, Y, stamp=2)
    unbind(lab, V, X)
    assert bound(lab) == {"y"}
    unbind(lab, W, Y)
    assert bound(lab) == {"z"}


def test_an_earlier_one_that_arrives_later_takes_the_place(lab: Lab) -> None:
    lab.bind(V, X, stamp=5)
    lab.bind(V, X2, stamp=6)
    changes(lab)
    lab.bind(W, Y, stamp=4)
    assert bound(lab) == {"y"}
    assert changes(lab) == [(["y"], ["x", "x2"])]
    assert failures(lab, A) == ["x", "x2"]
    assert failures(lab, B) == []


def test_one_that_was_bound_in_between_is_told_again(lab: Lab) -> None:
    lab.bind(V, X, stamp=5)
    lab.bind(W, Y, stamp=6)
    assert failures(lab) == ["y"]
    unbind(lab, V, X)
    lab.bind(V, X, stamp=5)
    assert bound(lab) == {"x"}
    assert failures(lab) == ["y"]


def test_the_announcements_of_a_moved_slot_end_the_same_in_every_order() -> None:
    claims = [(V, X, 3), (W, Y, 2), (V, X2, 1), (W, Y2, 2), (V, route("z", "a:z"), 1)]
    for order in permutations(claims):
        lab = Lab()
        lab.adopt(cluster_map(1, {OTHER: 1}))
        lab.adopt(cluster_map(2, {ME: 2}))
        lab.get(B, Watch(2, [KEY]))
        for who, trigger, stamp in order:
            lab.bind(who, trigger, stamp=stamp)
        assert bound(lab) == set()
        for node in GATEWAYS:
            lab.get(node, Announced(2))
        assert bound(lab) == {"x", "x2"}
        assert sorted(failures(lab)) == ["y", "y2", "z"]
        (snapshot,) = lab.effects.take(TriggerSnapshot, B)
        assert dict(zip([t.id for t in snapshot.triggers], snapshot.stamps, strict=True)) == {"x": 3, "x2": 1}


def test_what_a_slow_gateway_announces_after_the_barrier_counts_by_its_stamp() -> None:
    lab = Lab()
    lab.adopt(cluster_map(1, {OTHER: 1}))
    lab.adopt(cluster_map(2, {ME: 2}))
    lab.bind(W, Y, stamp=2)
    lab.core.tick(BARRIER)
    assert bound(lab) == {"y"}
    lab.bind(V, X, stamp=1)
    assert bound(lab) == {"x"}
    assert failures(lab) == ["y"]


def test_another_config_leaves_the_place_to_a_rival_and_the_same_keeps_it(lab: Lab) -> None:
    lab.bind(V, X)
    lab.bind(W, Y)
    failures(lab)
    lab.bind(V, X)  # registered again, by now the later one
    assert bound(lab) == {"x"}
    lab.bind(V, route("x", "b:x"))
    assert bound(lab) == {"x", "y"}
    lab.bind(V, X)
    assert bound(lab) == {"y"}
    assert failures(lab) == ["x"]


def test_a_refused_trigger_that_is_registered_again_is_answered_again(lab: Lab) -> None:
    lab.bind(V, X)
    lab.bind(W, Y)
    lab.bind(W, Y)
    assert failures(lab) == ["y", "y"]
    lab.bind(W, route("y", "a:x"))
    assert bound(lab) == {"x", "y"}


def test_an_owner_that_is_lost_makes_room(lab: Lab) -> None:
    lab.bind(V, X)
    lab.bind(W, Y)
    lab.get(LEADER, Cleanup(1, "triggers", [V], term=1))
    assert bound(lab) == {"y"}
    assert changes(lab)[-1] == (["y"], ["x"])


def test_a_worker_that_is_sent_to_another_gateway_keeps_its_place_for_the_window(lab: Lab) -> None:
    lab.store(V, X)
    lab.bind(V, X)
    lab.bind(W, Y)
    failures(lab)
    changes(lab)
    lab.get(A, DropTrigger(V, "x", back=True))
    unbind(lab, V, X, back=True)
    assert bound(lab) == {"x"}
    lab.bind(owner(9, B), X)  # later than its rival, but it never was gone
    assert bound(lab) == {"x"}
    assert [put for put, dropped in changes(lab) if not dropped] == [["x"]]
    unbind(lab, owner(9, B), X, back=True)
    lab.core.tick(2.0)
    assert bound(lab) == {"y"}
    assert failures(lab) == []


def test_a_rival_does_not_slip_in_while_a_link_is_reset(lab: Lab) -> None:
    lab.bind(V, X, stamp=1)
    lab.bind(W, Y, stamp=2)
    failures(lab)
    changes(lab)
    lab.reset(A)
    lab.bind(V, X, stamp=1)
    lab.get(A, Announced(2))
    assert bound(lab) == {"x"}
    assert failures(lab) == []
    assert all("y" not in put for put, _ in changes(lab))


def test_durable_triggers_compete_and_their_outcome_is_the_refusal(lab: Lab) -> None:
    said: list[bytes] = []
    lab.bind(V, X)
    lab.bind(DURABLE, Y)
    lab.core.bindings.offers.outcome(lab.core.bindings.find("y"), said.append)
    assert msgspec.json.decode(said[0])["code"] == "trigger_registration_failed"
    lab.core.bindings.offers.outcome(lab.core.bindings.find("x"), said.append)
    assert said[1:] == [b""]
    assert failures(lab) == []
    unbind(lab, V, X)
    assert bound(lab) == {"y"}
    lab.core.bindings.offers.outcome(lab.core.bindings.find("y"), said.append)
    assert said[2:] == [b""]
    lab.bind(W, X)
    assert failures(lab) == ["x"]


def test_a_slot_that_is_given_away_takes_its_rivals_along(lab: Lab) -> None:
    lab.bind(V, X)
    lab.bind(W, Y)
    lab.adopt(cluster_map(3, {OTHER: 3}))
    lab.adopt(cluster_map(4, {ME: 4}))
    lab.bind(W, Y, epoch=4, stamp=2)
    lab.get(A, Announced(4))
    lab.get(B, Announced(4))
    assert bound(lab) == {"y"}


def _broken(_: Trigger) -> Rival:
    raise RuntimeError("broken")


def test_a_module_that_raises_has_no_rivals(caplog: pytest.LogCaptureFixture) -> None:
    lab = Lab(routes=TriggerType(id=ROUTE, rival=_broken)).filled()
    lab.bind(V, X)
    lab.bind(W, Y)
    assert bound(lab) == {"x", "y"}
    assert "action=trigger_rival_failed" in caplog.text


def test_a_module_that_cannot_say_why_refuses_all_the_same(caplog: pytest.LogCaptureFixture) -> None:
    lab = Lab(routes=TriggerType(id=ROUTE, rival=lambda trigger: Rival("a", trigger.id), conflict=_mute)).filled()
    lab.bind(V, X)
    lab.bind(W, Y)
    (failed,) = lab.effects.take(TriggerFailed, B)
    assert msgspec.json.decode(failed.error)["message"] == "it conflicts with the trigger x"
    assert "action=trigger_conflict_failed" in caplog.text


def _mute(_bound: Trigger, _refused: Trigger) -> str:
    raise RuntimeError("broken")


def test_without_a_text_of_its_own_a_refusal_names_the_trigger_that_is_bound() -> None:
    type = TriggerType(id=ROUTE, rival=lambda trigger: Rival("a", trigger.id))
    assert type.conflict(X, Y) == "it conflicts with the trigger x"


def test_a_free_worker_takes_the_place_of_one_under_rules_that_was_there_first(lab: Lab) -> None:
    lab.bind(W, route(scoped("guests", "y"), "a:y"), stamp=1)
    lab.bind(V, X, stamp=2)
    lab.bind(W, route(scoped("guests", "y2"), "a:y"), stamp=1)
    assert bound(lab) == {"x"}
    assert failures(lab) == ["realm:guests/y", "realm:guests/y2"]


def test_a_worker_under_rules_does_not_keep_the_place_of_a_free_one_that_left(lab: Lab) -> None:
    guest = scoped("guests", "x")
    lab.bind(V, X, stamp=1)
    lab.bind(W, route(guest, "a:x"), stamp=2)
    lab.bind(W, Y, stamp=3)
    assert bound(lab) == {"x", guest}
    assert failures(lab) == ["y"]
    unbind(lab, V, X)
    assert bound(lab) == {"y"}
    assert failures(lab) == [guest]
    unbind(lab, W, Y)
    assert bound(lab) == {guest}
