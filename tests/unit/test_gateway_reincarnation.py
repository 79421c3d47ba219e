"""A gateway that was given up by the cluster goes on under a new node id; its workers do not notice."""

from iii_cluster.bus.envelopes import (
    Announced,
    BindTrigger,
    Cleanup,
    FunctionOwners,
    Invoke,
    Offered,
    OfferTrigger,
    Owner,
    PutFunction,
    PutTrigger,
    PutTriggerType,
    Result,
    Trigger,
    Watch,
    WorkerDown,
    WorkersAnnounced,
    WorkerUp,
)
from iii_cluster.config.settings import Duplicates
from tests.support.gateway import FakeGateway, cluster_map

SHARD = "shard-00000001"
LEADER = "coordinator-00000001"
OTHER = "gateway-bbbbbbbb"
OLD = "gateway-aaaaaaaa"
NEW = "gateway-aaaaaaaa.2"
CALL = "11111111-1111-4111-8111-111111111111"


def _gateway(duplicates: Duplicates = Duplicates.BALANCE) -> FakeGateway:
    return FakeGateway(SHARD, LEADER, OTHER, duplicates=duplicates)


def _come_back(gateway: FakeGateway) -> None:
    gateway.core.reincarnate(NEW)
    gateway.use(cluster_map(NEW, SHARD, LEADER, OTHER, epoch=9))


def test_everything_is_announced_again_in_the_new_name() -> None:
    gateway = _gateway()
    worker, _ = gateway.connect()
    gateway.say(worker, type="registerfunction", id="f")
    gateway.say(worker, type="registertriggertype", id="hook")
    gateway.say(worker, type="registertrigger", id="t", trigger_type="hook", function_id="f", config={})
    gateway.core.on_offer(SHARD, OfferTrigger(worker.number, Trigger("t", "hook", "f")))
    number, identity = worker.number, worker.id
    gateway.effects.take()
    _come_back(gateway)
    sent = gateway.effects.take()
    owner = Owner(NEW, number, identity)
    assert worker.owner == owner
    announced = [e for _, e in sent if isinstance(e, PutFunction | PutTriggerType | PutTrigger | BindTrigger)]
    assert {type(e) for e in announced} == {PutFunction, PutTriggerType, PutTrigger, BindTrigger}
    assert all((e.owner, e.epoch) == (owner, 9) for e in announced)
    assert [e for _, e in sent if isinstance(e, Offered)] == [Offered(9, owner, "hook", ["t"])]
    assert (SHARD, Announced(9)) in sent
    assert (LEADER, WorkerUp(number, identity)) in sent  # subscribers have been told that it is gone
    assert (LEADER, WorkersAnnounced(9)) in sent


def test_what_is_dropped_later_is_dropped_in_the_new_name() -> None:
    gateway = _gateway()
    worker, _ = gateway.connect()
    gateway.say(worker, type="registerfunction", id="f")
    _come_back(gateway)
    gateway.effects.take()
    gateway.say(worker, type="unregisterfunction", id="f")
    ((_, dropped),) = gateway.effects.take()
    assert dropped.owner == worker.owner
    assert not worker.registrations
    assert gateway.core.announcer.count == 0


def test_calls_between_own_workers_go_on() -> None:
    for duplicates in Duplicates:
        gateway = _gateway(duplicates)
        caller, heard = gateway.connect()
        callee, called = gateway.connect()
        gateway.say(callee, type="registerfunction", id="f")
        gateway.say(caller, type="invokefunction", invocation_id=CALL, function_id="f", data={"n": 1})
        if duplicates is not Duplicates.BALANCE:
            _confirm(gateway, callee.owner)
        (call,) = called.take()
        gateway.core.reincarnate(NEW)
        gateway.say(
            callee, type="invocationresult", invocation_id=call["invocation_id"], function_id="f", result={"n": 2}
        )
        (answer,) = heard.take()
        assert (answer["invocation_id"], answer["result"]) == (CALL, {"n": 2})
        gateway.say(caller, type="invokefunction", invocation_id=CALL, function_id="f", data={"n": 3})
        assert [frame["data"]["n"] for frame in called.take()] == [3], duplicates


def _confirm(gateway: FakeGateway, owner: Owner) -> None:
    gateway.core.routes.on_owners(SHARD, FunctionOwners("function:default/f", 1, [owner]))


def _watched(gateway: FakeGateway) -> list[str]:
    return [key for watch in gateway.effects.take(Watch) for key in watch.keys]


def test_calls_that_crossed_the_bus_end_with_an_error_that_names_the_cut_off() -> None:
    gateway = _gateway()
    caller, heard = gateway.connect()
    gateway.say(caller, type="invokefunction", invocation_id=CALL, function_id="f", data={})
    _confirm(gateway, Owner(OTHER, 1, "w"))
    assert gateway.effects.take(Invoke)
    gateway.core.reincarnate(NEW)
    (answer,) = heard.take()
    assert answer["error"]["code"] == "invocation_stopped"
    assert OLD in answer["error"]["message"]
    assert gateway.core.invocations.in_flight == 0


def test_owners_elsewhere_are_asked_for_anew() -> None:
    gateway = _gateway()
    caller, heard = gateway.connect()
    gateway.say(caller, type="invokefunction", function_id="f", data={})
    _confirm(gateway, Owner(OTHER, 1, "w"))
    gateway.core.reincarnate(NEW)
    gateway.effects.take()
    gateway.say(caller, type="invokefunction", invocation_id=CALL, function_id="f", data={})
    assert not gateway.effects.take(Invoke)
    gateway.use(cluster_map(NEW, SHARD, LEADER, OTHER, epoch=9))
    assert _watched(gateway) == ["function:default/f"]
    _confirm(gateway, Owner(OTHER, 1, "w"))
    assert gateway.effects.take(Invoke)
    assert not heard.take()


def test_owners_that_a_slow_shard_still_names_are_not_called() -> None:
    gateway = _gateway()
    caller, _ = gateway.connect()
    gateway.core.reincarnate(NEW)
    gateway.use(cluster_map(NEW, SHARD, LEADER, epoch=9))
    gateway.say(caller, type="invokefunction", function_id="f", invocation_id=CALL, data={})
    gone = [Owner(OLD, 7, "own"), Owner(OTHER, 7, "left-meanwhile")]
    gateway.effects.take()
    gateway.core.routes.on_owners(SHARD, FunctionOwners("function:default/f", 1, gone))
    assert not gateway.effects.take(Invoke)


def test_a_call_served_for_another_gateway_is_answered_to_nobody() -> None:
    gateway = _gateway()
    callee, called = gateway.connect()
    gateway.say(callee, type="registerfunction", id="f")
    gateway.core.invocations.on_invoke(OTHER, Invoke(CALL, callee.number, "f", b"{}"))
    assert called.take()
    gateway.effects.take()
    _come_back(gateway)
    gateway.effects.take()
    gateway.say(callee, type="invocationresult", invocation_id=CALL, function_id="f", result=1)
    assert not gateway.effects.take(Result)
    assert not callee.serving


def test_lost_connections_are_not_reported_in_the_new_name() -> None:
    gateway = _gateway()
    worker, _ = gateway.connect()
    gateway.say(worker, type="ping")
    gateway.core.disconnect(worker, back=False)
    gateway.effects.take()
    _come_back(gateway)
    told = [type(e) for node, e in gateway.effects.take() if node == LEADER]
    assert told == [WorkersAnnounced]


def test_the_clean_up_after_the_old_name_takes_nothing_of_the_new_one() -> None:
    gateway = _gateway()
    worker, _ = gateway.connect()
    gateway.say(worker, type="ping")
    former = worker.owner
    _come_back(gateway)
    gateway.core.disconnect(worker, back=False)
    gateway.core.on_cleanup(LEADER, Cleanup(1, "told", [former]))
    gateway.effects.take()
    gateway.use(cluster_map(NEW, SHARD, "coordinator-00000002", epoch=10, term=2))
    assert gateway.effects.take(WorkerDown) == [WorkerDown(worker.number, worker.id)]


def test_workers_that_were_paused_for_a_link_read_again() -> None:
    gateway = _gateway()
    worker, out = gateway.connect()
    gateway.effects.congested_nodes.add(SHARD)
    gateway.say(worker, type="registerfunction", id="f")
    assert out.paused == 1
    gateway.effects.congested_nodes.clear()
    gateway.core.reincarnate(NEW)
    assert out.paused == 0


def test_ids_made_before_and_after_name_the_same_process() -> None:
    gateway = _gateway()
    before, _ = gateway.connect()
    _come_back(gateway)
    after, _ = gateway.connect()
    assert before.id[:8] == after.id[:8]
    assert after.owner.node == NEW
    assert after.number > before.number
