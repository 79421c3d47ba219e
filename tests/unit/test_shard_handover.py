from iii_cluster.bus.envelopes import (
    Announced,
    BindTrigger,
    FunctionOwners,
    Offered,
    OfferTrigger,
    Owner,
    PutTrigger,
    RemoveTrigger,
    RevokeTrigger,
    Trigger,
    TriggerChange,
    TriggerSnapshot,
    UnbindTrigger,
    Unwatch,
    Watch,
    WithdrawTrigger,
)
from iii_cluster.cluster.durable import DURABLE
from iii_cluster.cluster.slots import slot_of
from tests.support.shard import BARRIER, BUILTIN, GATEWAYS, ME, OTHER, Lab, cluster_map, owner

A, B = GATEWAYS
ID = "math::add"
KEY = f"function:default/{ID}"
ELSEWHERE = {OTHER: 1}


def gaining(now: float = 0.0) -> Lab:
    """A shard that has just gained every slot at epoch 5 and waits for both gateways."""
    lab = Lab()
    lab.adopt(cluster_map(4, ELSEWHERE))
    lab.adopt(cluster_map(5, {ME: 5}), now)
    return lab


def answers(lab: Lab, node: str = A) -> list[list[Owner]]:
    return [said.owners for said in lab.effects.take(FunctionOwners, node)]


# -- filling


def test_lookups_wait_until_every_gateway_has_announced() -> None:
    lab = gaining()
    lab.get(A, Watch(5, [KEY]), Announced(5))
    assert answers(lab) == []
    lab.put(owner(1, B), ID, epoch=5)
    lab.get(B, Announced(5))
    assert answers(lab) == [[owner(1, B)]]


def test_lookups_are_answered_when_the_barrier_has_passed() -> None:
    lab = gaining(now=100.0)
    lab.get(A, Watch(5, [KEY]))
    lab.core.tick(100.0 + BARRIER / 2)
    assert answers(lab) == []
    assert lab.core.slots.deadline() == 100.0 + BARRIER
    lab.core.tick(100.0 + BARRIER)
    assert answers(lab) == [[]]
    assert lab.core.slots.deadline() is None


def test_a_gateway_that_dies_is_not_waited_for() -> None:
    lab = gaining()
    lab.get(A, Watch(5, [KEY]), Announced(5))
    lab.adopt(cluster_map(6, {ME: 5}, gateways=(A,)))
    assert answers(lab) == [[]]


def test_slots_are_filled_at_once_without_gateways() -> None:
    lab = Lab()
    lab.adopt(cluster_map(1, gateways=()))
    assert lab.core.slots.filling() == 0


def test_an_announcement_of_an_older_epoch_fills_nothing() -> None:
    lab = gaining()
    lab.get(A, Announced(4))
    lab.get(B, Announced(4))
    assert lab.core.slots.filling() > 0


def test_announcements_that_came_before_the_map_count() -> None:
    lab = Lab()
    lab.adopt(cluster_map(4, ELSEWHERE))
    for gateway in GATEWAYS:
        lab.put(owner(1, gateway), ID, epoch=5)
        lab.get(gateway, Announced(5))
    lab.adopt(cluster_map(5, {ME: 5}))
    lab.get(A, Watch(5, [KEY]))
    assert answers(lab) == [[owner(1, A), owner(1, B)]]


def test_slots_are_not_filled_before_storage_was_read() -> None:
    lab = Lab(reads=False)
    lab.adopt(cluster_map(1, gateways=()))
    lab.get(OTHER, Watch(1, [f"triggers:{BUILTIN}"]))
    assert lab.effects.sent == []
    trigger = Trigger("t", BUILTIN, ID)
    lab.load(BindTrigger(0, DURABLE, 1, trigger))
    (snapshot,) = lab.effects.take(TriggerSnapshot)
    assert snapshot.triggers == [trigger]


def test_an_unwatched_lookup_is_not_answered_later() -> None:
    lab = gaining()
    lab.get(A, Watch(5, [KEY]), Unwatch([KEY]), Announced(5))
    lab.get(B, Announced(5))
    assert answers(lab) == []


# -- slots that leave and return


def test_entries_and_watches_of_a_lost_slot_are_dropped_without_a_word() -> None:
    lab = Lab().filled()
    lab.put(owner(1), ID)
    lab.get(A, Watch(2, [KEY]))
    lab.effects.sent.clear()
    lab.adopt(cluster_map(3, {OTHER: 3}))
    assert lab.effects.sent == []
    assert lab.core.functions.named(ID) == []
    assert KEY not in lab.core.watching.watches


def test_a_slot_that_left_and_returned_unseen_is_filled_anew() -> None:
    lab = Lab().filled()
    lab.put(owner(1), ID)
    lab.adopt(cluster_map(9, {ME: 9}))  # the map in which another node owned it was skipped
    assert lab.core.functions.named(ID) == []
    lab.get(A, Watch(9, [KEY]), Announced(9))
    lab.put(owner(2, B), ID, epoch=9)
    lab.get(B, Announced(9))
    assert answers(lab) == [[owner(2, B)]]


def test_what_a_gateway_announced_ahead_of_our_map_survives_the_loss_in_between() -> None:
    lab = Lab().filled()
    lab.put(owner(1), ID, epoch=4)  # this gateway has seen the slot leave and return already
    lab.get(A, Watch(4, [KEY]), Announced(4))
    lab.effects.sent.clear()
    lab.adopt(cluster_map(3, {OTHER: 3}))
    lab.adopt(cluster_map(4, {ME: 4}))
    lab.get(B, Announced(4))
    assert answers(lab) == [[owner(1)]]


def test_a_registration_of_a_former_time_does_not_count() -> None:
    lab = gaining()
    lab.put(owner(1), ID, epoch=4)
    assert lab.core.functions.named(ID) == []


def test_a_registration_that_came_too_early_is_dropped_when_the_slot_goes_to_another() -> None:
    lab = Lab()
    lab.adopt(cluster_map(4, ELSEWHERE))
    lab.put(owner(1), ID, epoch=5)
    assert len(lab.core.functions.named(ID)) == 1
    lab.adopt(cluster_map(6, ELSEWHERE))
    assert lab.core.functions.named(ID) == []


def test_a_gateway_that_joins_in_a_later_map_is_heard_already() -> None:
    lab = Lab().filled()
    late = owner(1, "gateway-late")
    lab.put(late, ID, epoch=3)
    lab.get(A, Watch(2, [KEY]))
    lab.adopt(cluster_map(3, gateways=(*GATEWAYS, "gateway-late")))
    lab.adopt(cluster_map(4))
    assert answers(lab) == [[late], []]


# -- lookups under different maps


def test_a_watch_from_a_newer_map_waits_for_that_map() -> None:
    lab = Lab()
    lab.adopt(cluster_map(4, ELSEWHERE))
    lab.get(A, Watch(5, [KEY]))
    assert answers(lab) == []
    lab.adopt(cluster_map(5, {ME: 5}))
    for gateway in GATEWAYS:
        lab.get(gateway, Announced(5))
    assert answers(lab) == [[]]


def test_a_watch_from_an_older_map_for_anothers_slot_is_ignored() -> None:
    lab = Lab()
    lab.adopt(cluster_map(4, ELSEWHERE))
    lab.get(A, Watch(3, [KEY]))
    lab.adopt(cluster_map(5, {ME: 5}))
    for gateway in GATEWAYS:
        lab.get(gateway, Announced(5))
    assert answers(lab) == []


def test_a_held_watch_is_dropped_and_a_held_question_refused_when_the_slot_moves_away() -> None:
    lab = gaining()
    done: list[bool] = []
    lab.core.lookup(slot_of(ID), 0, done.append)
    lab.get(A, Watch(5, [KEY]))
    lab.adopt(cluster_map(6, {OTHER: 6}))
    assert done == [False]
    assert lab.effects.sent == []
    assert len(lab.core.holds) == 0


def test_questions_are_held_like_watches() -> None:
    lab = gaining()
    done: list[bool] = []
    lab.core.lookup(slot_of(ID), 5, done.append)
    lab.get(A, Announced(5))
    assert done == []
    lab.get(B, Announced(5))
    lab.core.lookup(slot_of(ID), 5, done.append)
    assert done == [True, True]


def test_a_question_for_anothers_slot_is_refused_at_once() -> None:
    lab = Lab()
    lab.adopt(cluster_map(4, ELSEWHERE))
    done: list[bool] = []
    lab.core.lookup(slot_of(ID), 0, done.append)
    assert done == [False]


def test_keys_of_an_unknown_kind_are_ignored() -> None:
    lab = Lab().filled()
    lab.get(A, Watch(2, ["weather:today"]), Unwatch(["weather:today"]))
    assert lab.effects.sent == []


# -- link resets


def test_a_reset_link_releases_the_node_and_holds_lookups_until_it_announced_again() -> None:
    lab = Lab().filled()
    lab.put(owner(1), ID)
    lab.get(B, Watch(2, [KEY]))
    lab.reset(A)
    lab.get(B, Watch(2, [KEY]))
    assert answers(lab, B) == [[owner(1)]]
    lab.put(owner(1), ID)
    lab.get(A, Announced(2))
    assert answers(lab, B) == [[owner(1)]]


def test_a_reset_link_during_filling_is_waited_for_once_more() -> None:
    lab = gaining()
    lab.put(owner(1), ID, epoch=5)
    lab.get(A, Announced(5))
    lab.reset(A)
    lab.get(B, Announced(5), Watch(5, [KEY]))
    assert answers(lab, B) == []
    lab.put(owner(1), ID, epoch=5)
    lab.get(A, Announced(5))
    assert answers(lab, B) == [[owner(1)]]


def test_a_reset_link_to_another_shard_only_ends_its_watches() -> None:
    lab = Lab().filled()
    lab.get(OTHER, Watch(2, [f"triggers:{BUILTIN}"]))
    lab.effects.sent.clear()
    lab.reset(OTHER)
    lab.bind(owner(1), Trigger("t", BUILTIN, ID))
    assert lab.core.slots.filling() == 0
    assert lab.effects.take(TriggerChange) == []


# -- triggers and durable triggers during hand-over


def test_nothing_is_offered_until_the_best_provider_can_be_known() -> None:
    lab = gaining()
    trigger = Trigger("t", "webhook", ID, home="shop")
    lab.bind(owner(1), trigger, epoch=5)
    lab.provide(owner(2), "webhook", epoch=5)
    lab.get(A, Announced(5))
    lab.provide(owner(3, B), "webhook", namespace="shop", epoch=5)
    assert lab.effects.take(OfferTrigger) == []
    lab.get(B, Announced(5))
    assert lab.effects.take(OfferTrigger, B) == [OfferTrigger(3, trigger, "shop", again=True)]


def test_a_provider_gives_back_what_was_removed_while_the_slot_changed_hands() -> None:
    lab = gaining()
    trigger = Trigger("kept", "webhook", ID)
    lab.provide(owner(2), "webhook", epoch=5)
    lab.get(A, Offered(5, owner(2), "webhook", ["kept", "gone"]), Announced(5))
    lab.bind(owner(1, B), trigger, epoch=5)
    assert lab.effects.take(WithdrawTrigger) == []
    lab.get(B, Announced(5))
    assert lab.effects.take(WithdrawTrigger, A) == [WithdrawTrigger(2, "gone", "webhook")]


def test_a_provider_that_is_gone_gives_nothing_back() -> None:
    lab = gaining()
    lab.get(A, Offered(5, owner(2), "webhook", ["gone"]), Announced(5))
    lab.get(B, Announced(5))
    assert lab.effects.take(WithdrawTrigger) == []


def test_a_removal_waits_for_the_slot_to_be_filled() -> None:
    lab = gaining()
    lab.get(B, RemoveTrigger("t"))
    lab.get(A, PutTrigger(5, owner(1), 1, Trigger("t", "webhook", ID)), Announced(5))
    lab.get(B, Announced(5))
    assert lab.effects.take(RevokeTrigger, A) == [RevokeTrigger(1, "t", stamp=1, removed=True)]


def test_a_removal_waits_for_storage_even_past_the_barrier() -> None:
    lab = Lab(reads=False)
    lab.adopt(cluster_map(1))
    lab.core.tick(BARRIER)
    lab.get(B, RemoveTrigger("t"))
    assert lab.effects.forgotten == []
    trigger = Trigger("t", "webhook", ID)
    lab.load(BindTrigger(0, DURABLE, 1, trigger))
    assert lab.effects.forgotten == [trigger]


def test_a_removal_sent_under_an_older_map_is_passed_on() -> None:
    lab = Lab()
    lab.adopt(cluster_map(4, ELSEWHERE))
    lab.get(B, RemoveTrigger("t"))
    assert lab.effects.take(RemoveTrigger, OTHER) == [RemoveTrigger("t", epoch=4)]


def test_a_removal_sent_under_a_newer_map_waits_for_that_map() -> None:
    lab = Lab()
    lab.adopt(cluster_map(4, ELSEWHERE))
    lab.get(OTHER, RemoveTrigger("t", epoch=5))
    lab.adopt(cluster_map(5, ELSEWHERE))
    assert lab.effects.take(RemoveTrigger, OTHER) == [RemoveTrigger("t", epoch=5)]


def test_durable_triggers_of_gained_slots_come_from_storage() -> None:
    lab = Lab(reads=False)
    lab.adopt(cluster_map(1, gateways=()))
    lab.load(BindTrigger(0, DURABLE, 1, Trigger("t", "webhook", ID)))
    lab.provide(owner(1), "webhook", epoch=2)
    lab.adopt(cluster_map(2))
    assert lab.core.triggers.find("t") is not None
    assert [offer.trigger.id for offer in lab.effects.take(OfferTrigger)] == ["t"]


def test_what_arrived_while_storage_was_read_is_newer_than_storage() -> None:
    lab = Lab(reads=False)
    lab.adopt(cluster_map(1))
    new = Trigger("t", "webhook", "new::target")
    lab.store(DURABLE, new, epoch=1)
    lab.bind(DURABLE, new, epoch=1)
    lab.load(BindTrigger(0, DURABLE, 1, Trigger("t", "webhook", "old::target")))
    stored, bound = lab.core.triggers.find("t"), lab.core.bindings.find("t")
    assert stored is not None
    assert bound is not None
    assert stored.trigger == bound.trigger == new


def test_a_durable_trigger_sent_under_an_older_map_is_passed_on() -> None:
    lab = Lab()
    lab.adopt(cluster_map(4, ELSEWHERE))
    trigger = Trigger("t", "webhook", ID)
    lab.store(DURABLE, trigger, epoch=3, stamp=1)
    lab.bind(DURABLE, trigger, epoch=3, stamp=1)
    assert lab.effects.take(PutTrigger, OTHER) == [PutTrigger(4, DURABLE, 1, trigger)]
    assert lab.effects.take(BindTrigger, OTHER) == [BindTrigger(4, DURABLE, 1, trigger)]


def test_a_durable_trigger_of_an_older_map_counts_in_an_owned_slot() -> None:
    lab = gaining()
    lab.store(DURABLE, Trigger("t", "webhook", ID), epoch=4)
    assert lab.core.triggers.find("t") is not None


def test_a_durable_trigger_outlives_nodes_and_connections() -> None:
    lab = Lab().filled()
    lab.store(DURABLE, Trigger("t", "webhook", ID))
    lab.bind(DURABLE, Trigger("t", "webhook", ID))
    lab.adopt(cluster_map(3, gateways=()))
    assert lab.core.triggers.find("t") is not None
    assert lab.core.bindings.find("t") is not None


def test_removing_a_durable_trigger_forgets_it_in_storage_first_and_then_at_its_type() -> None:
    lab = Lab().filled()
    trigger = Trigger("t", "webhook", ID)
    lab.store(DURABLE, trigger)
    lab.bind(DURABLE, trigger)
    lab.get(B, RemoveTrigger("t"))
    assert lab.core.triggers.find("t") is None
    assert lab.effects.forgotten == [trigger]
    assert lab.effects.take(UnbindTrigger) == []
    lab.core.durable_forgotten(trigger)
    (unbind,) = lab.effects.take(UnbindTrigger, ME)
    lab.get(ME, unbind)
    assert lab.core.bindings.find("t") is None


def test_a_durable_unbinding_waits_until_its_slot_has_read_storage() -> None:
    lab = Lab(reads=False)
    lab.adopt(cluster_map(1, gateways=()))
    lab.get(OTHER, UnbindTrigger(DURABLE, "t", "webhook", epoch=1))
    lab.load(BindTrigger(0, DURABLE, 1, Trigger("t", "webhook", ID)))
    assert lab.core.bindings.find("t") is None
