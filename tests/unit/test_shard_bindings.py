import pytest

from iii_cluster.bus.envelopes import (
    Cleanup,
    DropTriggerType,
    OfferTrigger,
    ProviderAnswer,
    Trigger,
    TriggerChange,
    TriggerFailed,
    TriggerSnapshot,
    UnbindTrigger,
    Watch,
    WithdrawTrigger,
)
from iii_cluster.cluster.durable import DURABLE
from shard.questions import Questions
from tests.support.shard import BUILTIN, GATEWAYS, LEADER, Lab, cluster_map, owner

A, B = GATEWAYS
ERROR = b'{"code":"x","message":"taken"}'
P, Q = owner(91), owner(92, B)  # providers
W = owner(1)


def trigger(id: str = "t", type: str = "webhook", home: str = "default", at: str | None = None) -> Trigger:
    return Trigger(id, type, "math::add", home=home, provider_namespace=at)


T = trigger()


@pytest.fixture
def lab() -> Lab:
    return Lab().filled()


def offers(lab: Lab) -> list[tuple[int, str, str]]:
    return [(offer.conn, offer.trigger.id, offer.provider_namespace) for offer in lab.effects.take(OfferTrigger)]


def withdrawals(lab: Lab) -> list[tuple[int, str]]:
    return [(said.conn, said.id) for said in lab.effects.take(WithdrawTrigger)]


def state(lab: Lab, id: str = "t") -> str:
    binding = lab.core.bindings.find(id)
    return "" if binding is None else binding.state.value


def refuse(lab: Lab, id: str = "t", provider: object = P) -> None:
    lab.get(A, ProviderAnswer(provider, "webhook", id, ERROR))  # type: ignore[arg-type]


def test_a_trigger_is_offered_to_the_provider_of_its_type(lab: Lab) -> None:
    lab.provide(P, "webhook")
    lab.bind(W, T)
    assert lab.effects.take(OfferTrigger, A) == [OfferTrigger(91, T, "default")]
    assert state(lab) == "live"


def test_a_trigger_without_a_provider_is_parked_until_one_comes(lab: Lab) -> None:
    lab.bind(W, T)
    assert (offers(lab), state(lab)) == ([], "parked")
    lab.provide(P, "webhook")
    assert (offers(lab), state(lab)) == ([(91, "t", "default")], "live")


def test_triggers_of_builtin_types_are_bound_at_once(lab: Lab) -> None:
    lab.bind(W, trigger(type=BUILTIN))
    assert (lab.effects.sent, state(lab)) == ([], "live")


def test_a_named_provider_namespace_is_the_only_one_looked_at(lab: Lab) -> None:
    lab.provide(P, "webhook")
    lab.bind(W, trigger(home="shop", at="hooks"))
    assert state(lab) == "parked"
    lab.provide(Q, "webhook", namespace="hooks")
    assert offers(lab) == [(92, "t", "hooks")]


def test_the_home_namespace_is_better_than_the_default(lab: Lab) -> None:
    lab.provide(P, "webhook")
    lab.provide(Q, "webhook", namespace="shop")
    lab.bind(W, trigger(home="shop"))
    assert offers(lab) == [(92, "t", "shop")]


def test_a_trigger_moves_home_when_a_provider_appears_there_and_back_when_it_leaves(lab: Lab) -> None:
    lab.provide(P, "webhook")
    lab.bind(W, trigger(home="shop"))
    offers(lab)
    lab.provide(Q, "webhook", namespace="shop")
    assert (withdrawals(lab), offers(lab)) == ([(91, "t")], [(92, "t", "shop")])
    lab.get(B, DropTriggerType(Q, "shop", "webhook"))
    assert (withdrawals(lab), offers(lab)) == ([], [(91, "t", "default")])


def test_a_newer_provider_takes_over_and_the_older_stands_by(lab: Lab) -> None:
    lab.provide(P, "webhook")
    lab.bind(W, T)
    offers(lab)
    lab.provide(Q, "webhook")
    assert (withdrawals(lab), offers(lab)) == ([(91, "t")], [(92, "t", "default")])
    lab.get(LEADER, Cleanup(1, "triggers", [Q]))
    assert (withdrawals(lab), offers(lab)) == ([], [(91, "t", "default")])


def test_an_older_registration_that_arrives_late_stands_by(lab: Lab) -> None:
    lab.provide(P, "webhook", stamp=20)
    lab.bind(W, T)
    offers(lab)
    lab.provide(Q, "webhook", stamp=10)
    assert lab.effects.sent == []


def test_a_provider_that_registers_again_gets_the_live_triggers_then_the_pending_ones(lab: Lab) -> None:
    lab.provide(P, "webhook")
    for id in ("refused", "live"):
        lab.bind(W, trigger(id))
    refuse(lab, "refused")
    offers(lab)
    lab.provide(P, "webhook")
    assert (withdrawals(lab), offers(lab)) == ([], [(91, "live", "default"), (91, "refused", "default")])


def test_a_type_announced_again_unchanged_offers_nothing(lab: Lab) -> None:
    lab.provide(P, "webhook", stamp=5)
    lab.bind(W, T, stamp=6)
    offers(lab)
    lab.provide(P, "webhook", stamp=5)
    lab.bind(W, T, stamp=6)
    assert lab.effects.sent == []


def test_a_provider_that_dies_parks_its_triggers(lab: Lab) -> None:
    lab.provide(Q, "webhook")
    lab.bind(W, T)
    lab.effects.sent.clear()
    lab.adopt(cluster_map(3, gateways=(A,)))
    assert (lab.effects.sent, state(lab)) == ([], "parked")


def test_an_owner_that_dies_takes_its_triggers_from_the_provider(lab: Lab) -> None:
    lab.provide(P, "webhook")
    lab.bind(owner(1, B), T)
    lab.adopt(cluster_map(3, gateways=(A,)))
    assert (withdrawals(lab), state(lab)) == ([(91, "t")], "")


def test_owner_and_provider_that_leave_together_are_told_nothing(lab: Lab) -> None:
    lab.provide(P, "webhook")
    lab.bind(W, T)
    offers(lab)
    lab.get(LEADER, Cleanup(1, "triggers", [W, P]))
    assert withdrawals(lab) == []
    assert lab.core.bindings.find_type("webhook") is None


def test_all_providers_that_leave_together_are_offered_nothing(lab: Lab) -> None:
    lab.provide(P, "webhook")
    lab.provide(Q, "webhook")
    lab.bind(W, T)
    offers(lab)
    lab.get(LEADER, Cleanup(1, "triggers", [P, Q]))
    assert (withdrawals(lab), offers(lab), state(lab)) == ([], [], "parked")


def test_a_refusal_is_told_to_the_owner_once_per_offer(lab: Lab) -> None:
    lab.provide(P, "webhook")
    lab.bind(W, T)
    refuse(lab)
    refuse(lab)
    assert lab.effects.take(TriggerFailed, A) == [TriggerFailed(1, "t", "webhook", "math::add", ERROR)]
    assert state(lab) == "refused"


def test_success_and_answers_of_strangers_change_nothing(lab: Lab) -> None:
    lab.provide(P, "webhook")
    lab.bind(W, T)
    lab.effects.sent.clear()
    lab.get(A, ProviderAnswer(P, "webhook", "t"))
    refuse(lab, provider=Q)
    refuse(lab, id="unknown")
    lab.get(A, ProviderAnswer(P, "other type", "t", ERROR))
    assert (lab.effects.sent, state(lab)) == ([], "live")


def test_a_refused_trigger_is_offered_again_when_another_leaves_its_provider(lab: Lab) -> None:
    lab.provide(P, "webhook")
    lab.bind(W, trigger("first"))
    lab.bind(owner(2), trigger("second"))
    refuse(lab, "second")
    lab.effects.sent.clear()
    lab.get(A, UnbindTrigger(W, "first", "webhook"))
    assert (offers(lab), lab.effects.settles) == ([], 1)
    lab.core.settle()
    assert offers(lab) == [(91, "second", "default")]
    refuse(lab, "second")
    assert lab.effects.take(TriggerFailed) == [], "the owner knows already"


def test_many_removals_make_one_round_of_repeated_offers(lab: Lab) -> None:
    lab.provide(P, "webhook")
    for number in range(20):
        lab.bind(W, trigger(f"live-{number}"))
        lab.bind(owner(2), trigger(f"refused-{number}"))
        refuse(lab, f"refused-{number}")
    offers(lab)
    lab.get(LEADER, Cleanup(1, "triggers", [W]))
    lab.core.settle()
    assert (lab.effects.settles, len(offers(lab))) == (1, 20)


def test_removing_a_refused_trigger_frees_nothing(lab: Lab) -> None:
    lab.provide(P, "webhook")
    lab.bind(W, T)
    refuse(lab)
    lab.effects.sent.clear()
    lab.get(A, UnbindTrigger(W, "t", "webhook"))
    assert (withdrawals(lab), lab.effects.sent, lab.effects.settles) == ([(91, "t")], [], 0)


def test_binding_again_offers_again_without_withdrawing(lab: Lab) -> None:
    lab.provide(P, "webhook")
    lab.bind(W, T)
    lab.bind(W, T)
    assert (withdrawals(lab), offers(lab)) == ([], [(91, "t", "default")] * 2)


def test_binding_again_to_another_type_or_provider_withdraws_first(lab: Lab) -> None:
    lab.provide(P, "webhook")
    lab.provide(Q, "webhook", namespace="shop")
    lab.provide(P, "queue")
    lab.bind(W, T)
    lab.bind(W, trigger(home="shop"))
    lab.bind(W, trigger(type="queue"))
    assert withdrawals(lab) == [(91, "t"), (92, "t")]
    assert [conn for conn, _, _ in offers(lab)] == [91, 92, 91]


def test_only_the_owner_unbinds_and_only_at_the_right_type(lab: Lab) -> None:
    lab.bind(W, T)
    lab.get(A, UnbindTrigger(owner(2), "t", "webhook"), UnbindTrigger(W, "t", "queue"))
    assert state(lab) == "parked"
    lab.get(A, UnbindTrigger(W, "t", "webhook"))
    assert state(lab) == ""


def test_watchers_of_a_type_see_bound_triggers_only(lab: Lab) -> None:
    key = "triggers:webhook"
    lab.bind(W, T)
    lab.get(B, Watch(2, [key]))
    lab.provide(P, "webhook")
    refuse(lab)
    (snapshot,) = lab.effects.take(TriggerSnapshot, B)
    assert snapshot.triggers == []
    bound, refused = lab.effects.take(TriggerChange, B)
    assert (bound.put, bound.dropped, bound.version) == ([T], [], snapshot.version + 1)
    assert (refused.put, refused.dropped, refused.version) == ([], ["t"], snapshot.version + 2)


def test_watchers_get_one_change_for_a_whole_cleanup(lab: Lab) -> None:
    for number in range(10):
        lab.bind(W, trigger(f"t{number}", BUILTIN))
    lab.get(B, Watch(2, [f"triggers:{BUILTIN}"]))
    lab.get(LEADER, Cleanup(1, "triggers", [W]))
    (change,) = lab.effects.take(TriggerChange, B)
    assert sorted(change.dropped) == [f"t{number}" for number in range(10)]


def test_a_provider_that_moves_a_trigger_does_not_disturb_its_watchers_count(lab: Lab) -> None:
    lab.provide(P, "webhook")
    lab.bind(W, T)
    lab.get(B, Watch(2, ["triggers:webhook"]))
    lab.provide(Q, "webhook")
    assert [change.dropped for change in lab.effects.take(TriggerChange, B)] == [[]]


def test_the_outcome_of_an_offer_can_be_waited_for(lab: Lab) -> None:
    said: list[bytes] = []
    lab.provide(P, "webhook")
    lab.bind(DURABLE, T)
    lab.core.bindings.offers.outcome(lab.core.bindings.find("t"), said.append)
    assert said == []
    refuse(lab)
    lab.core.bindings.offers.outcome(lab.core.bindings.find("t"), said.append)
    assert said == [ERROR, ERROR]
    assert lab.effects.take(TriggerFailed) == [], "nobody owns a durable trigger"


def test_the_outcome_is_empty_when_the_provider_accepts_or_there_is_none(lab: Lab) -> None:
    said: list[bytes] = []
    lab.bind(W, T)
    lab.core.bindings.offers.outcome(lab.core.bindings.find("t"), said.append)
    lab.core.bindings.offers.outcome(lab.core.bindings.find("unknown"), said.append)
    lab.provide(P, "webhook")
    lab.core.bindings.offers.outcome(lab.core.bindings.find("t"), said.append)
    lab.get(A, ProviderAnswer(P, "webhook", "t"))
    assert said == [b"", b"", b""]


def test_nobody_waits_for_the_outcome_of_a_removed_trigger(lab: Lab) -> None:
    said: list[bytes] = []
    lab.provide(P, "webhook")
    lab.bind(W, T)
    lab.core.bindings.offers.outcome(lab.core.bindings.find("t"), said.append)
    lab.get(A, UnbindTrigger(W, "t", "webhook"))
    assert said == [b""]


def test_an_outcome_nobody_waits_for_any_more_is_forgotten(lab: Lab) -> None:
    said: list[bytes] = []
    lab.provide(P, "webhook")
    lab.bind(W, T)
    lab.core.bindings.offers.outcome(lab.core.bindings.find("t"), said.append)
    lab.core.bindings.offers.outcomes.ignore("t", said.append)
    refuse(lab)
    assert said == []


def test_rows_of_types_and_bindings(lab: Lab) -> None:
    ask = Questions(lab.core)
    lab.provide(P, "webhook")
    lab.provide(Q, "webhook")
    lab.bind(W, T)
    (row,) = ask.type("webhook")
    assert (row["owner"], row["instances"], row["namespace"]) == (Q.worker, 1, "default")
    (bound,) = ask.triggers_of_function("default", "math::add")
    assert (bound["state"], bound["owner"]) == ("live", W.worker)
    slots = lab.core.slots.owned()
    assert [row for slot in slots for row in ask.triggers(slot)] == [bound]
    assert [row for slot in slots for row in ask.types(slot)] == [row]


def test_of_two_claims_to_an_id_the_one_that_is_not_unbound_is_left(lab: Lab) -> None:
    new, old = owner(1, B), owner(2)
    lab.provide(P, "webhook")
    lab.bind(new, T)
    lab.bind(old, T)  # sent before the other one, but over another link
    lab.get(A, UnbindTrigger(old, "t", "webhook"))
    binding = lab.core.bindings.find("t")
    assert binding is not None
    assert (binding.owner, state(lab), withdrawals(lab)) == (new, "live", [])


def test_a_superseded_claim_goes_without_a_trace(lab: Lab) -> None:
    lab.provide(P, "webhook")
    lab.bind(W, T)
    lab.bind(owner(2), T)
    lab.effects.sent.clear()
    lab.get(A, UnbindTrigger(W, "t", "webhook"))
    lab.get(LEADER, Cleanup(1, "triggers", [W]))
    assert (withdrawals(lab), offers(lab), state(lab)) == ([], [], "live")


def test_a_claim_that_returns_may_be_of_another_type(lab: Lab) -> None:
    lab.provide(P, "webhook")
    lab.bind(W, T)
    lab.bind(owner(2), trigger(type=BUILTIN))
    assert withdrawals(lab) == [(91, "t")]
    lab.effects.sent.clear()
    lab.get(LEADER, Cleanup(1, "triggers", [owner(2)]))
    assert (offers(lab), state(lab)) == ([(91, "t", "default")], "live")


def test_a_provider_that_accepts_a_repeated_offer_after_all_has_the_trigger(lab: Lab) -> None:
    lab.provide(P, "webhook")
    lab.bind(W, T)
    lab.get(B, Watch(2, ["triggers:webhook"]))
    refuse(lab)
    lab.get(A, ProviderAnswer(P, "webhook", "t"))
    assert state(lab) == "live"
    assert [change.put for change in lab.effects.take(TriggerChange, B)] == [[], [T]]
