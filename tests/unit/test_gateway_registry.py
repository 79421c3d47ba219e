import json
from typing import Any

import pytest

from gateway.builtins.workers import register
from iii_cluster.bus.envelopes import (
    Announced,
    BindTrigger,
    Cleanup,
    CleanupDone,
    DropFunction,
    DropTrigger,
    Offered,
    OfferTrigger,
    Owner,
    ProviderAnswer,
    PutFunction,
    PutService,
    PutTrigger,
    PutTriggerType,
    RejectFunction,
    RemoveTrigger,
    RevokeTrigger,
    Trigger,
    TriggerFailed,
    UnbindTrigger,
    WithdrawTrigger,
    WorkerDown,
    WorkersAnnounced,
    WorkerUp,
)
from iii_cluster.cluster.slots import slot_of
from iii_cluster.config.settings import Duplicates
from tests.support.gateway import FakeGateway, cluster_map

ME = "gateway-aaaaaaaa"
SHARD = "shard-00000001"
NEW_SHARD = "shard-00000002"
COORDINATOR = "coordinator-00000001"
NEW_COORDINATOR = "coordinator-00000002"


def _trigger(gateway: FakeGateway, worker: Any, **more: Any) -> None:
    message = {"id": "t-1", "trigger_type": "webhook", "function_id": "f", "config": {"url": "/x"}, **more}
    gateway.say(worker, type="registertrigger", **message)


def test_every_kind_of_registration_is_announced_with_its_owner() -> None:
    gateway = FakeGateway()
    worker, _ = gateway.connect()
    gateway.effects.take()
    gateway.say(worker, type="registerfunction", id="f", description="d", request_format={"a": 1}, metadata=None)
    gateway.say(worker, type="registertriggertype", id="webhook", description="hooks")
    gateway.say(worker, type="registerservice", id="s", name="")
    _trigger(gateway, worker, metadata={"k": 1})
    sent: list[Any] = [envelope for _, envelope in gateway.effects.take()]
    assert [type(e) for e in sent] == [WorkerUp, PutFunction, PutTriggerType, PutService, PutTrigger, BindTrigger]
    assert all(e.owner == worker.owner for e in sent[1:])
    assert json.loads(sent[1].definition) == {"description": "d", "request_format": {"a": 1}}
    assert json.loads(sent[3].definition) == {"name": "s"}
    trigger = sent[4].trigger
    assert trigger == Trigger("t-1", "webhook", "f", b'{"url":"/x"}'.replace(b":", b": "), b'{"k": 1}')


def test_a_trigger_without_config_has_a_null_one() -> None:
    gateway = FakeGateway()
    worker, _ = gateway.connect()
    gateway.say(worker, type="registertrigger", id="t", trigger_type="w", function_id="f")
    assert gateway.effects.take(BindTrigger)[0].trigger.config == b"null"


def test_a_closed_connection_stops_serving_and_is_reported_until_it_is_cleaned_up() -> None:
    gateway = FakeGateway(SHARD, COORDINATOR, NEW_COORDINATOR)
    worker, _ = gateway.connect()
    gateway.say(worker, type="registerfunction", id="f")
    gateway.effects.take()
    gateway.core.disconnect(worker, back=False)
    assert gateway.effects.take() == [(COORDINATOR, WorkerDown(worker.number, worker.id))]
    assert gateway.core.announcer.count == 0
    gateway.use(cluster_map(ME, SHARD, NEW_COORDINATOR, epoch=2, term=2))
    assert gateway.effects.take(WorkerDown) == [WorkerDown(worker.number, worker.id)]
    gateway.core.on_cleanup(NEW_COORDINATOR, Cleanup(1, "invocations", [worker.owner]))
    assert gateway.effects.take(CleanupDone) == [CleanupDone(1, "invocations")]
    gateway.use(cluster_map(ME, SHARD, COORDINATOR, epoch=3, term=3))
    assert gateway.effects.take(WorkerDown) == [WorkerDown(worker.number, worker.id)]
    gateway.core.on_cleanup(COORDINATOR, Cleanup(1, "told", [worker.owner]))
    assert gateway.effects.take(CleanupDone) == [CleanupDone(1, "told")]
    gateway.use(cluster_map(ME, SHARD, NEW_COORDINATOR, epoch=4, term=4))
    assert not gateway.effects.take(WorkerDown)


def test_a_socket_that_never_spoke_is_no_worker() -> None:
    gateway = FakeGateway()
    gateway.effects.take()
    worker, _ = gateway.connect()
    gateway.core.disconnect(worker, back=False)
    assert not gateway.effects.take()


def test_a_new_leader_hears_of_every_worker() -> None:
    gateway = FakeGateway(SHARD, COORDINATOR)
    worker, _ = gateway.connect()
    gateway.say(worker, type="ping")
    gateway.connect()
    gateway.effects.take()
    gateway.use(cluster_map(ME, SHARD, NEW_COORDINATOR, epoch=2, term=2))
    to_leader = [envelope for node, envelope in gateway.effects.take() if node == NEW_COORDINATOR]
    assert to_leader == [WorkerUp(worker.number, worker.id, again=True), WorkersAnnounced(2)]


def test_only_what_lies_in_moved_slots_is_announced_again() -> None:
    gateway = FakeGateway(SHARD, NEW_SHARD)
    worker, _ = gateway.connect()
    names = [f"f-{n}" for n in range(50)]
    for name in names:
        gateway.say(worker, type="registerfunction", id=name)
    old = gateway.core.map
    gateway.effects.take()
    gateway.use(cluster_map(ME, SHARD, epoch=2, since=1))
    sent = gateway.effects.take()
    moved = {name for name in names if old.slots[slot_of(name)].node == NEW_SHARD}
    assert {e.id for _, e in sent if isinstance(e, PutFunction)} == moved
    assert all(e.epoch == 2 for _, e in sent if isinstance(e, PutFunction))
    assert sent[-1] == (SHARD, Announced(2))


def test_a_reset_link_to_a_shard_announces_all_of_its_slots() -> None:
    gateway = FakeGateway()
    worker, _ = gateway.connect()
    gateway.say(worker, type="registerfunction", id="f")
    gateway.effects.take()
    gateway.core.on_reset(SHARD)
    assert [type(e) for _, e in gateway.effects.take()] == [PutFunction, Announced]


def test_an_announced_namespace_moves_what_was_registered() -> None:
    gateway = FakeGateway()
    worker, _ = gateway.connect()
    gateway.say(worker, type="registerfunction", id="f")
    _trigger(gateway, worker)
    gateway.effects.take()
    assert register(gateway.core, worker, b'{"namespace":"shop","name":"w"}') == b'{"success":true}'
    sent = [envelope for _, envelope in gateway.effects.take()]
    assert DropFunction(worker.owner, "default", "f") in sent
    assert [e.namespace for e in sent if isinstance(e, PutFunction)] == ["shop"]
    assert [e.trigger.home for e in sent if isinstance(e, BindTrigger)] == ["shop"]
    assert gateway.core.routes.get("shop", "f") is not None
    assert gateway.core.routes.get("default", "f") is None
    register(gateway.core, worker, b'{"namespace":"elsewhere"}')
    assert worker.namespace == "shop"


def test_engine_functions_cannot_be_registered() -> None:
    gateway = FakeGateway()
    gateway.core.builtins["engine::workers::list"] = lambda call, done: None
    worker, out = gateway.connect()
    gateway.say(worker, type="registerfunction", id="engine::workers::list")
    (frame,) = out.take()
    assert frame["type"] == "registrationrejected"
    assert frame["owner_worker_id"] == ""
    gateway.say(worker, type="registerfunction", id="engine::queue::enqueue")
    assert not out.take()
    assert len(worker.registrations) == 1


def test_an_announced_namespace_does_not_take_engine_ids_along() -> None:
    gateway = FakeGateway()
    worker, out = gateway.connect()
    gateway.say(worker, type="registerfunction", id="engine::queue::enqueue")
    register(gateway.core, worker, b'{"namespace":"shop"}')
    assert [frame["type"] for frame in out.take()] == ["registrationrejected"]
    assert not worker.registrations


def test_types_of_the_engine_have_no_other_provider() -> None:
    gateway = FakeGateway()
    worker, _ = gateway.connect()
    gateway.say(worker, type="registertriggertype", id="engine::workers-available", description="")
    assert not worker.registrations


def test_large_definitions_and_long_ids_are_not_kept() -> None:
    gateway = FakeGateway()
    worker, out = gateway.connect()
    large = "x" * 1_100_000
    gateway.say(worker, type="registerfunction", id="f", metadata=large)
    gateway.say(worker, type="registerfunction", id="f" * 2000)
    _trigger(gateway, worker, config=large)
    assert out.take()[0]["error"]["code"] == "payload_too_large"
    assert not worker.registrations


def test_a_trigger_too_large_for_its_provider_is_refused_in_its_name() -> None:
    gateway = FakeGateway()
    provider, out = gateway.connect()
    provider.max_frame = 1000
    trigger = Trigger("t-1", "webhook", "f", b'"' + b"x" * 2000 + b'"')
    gateway.effects.take()
    gateway.core.on_offer(SHARD, OfferTrigger(provider.number, trigger))
    (answer,) = gateway.effects.take(ProviderAnswer)
    assert json.loads(answer.error)["code"] == "payload_too_large"
    assert not out.take()


def test_announcing_waits_for_a_full_link_and_its_closing_word_comes_last() -> None:
    gateway = FakeGateway()
    worker, _ = gateway.connect()
    for number in range(20):
        gateway.say(worker, type="registerfunction", id=f"f-{number}")
    gateway.effects.take()
    gateway.effects.congested_nodes.add(NEW_SHARD)
    gateway.use(cluster_map(ME, NEW_SHARD, epoch=2, since=2))
    assert not gateway.effects.take()
    gateway.effects.congested_nodes.clear()
    gateway.core.link_writable(NEW_SHARD)
    sent = [envelope for _, envelope in gateway.effects.take()]
    assert [type(e) for e in sent] == [PutFunction] * 20 + [Announced]
    gateway.core.link_writable(NEW_SHARD)
    assert not gateway.effects.take()


def test_an_evicted_worker_that_was_still_waiting_registers_nothing() -> None:
    gateway = FakeGateway()
    worker, _ = gateway.connect()
    gateway.core.hold(worker)
    gateway.say(worker, type="registerfunction", id="f")
    gateway.core.disconnect(worker, back=False)
    gateway.core.unhold(worker)
    assert not worker.registrations
    assert gateway.core.routes.get("default", "f") is None


def test_registrations_of_one_connection_are_limited() -> None:
    gateway = FakeGateway(max_registrations=2)
    worker, _ = gateway.connect()
    for name in "abc":
        gateway.say(worker, type="registerfunction", id=name)
    gateway.say(worker, type="registerfunction", id="a", description="again")
    assert {key[2] for key in worker.registrations} == {"a", "b"}


def test_http_functions_are_refused_aloud(caplog: pytest.LogCaptureFixture) -> None:
    gateway = FakeGateway()
    worker, _ = gateway.connect()
    gateway.say(worker, type="registerfunction", id="ext", invocation={"url": "https://example.com"})
    assert not worker.registrations
    assert "iii-http-functions" in caplog.text


def test_a_trigger_of_another_connection_is_removed_by_id() -> None:
    gateway = FakeGateway()
    worker, _ = gateway.connect()
    gateway.effects.take()
    gateway.say(worker, type="unregistertrigger", id="t-9")
    assert gateway.effects.take(RemoveTrigger) == [RemoveTrigger("t-9", 1)]


def test_an_own_trigger_is_dropped_and_unbound() -> None:
    gateway = FakeGateway()
    worker, _ = gateway.connect()
    _trigger(gateway, worker)
    gateway.effects.take()
    gateway.say(worker, type="unregistertrigger", id="t-1", trigger_type="webhook")
    assert [e for _, e in gateway.effects.take()] == [
        DropTrigger(worker.owner, "t-1"),
        UnbindTrigger(worker.owner, "t-1", "webhook"),
    ]


def test_a_trigger_that_changes_its_type_is_unbound_from_the_old_one() -> None:
    gateway = FakeGateway()
    worker, _ = gateway.connect()
    _trigger(gateway, worker)
    gateway.effects.take()
    _trigger(gateway, worker, trigger_type="other")
    sent = [envelope for _, envelope in gateway.effects.take()]
    assert UnbindTrigger(worker.owner, "t-1", "webhook") in sent
    assert [e.trigger.type for e in sent if isinstance(e, BindTrigger)] == ["other"]


def test_a_revoked_trigger_is_forgotten_and_unbound() -> None:
    gateway = FakeGateway()
    worker, _ = gateway.connect()
    _trigger(gateway, worker)
    gateway.effects.take()
    gateway.core.on_revoke(SHARD, RevokeTrigger(worker.number, "t-1"))
    assert [e for _, e in gateway.effects.take()] == [
        DropTrigger(worker.owner, "t-1"),
        UnbindTrigger(worker.owner, "t-1", "webhook"),
    ]
    assert not worker.registrations
    assert gateway.core.announcer.count == 0


def test_a_revocation_of_an_earlier_registration_changes_nothing() -> None:
    gateway = FakeGateway()
    worker, out = gateway.connect()
    _trigger(gateway, worker)
    gateway.say(worker, type="registerfunction", id="f")
    stamp = worker.registrations[("trigger", "", "t-1")].stamp
    gateway.effects.take()
    gateway.core.on_revoke(SHARD, RevokeTrigger(worker.number, "t-1", stamp - 1))
    gateway.core.on_reject(SHARD, RejectFunction(worker.number, "default", "f", "w-9", stamp - 1))
    assert not gateway.effects.take()
    assert not out.take()
    assert len(worker.registrations) == 3


def test_a_flood_of_registrations_waits_for_the_link() -> None:
    gateway = FakeGateway()
    worker, out = gateway.connect()
    gateway.effects.congested_nodes.add(SHARD)
    gateway.say(worker, type="registerfunction", id="f")
    assert out.paused == 1
    gateway.core.backpressure.link_writable(SHARD)
    assert out.paused == 0


def test_blank_namespaces_of_triggers_are_refused() -> None:
    gateway = FakeGateway()
    worker, out = gateway.connect()
    for member in ("namespace", "trigger_namespace"):
        _trigger(gateway, worker, **{member: "  "})
        (frame,) = out.take()
        assert frame["type"] == "triggerregistrationresult"
        assert frame["error"]["code"] == "INVALID_NAMESPACE"
    assert not worker.registrations


def test_a_provider_hears_of_triggers_and_its_answer_goes_to_the_types_shard() -> None:
    gateway = FakeGateway()
    provider, out = gateway.connect()
    gateway.say(provider, type="registertriggertype", id="webhook")
    trigger = Trigger("t-1", "webhook", "f", b'{"url":"/x"}', b'{"k":1}', namespace="shop")
    gateway.core.on_offer(SHARD, OfferTrigger(provider.number, trigger))
    gateway.core.on_withdraw(SHARD, WithdrawTrigger(provider.number, "t-1", "webhook"))
    registered, unregistered = out.take()
    assert registered == {
        "type": "registertrigger",
        "id": "t-1",
        "trigger_type": "webhook",
        "function_id": "f",
        "config": {"url": "/x"},
        "metadata": {"k": 1},
        "namespace": "shop",
    }
    assert unregistered == {"type": "unregistertrigger", "id": "t-1", "trigger_type": "webhook"}
    gateway.effects.take()
    answer = {"id": "t-1", "trigger_type": "webhook", "function_id": "f"}
    gateway.say(provider, type="triggerregistrationresult", **answer)
    gateway.say(provider, type="triggerregistrationresult", **answer, error={"code": "c", "message": "m"})
    ok, failed = gateway.effects.take(ProviderAnswer)
    assert ok == ProviderAnswer(provider.owner, "webhook", "t-1", b"")
    assert json.loads(failed.error) == {"code": "c", "message": "m"}


def test_a_provider_is_not_told_again_what_it_has_when_a_slot_changed_hands() -> None:
    gateway = FakeGateway()
    provider, out = gateway.connect()
    trigger = Trigger("t-1", "webhook", "f")
    gateway.core.on_offer(SHARD, OfferTrigger(provider.number, trigger))
    gateway.core.on_offer(NEW_SHARD, OfferTrigger(provider.number, trigger, again=True))
    assert len(out.take()) == 1
    changed = Trigger("t-1", "webhook", "g")
    gateway.core.on_offer(NEW_SHARD, OfferTrigger(provider.number, changed, again=True))
    assert len(out.take()) == 1
    error = {"code": "c", "message": "m"}
    gateway.say(
        provider, type="triggerregistrationresult", id="t-1", trigger_type="webhook", function_id="g", error=error
    )
    gateway.core.on_offer(NEW_SHARD, OfferTrigger(provider.number, changed, again=True))
    assert len(out.take()) == 1


def test_what_a_former_owner_of_a_types_slot_sent_comes_too_late() -> None:
    gateway = FakeGateway()
    provider, out = gateway.connect()
    kept = Trigger("t-1", "webhook", "f")
    gateway.core.on_offer(SHARD, OfferTrigger(provider.number, kept, epoch=1))
    gateway.use(cluster_map(ME, NEW_SHARD, epoch=2, since=2))
    out.take()
    gateway.core.on_offer(SHARD, OfferTrigger(provider.number, Trigger("t-2", "webhook", "f"), epoch=1))
    gateway.core.on_withdraw(SHARD, WithdrawTrigger(provider.number, "t-1", "webhook", epoch=1))
    assert not out.take()
    gateway.core.on_withdraw(NEW_SHARD, WithdrawTrigger(provider.number, "t-1", "webhook", epoch=2))
    assert len(out.take()) == 1


def test_the_next_owner_of_a_types_slot_hears_what_its_provider_was_told_of() -> None:
    gateway = FakeGateway(SHARD)
    provider, _ = gateway.connect()
    gateway.say(provider, type="registertriggertype", id="webhook")
    for number, kind in enumerate(("webhook", "webhook", "other")):
        gateway.core.on_offer(SHARD, OfferTrigger(provider.number, Trigger(f"t-{number}", kind, "f")))
    gateway.core.on_withdraw(SHARD, WithdrawTrigger(provider.number, "t-0", "webhook"))
    gateway.effects.take()
    gateway.use(cluster_map(ME, NEW_SHARD, epoch=2, since=2))
    sent = [envelope for _, envelope in gateway.effects.take()]
    assert [type(e) for e in sent[:2]] == [PutTriggerType, Offered]
    assert sent[1] == Offered(2, provider.owner, "webhook", ["t-1"])
    assert sent[-1] == Announced(2)


def test_a_failed_trigger_is_told_to_its_owner_verbatim() -> None:
    gateway = FakeGateway()
    worker, out = gateway.connect()
    said = TriggerFailed(worker.number, "t-1", "webhook", "f", b'{"code":"c","message":"m"}')
    gateway.core.on_trigger_failed(SHARD, said)
    assert out.take() == [
        {
            "type": "triggerregistrationresult",
            "id": "t-1",
            "trigger_type": "webhook",
            "function_id": "f",
            "error": {"code": "c", "message": "m"},
        }
    ]


def test_a_refused_function_is_forgotten_and_the_worker_told() -> None:
    gateway = FakeGateway(duplicates=Duplicates.REJECT)
    worker, out = gateway.connect()
    gateway.say(worker, type="registerfunction", id="f")
    gateway.effects.take()
    gateway.core.on_reject(SHARD, RejectFunction(worker.number, "default", "f", "w-9"))
    (frame,) = out.take()
    assert frame == {
        "type": "registrationrejected",
        "code": "FUNCTION_NAMESPACE_CONFLICT",
        "namespace": "default",
        "function_id": "f",
        "owner_worker_id": "w-9",
    }
    assert not worker.registrations
    assert gateway.effects.take(DropFunction) == [DropFunction(worker.owner, "default", "f")]


def test_a_retired_connection_is_withdrawn_at_once_and_only_with_its_token() -> None:
    gateway = FakeGateway()
    worker, out = gateway.connect()
    gateway.say(worker, type="registerfunction", id="f")
    gateway.effects.take()
    same = str.__eq__
    assert not gateway.core.retire(worker.id, "wrong", same)
    assert not gateway.core.retire("unknown", worker.token, same)
    assert gateway.core.retire(worker.id, worker.token, same)
    assert out.aborted
    sent = [type(envelope) for _, envelope in gateway.effects.take()]
    assert sent == [DropFunction, WorkerDown]


def test_reattach_needs_a_token_and_another_id() -> None:
    gateway = FakeGateway()
    worker, _ = gateway.connect()
    gateway.say(worker, type="reattach", previous_worker_id="old")
    gateway.say(worker, type="reattach", previous_worker_id=worker.id, reattach_token="t")
    assert not gateway.effects.reattached
    gateway.say(worker, type="reattach", previous_worker_id="old", reattach_token="t")
    assert gateway.effects.reattached == [(worker, "old", "t")]


def test_frames_wait_in_order_while_the_old_connection_is_retired() -> None:
    gateway = FakeGateway()
    worker, out = gateway.connect()
    gateway.core.hold(worker)
    gateway.say(worker, type="registerfunction", id="f")
    gateway.say(worker, type="ping")
    assert out.paused == 1
    assert not worker.registrations
    assert not out.take()
    gateway.core.unhold(worker)
    assert out.paused == 0
    assert out.take() == [{"type": "pong"}]
    assert worker.registrations


def test_an_owner_is_a_connection_not_a_name() -> None:
    gateway = FakeGateway()
    first, _ = gateway.connect()
    second, _ = gateway.connect()
    assert first.owner != second.owner
    assert {first.owner.node, second.owner.node} == {ME}
    assert isinstance(first.owner, Owner)


def test_functions_of_a_lost_connection_are_expected_back() -> None:
    gateway = FakeGateway(SHARD, COORDINATOR)
    worker, _ = gateway.connect()
    gateway.say(worker, type="registerfunction", id="f")
    _trigger(gateway, worker)
    gateway.effects.take()
    gateway.core.disconnect(worker, back=True)
    assert gateway.effects.take() == [
        (SHARD, DropFunction(worker.owner, "default", "f", back=True)),
        (COORDINATOR, WorkerDown(worker.number, worker.id, back=True)),
    ]
    assert gateway.core.announcer.count == 0


def test_everything_of_a_connection_that_is_sent_away_is_expected_back() -> None:
    gateway = FakeGateway(SHARD, COORDINATOR)
    worker, _ = gateway.connect()
    gateway.say(worker, type="registerfunction", id="f")
    _trigger(gateway, worker)
    gateway.effects.take()
    gateway.core.withdraw(worker)
    assert [envelope for _, envelope in gateway.effects.take()] == [
        DropFunction(worker.owner, "default", "f", back=True),
        DropTrigger(worker.owner, "t-1", back=True),
        UnbindTrigger(worker.owner, "t-1", "webhook", back=True),
    ]


def test_triggers_of_a_connection_that_another_one_replaces_stay_for_that_one() -> None:
    gateway = FakeGateway(SHARD, COORDINATOR)
    worker, _ = gateway.connect()
    _trigger(gateway, worker)
    gateway.effects.take()
    assert gateway.core.retire(worker.id, worker.token, str.__eq__)
    assert [envelope for _, envelope in gateway.effects.take()][:2] == [
        DropTrigger(worker.owner, "t-1", back=True),
        UnbindTrigger(worker.owner, "t-1", "webhook", back=True),
    ]


def test_a_function_that_is_unregistered_is_not_expected_back() -> None:
    gateway = FakeGateway()
    worker, _ = gateway.connect()
    gateway.say(worker, type="registerfunction", id="f")
    gateway.effects.take()
    gateway.say(worker, type="unregisterfunction", id="f")
    assert gateway.effects.take(DropFunction) == [DropFunction(worker.owner, "default", "f", back=False)]


def test_what_a_deposed_leader_says_counts_for_nothing() -> None:
    gateway = FakeGateway(SHARD, COORDINATOR)
    worker, _ = gateway.connect()
    gateway.say(worker, type="ping")
    gateway.core.disconnect(worker, back=False)
    gateway.use(cluster_map(ME, SHARD, NEW_COORDINATOR, epoch=2, term=3))
    gateway.effects.take()
    gateway.core.on_cleanup(COORDINATOR, Cleanup(1, "invocations", [worker.owner], term=2))
    assert not gateway.effects.take()
    gateway.core.on_cleanup(NEW_COORDINATOR, Cleanup(1, "invocations", [worker.owner], term=3))
    gateway.core.on_cleanup(NEW_COORDINATOR, Cleanup(2, "invocations", [worker.owner]))
    assert gateway.effects.take(CleanupDone) == [CleanupDone(1, "invocations"), CleanupDone(2, "invocations")]


def test_the_clean_up_of_an_earlier_incarnation_is_not_that_of_this_one() -> None:
    gateway = FakeGateway(SHARD, COORDINATOR)
    worker, _ = gateway.connect()
    gateway.say(worker, type="ping")
    gateway.core.disconnect(worker, back=False)
    other = Owner("gateway-aaaaaaaa.0", worker.number, worker.id)
    gateway.core.on_cleanup(COORDINATOR, Cleanup(1, "told", [other]))
    gateway.effects.take()
    gateway.use(cluster_map(ME, SHARD, NEW_COORDINATOR, epoch=2, term=2))
    assert gateway.effects.take(WorkerDown) == [WorkerDown(worker.number, worker.id)]
