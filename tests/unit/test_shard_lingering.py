"""Triggers whose worker was lost, or sent to another gateway: bound until it registers them again, for a while."""

import pytest

from iii_cluster.access.triggers import scoped
from iii_cluster.bus.envelopes import (
    Cleanup,
    DropTrigger,
    OfferTrigger,
    Owner,
    ProviderAnswer,
    RemoveTrigger,
    RevokeTrigger,
    Trigger,
    TriggerChange,
    TriggerFailed,
    TriggerSnapshot,
    UnbindTrigger,
    Watch,
    WithdrawTrigger,
)
from iii_cluster.cluster.durable import DURABLE
from iii_cluster.cluster.map import SlotOwner
from iii_cluster.cluster.slots import SLOTS, slot_of
from tests.support.shard import BUILTIN, GATEWAYS, LEADER, ME, OTHER, ROUTE, Lab, cluster_map, owner

A, B = GATEWAYS
WINDOW = 2.0  # seconds
W = owner(1)
P = owner(91, B)  # a provider
KEY = f"triggers:{BUILTIN}"
LEFT = Owner("", W.conn, W.worker)  # who holds what W left behind


def trigger(type: str = BUILTIN, function: str = "f") -> Trigger:
    return Trigger("t", type, function)


T = trigger()


@pytest.fixture
def lab() -> Lab:
    lab = Lab(window=WINDOW).filled()
    lab.get(B, Watch(2, [KEY]))
    lab.now = 10.0
    return lab


def register(lab: Lab, who: Owner, what: Trigger = T, epoch: int = 2, stamp: int = 0) -> None:
    lab.store(who, what, epoch, stamp)
    lab.bind(who, what, epoch, stamp)


def sent_away(lab: Lab, who: Owner, what: Trigger = T, back: bool = True) -> None:
    lab.get(who.node, DropTrigger(who, what.id, back=back), UnbindTrigger(who, what.id, what.type, back=back))


def clean_up(lab: Lab, *who: Owner, back: bool = True) -> None:
    positions = list(range(len(who))) if back else []
    for step in ("functions", "triggers"):
        lab.get(LEADER, Cleanup(1, step, list(who), term=1, back=positions))


def stored(lab: Lab) -> Owner | None:
    known = lab.core.triggers.find("t")
    return None if known is None else known.owner


def bound(lab: Lab, type: str = BUILTIN) -> list[Trigger]:
    return [binding.trigger for binding in lab.core.bindings.bound(type)]


def changes(lab: Lab) -> list[tuple[list[Trigger], list[str]]]:
    return [(said.put, said.dropped) for said in lab.effects.take(TriggerChange, B)]


def test_a_trigger_of_a_worker_that_was_sent_away_stays_bound_for_the_window(lab: Lab) -> None:
    register(lab, W)
    assert changes(lab) == [([T], [])]
    sent_away(lab, W)
    clean_up(lab, W)
    assert lab.core.deadline() == 10.0 + WINDOW
    lab.core.tick(10.0 + WINDOW / 2)
    assert (bound(lab), stored(lab), changes(lab)) == ([T], LEFT, [])
    lab.core.tick(10.0 + WINDOW)
    assert (bound(lab), stored(lab), changes(lab)) == ([], None, [([], ["t"])])
    assert lab.core.deadline() is None


def test_its_next_registration_takes_over_without_a_moment_in_between(lab: Lab) -> None:
    register(lab, W)
    sent_away(lab, W)
    clean_up(lab, W)
    changes(lab)
    register(lab, owner(1, B))
    assert all(not dropped for _, dropped in changes(lab))
    assert lab.core.deadline() is None
    lab.core.tick(10.0 + WINDOW)
    assert (bound(lab), stored(lab), changes(lab)) == ([T], owner(1, B), [])
    assert lab.effects.take(RevokeTrigger) == []


def test_the_next_registration_may_come_first(lab: Lab) -> None:
    register(lab, W)
    register(lab, owner(1, B))
    sent_away(lab, W)
    assert lab.core.deadline() is None
    assert (bound(lab), stored(lab)) == ([T], owner(1, B))


def test_a_trigger_of_a_worker_that_leaves_by_itself_goes_at_once(lab: Lab) -> None:
    register(lab, W)
    sent_away(lab, W, back=False)
    assert (bound(lab), stored(lab)) == ([], None)


def test_a_trigger_of_a_lost_connection_stays_bound_for_the_window(lab: Lab) -> None:
    register(lab, W)
    assert changes(lab) == [([T], [])]
    clean_up(lab, W)
    assert (bound(lab), stored(lab), changes(lab)) == ([T], LEFT, [])
    lab.core.tick(10.0 + WINDOW)
    assert (bound(lab), stored(lab), changes(lab)) == ([], None, [([], ["t"])])
    assert lab.core.deadline() is None


def test_a_trigger_of_a_closed_connection_goes_with_the_clean_up(lab: Lab) -> None:
    register(lab, W)
    clean_up(lab, W, back=False)
    assert (bound(lab), stored(lab), lab.core.deadline()) == ([], None, None)


def test_who_is_expected_back_is_said_for_each_connection(lab: Lab) -> None:
    lab.bind(W, T)
    lab.bind(owner(2), Trigger("u", BUILTIN, "f"))
    lab.get(LEADER, Cleanup(1, "triggers", [owner(2), W], term=1, back=[1, 9]))
    assert bound(lab) == [T]


def test_triggers_of_a_gateway_that_left_the_map_stay_bound_for_the_window(lab: Lab) -> None:
    register(lab, W)
    changes(lab)
    lab.adopt(cluster_map(3, gateways=(B,)), now=10.0)
    assert (bound(lab), stored(lab), changes(lab)) == ([T], LEFT, [])
    register(lab, owner(1, B), epoch=3)
    assert all(not dropped for _, dropped in changes(lab))
    lab.core.tick(10.0 + WINDOW)
    assert (bound(lab), stored(lab)) == ([T], owner(1, B))


def test_without_a_window_a_lost_connection_leaves_nothing() -> None:
    lab = Lab().filled()
    register(lab, W)
    clean_up(lab, W)
    assert (bound(lab), stored(lab)) == ([], None)


def test_a_repeated_clean_up_does_not_prolong_the_window(lab: Lab) -> None:
    register(lab, W)
    clean_up(lab, W)
    lab.now = 11.0
    clean_up(lab, W)
    sent_away(lab, W)
    assert lab.core.deadline() == 10.0 + WINDOW


def test_what_a_lost_worker_had_unregistered_goes_when_that_comes_late(lab: Lab) -> None:
    register(lab, W)
    clean_up(lab, W)
    sent_away(lab, W, back=False)
    assert (bound(lab), stored(lab), lab.core.deadline()) == ([], None, None)


def test_a_lost_worker_that_is_back_already_keeps_its_trigger(lab: Lab) -> None:
    register(lab, W)
    register(lab, owner(1, B))
    clean_up(lab, W)
    assert (bound(lab), stored(lab), lab.core.deadline()) == ([T], owner(1, B), None)


@pytest.mark.parametrize("order", [(0, 1), (1, 0)])
def test_of_two_lost_claims_to_an_id_the_newest_stays(lab: Lab, order: tuple[int, int]) -> None:
    lost = (W, owner(2))
    lab.bind(W, T)
    lab.bind(owner(2), trigger(function="g"))
    clean_up(lab, *(lost[at] for at in order))
    assert bound(lab) == [trigger(function="g")]
    lab.core.tick(10.0 + WINDOW)
    assert bound(lab) == []


def test_a_lost_worker_that_is_started_anew_serves_beside_its_past(lab: Lab) -> None:
    register(lab, W)
    clean_up(lab, W)
    again = Trigger("u", BUILTIN, "f")
    register(lab, owner(1, B), again)
    assert bound(lab) == [T, again]
    lab.core.tick(10.0 + WINDOW)
    assert bound(lab) == [again]


def test_a_lost_worker_keeps_its_rivals_out_until_the_window_is_over(lab: Lab) -> None:
    lab.bind(W, Trigger("t", ROUTE, "f", b'"a:x"'))
    rival = Trigger("u", ROUTE, "f", b'"a:y"')
    clean_up(lab, W)
    lab.bind(owner(1, B), rival)
    assert len(lab.effects.take(TriggerFailed, B)) == 1
    assert [known.id for known in bound(lab, ROUTE)] == ["t"]
    lab.core.tick(10.0 + WINDOW)
    assert bound(lab, ROUTE) == [rival]


def test_what_a_lost_worker_under_rules_left_gives_way_to_others(lab: Lab) -> None:
    lab.bind(W, Trigger(scoped("guests", "t"), ROUTE, "f", b'"a:x"'))
    clean_up(lab, W)
    free = Trigger("u", ROUTE, "f", b'"a:y"')
    lab.bind(owner(1, B), free)
    assert bound(lab, ROUTE) == [free]
    assert lab.effects.take(TriggerFailed) == []


def test_workers_under_rules_take_nothing_from_a_lost_worker(lab: Lab) -> None:
    lab.bind(W, Trigger("t", ROUTE, "f", b'"a:x"'))
    clean_up(lab, W)
    lab.bind(owner(1, B), Trigger(scoped("guests", "t"), ROUTE, "f", b'"a:y"'))
    assert [known.id for known in bound(lab, ROUTE)] == ["t"]


def test_a_refused_trigger_of_a_lost_worker_is_bound_if_its_rival_leaves(lab: Lab) -> None:
    lab.bind(owner(1, B), Trigger("u", ROUTE, "f", b'"a:x"'))
    lost = Trigger("t", ROUTE, "f", b'"a:y"')
    lab.bind(W, lost)
    clean_up(lab, W)
    clean_up(lab, owner(1, B), back=False)
    assert bound(lab, ROUTE) == [lost]
    lab.core.tick(10.0 + WINDOW)
    assert bound(lab, ROUTE) == []


def test_a_provider_that_is_lost_with_the_worker_is_offered_the_trigger_when_it_is_back(lab: Lab) -> None:
    lab.provide(owner(2), "webhook")
    register(lab, W, trigger("webhook"))
    lab.effects.take(OfferTrigger)
    clean_up(lab, owner(2), W)
    assert (bound(lab, "webhook"), lab.effects.take(WithdrawTrigger)) == ([], [])
    lab.provide(P, "webhook")
    assert [offer.conn for offer in lab.effects.take(OfferTrigger, B)] == [P.conn]
    lab.core.tick(10.0 + WINDOW)
    assert lab.effects.take(WithdrawTrigger) == [WithdrawTrigger(P.conn, "t", "webhook")]


def test_durable_triggers_are_nobodys_loss(lab: Lab) -> None:
    register(lab, DURABLE)
    clean_up(lab, W)
    lab.adopt(cluster_map(3, gateways=(B,)), now=10.0)
    assert (bound(lab), stored(lab), lab.core.deadline()) == ([T], DURABLE, None)


def test_without_a_window_nothing_stays() -> None:
    lab = Lab().filled()
    register(lab, W)
    sent_away(lab, W)
    assert (bound(lab), stored(lab)) == ([], None)


def test_it_outlives_the_gateway_that_sent_its_worker_away(lab: Lab) -> None:
    register(lab, W)
    sent_away(lab, W)
    lab.reset(A)
    lab.adopt(cluster_map(3, gateways=(B,)), now=10.5)
    assert (bound(lab), stored(lab)) == ([T], LEFT)
    lab.core.tick(10.0 + WINDOW)
    assert (bound(lab), stored(lab)) == ([], None)


def test_whoever_registers_its_id_has_it_though_the_clock_is_behind_and_the_slot_is_filling(lab: Lab) -> None:
    register(lab, W, stamp=20)
    sent_away(lab, W)
    changes(lab)
    lab.reset(B)  # announces again
    register(lab, owner(1, B), stamp=10)
    assert (bound(lab), stored(lab)) == ([T], owner(1, B))
    assert lab.effects.take(RevokeTrigger) == []
    assert changes(lab) == []


def test_anybody_may_remove_it(lab: Lab) -> None:
    register(lab, W)
    sent_away(lab, W)
    lab.get(B, RemoveTrigger("t"))
    assert stored(lab) is None
    (unbind,) = lab.effects.take(UnbindTrigger, ME)
    assert unbind == UnbindTrigger(LEFT, "t", BUILTIN, epoch=2)
    assert lab.effects.take(RevokeTrigger) == []
    lab.get(ME, unbind)
    assert bound(lab) == []
    assert lab.core.deadline() is None


def test_when_its_id_gets_another_type_it_leaves_the_old_one(lab: Lab) -> None:
    register(lab, W, trigger("webhook"))
    sent_away(lab, W, trigger("webhook"))
    lab.store(owner(1, B), T)
    assert lab.effects.take(UnbindTrigger, ME) == [UnbindTrigger(LEFT, "t", "webhook", epoch=2)]


def test_a_slot_that_is_lost_takes_what_lingers_there_along(lab: Lab) -> None:
    register(lab, W)
    sent_away(lab, W)
    slots = [SlotOwner(ME, 1)] * SLOTS
    slots[slot_of(BUILTIN)] = slots[slot_of("t")] = SlotOwner(OTHER, 3)
    lab.adopt(cluster_map(3, tuple(slots)))
    assert (bound(lab), stored(lab)) == ([], None)
    assert lab.core.deadline() is None


def test_it_stays_with_its_provider(lab: Lab) -> None:
    lab.provide(P, "webhook")
    register(lab, W, trigger("webhook"))
    lab.effects.take(OfferTrigger)
    sent_away(lab, W, trigger("webhook"))
    clean_up(lab, W)
    assert lab.effects.take(WithdrawTrigger) == []
    lab.get(B, ProviderAnswer(P, "webhook", "t", b'{"code":"x","message":"no"}'))
    assert lab.effects.take(TriggerFailed) == []  # nobody is there to be told
    lab.core.tick(10.0 + WINDOW)
    assert lab.effects.take(WithdrawTrigger) == [WithdrawTrigger(P.conn, "t", "webhook")]


def test_a_watch_that_comes_meanwhile_is_told_of_it(lab: Lab) -> None:
    register(lab, W)
    sent_away(lab, W)
    lab.effects.take(TriggerSnapshot)
    lab.get(A, Watch(2, [KEY]))
    assert [said.triggers for said in lab.effects.take(TriggerSnapshot, A)] == [[T]]
