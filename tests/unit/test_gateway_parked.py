"""Calls for nodes that nobody listens at."""

import json
import uuid
from typing import Any

from gateway.backpressure import MAX_LOOKUPS
from gateway.worker import Worker
from iii_cluster.bus.envelopes import FunctionOwners, Invoke, Owner, Refused, Result, Watch
from tests.support.gateway import FakeGateway, cluster_map

GATEWAY = "gateway-aaaaaaaa"
OTHER = "gateway-bbbbbbbb"
THIRD = "gateway-cccccccc"
SHARD = "shard-00000001"
KEY = "function:default/f"


def _gateway() -> FakeGateway:
    """One that knows of `f` on another gateway, which nobody listens at."""
    gateway = FakeGateway(OTHER, THIRD, SHARD, reattach_window=2.0)
    gateway.core.routes.lookup("default", "f", lambda _route: None)
    _owners(gateway, Owner(OTHER, 5, "w-5"))
    gateway.core.on_reachable(OTHER, False)
    gateway.effects.take()
    return gateway


def _owners(gateway: FakeGateway, *owners: Owner) -> None:
    gateway.core.routes.on_owners(SHARD, FunctionOwners(KEY, 1, list(owners)))


def _call(gateway: FakeGateway, caller: Worker, data: Any = 1) -> str:
    id = str(uuid.uuid4())
    gateway.say(caller, type="invokefunction", function_id="f", invocation_id=id, data=data)
    return id


def test_a_call_waits_until_its_node_is_heard_again() -> None:
    gateway = _gateway()
    caller, out = gateway.connect()
    for n in range(3):
        _call(gateway, caller, n)
    assert not gateway.effects.take(Invoke)
    gateway.core.on_reachable(OTHER, True)
    sent = gateway.effects.take(Invoke)
    assert [(invoke.conn, json.loads(invoke.data)) for invoke in sent] == [(5, 0), (5, 1), (5, 2)]
    for invoke in sent:
        gateway.core.invocations.on_remote_result(OTHER, Result(invoke.id, b"1"))
    assert len(out.take()) == 3
    assert gateway.core.invocations.in_flight == 0


def test_a_call_goes_elsewhere_as_soon_as_there_is_somebody() -> None:
    gateway = _gateway()
    caller, _ = gateway.connect()
    _call(gateway, caller)
    gateway.core.invocations.expire(1.0)
    assert not gateway.effects.take(Invoke)
    _owners(gateway, Owner(OTHER, 5, "w-5"), Owner(THIRD, 6, "w-6"))
    gateway.core.invocations.expire(1.25)
    assert [(node, said.conn) for node, said in gateway.effects.take() if isinstance(said, Invoke)] == [(THIRD, 6)]
    _call(gateway, caller)
    assert [invoke.conn for invoke in gateway.effects.take(Invoke)] == [6]


def test_a_call_is_looked_up_anew_when_its_node_has_left() -> None:
    gateway = _gateway()
    caller, _ = gateway.connect()
    _call(gateway, caller)
    gateway.use(cluster_map(GATEWAY, THIRD, SHARD, epoch=2))
    assert gateway.effects.take(Watch)
    _owners(gateway, Owner(THIRD, 6, "w-6"))
    assert [invoke.conn for invoke in gateway.effects.take(Invoke)] == [6]


def test_a_call_that_waited_too_long_fails_and_names_the_node() -> None:
    gateway = _gateway()
    gateway.core.invocations.expire(100.0, 10.0)
    caller, out = gateway.connect()
    id = _call(gateway, caller)
    gateway.core.invocations.expire(110.0, 10.0)
    assert not out.take()
    gateway.core.invocations.expire(110.5, 10.0)
    (answer,) = out.take()
    assert answer["invocation_id"] == id
    assert answer["error"]["code"] == "invocation_stopped"
    assert OTHER in answer["error"]["message"]
    assert gateway.core.invocations.in_flight == 0
    assert not caller.calling


def test_a_call_that_was_sent_is_not_taken_back() -> None:
    gateway = _gateway()
    gateway.core.on_reachable(OTHER, True)
    caller, out = gateway.connect()
    _call(gateway, caller)
    (invoke,) = gateway.effects.take(Invoke)
    gateway.core.on_reachable(OTHER, False)
    gateway.core.on_reachable(OTHER, True)
    assert not gateway.effects.take(Invoke)
    gateway.core.invocations.on_remote_result(OTHER, Result(invoke.id, b"1"))
    assert len(out.take()) == 1


def test_a_call_to_a_node_that_is_not_in_the_map_ends_when_nobody_listens_there() -> None:
    gateway = FakeGateway(SHARD)
    caller, out = gateway.connect()
    served, _ = gateway.connect()
    gateway.say(served, type="registerfunction", id="g")
    _call(gateway, caller)
    _owners(gateway, Owner(OTHER, 5, "w-5"))
    (invoke,) = gateway.effects.take(Invoke)
    gateway.core.invocations.on_invoke(OTHER, Invoke("there", served.number, "g", b"1"))
    gateway.core.on_reachable(OTHER, False)
    (answer,) = out.take()
    assert answer["error"]["code"] == "invocation_stopped"
    assert OTHER in answer["error"]["message"]
    gateway.core.invocations.on_remote_result(OTHER, Result(invoke.id, b"1"))
    assert not out.take()
    assert served.serving == {"there": OTHER}  # it may only not be in the map yet


def test_callers_are_paused_while_too_many_calls_wait() -> None:
    gateway = _gateway()
    caller, out = gateway.connect()
    for _ in range(MAX_LOOKUPS + 10):
        _call(gateway, caller)
    assert out.paused == 1
    gateway.core.on_reachable(OTHER, True)
    assert out.paused == 0
    assert len(gateway.effects.take(Invoke)) == MAX_LOOKUPS + 10


def test_calls_of_a_caller_that_left_are_not_sent() -> None:
    gateway = _gateway()
    caller, _ = gateway.connect()
    _call(gateway, caller)
    gateway.core.disconnect(caller, back=False)
    gateway.core.on_reachable(OTHER, True)
    assert not gateway.effects.take(Invoke)
    assert gateway.core.invocations.in_flight == 0


def test_a_refused_call_waits_if_the_other_owner_cannot_be_reached() -> None:
    gateway = _gateway()
    caller, _ = gateway.connect()
    _owners(gateway, Owner(OTHER, 5, "w-5"), Owner(THIRD, 6, "w-6"))
    _call(gateway, caller, "data")
    (invoke,) = gateway.effects.take(Invoke)
    gateway.core.invocations.on_refused(THIRD, Refused(invoke))
    assert not gateway.effects.take(Invoke)
    gateway.core.on_reachable(OTHER, True)
    (again,) = gateway.effects.take(Invoke)
    assert (again.conn, json.loads(again.data)) == (5, "data")


def test_parked_calls_end_when_redis_stays_away() -> None:
    gateway = _gateway()
    caller, out = gateway.connect()
    _call(gateway, caller)
    gateway.core.invocations.outages.cut_off("Redis is unreachable")
    assert out.take()[0]["error"]["code"] == "invocation_stopped"
    gateway.core.on_reachable(OTHER, True)
    assert not gateway.effects.take(Invoke)


def test_a_parked_call_is_looked_up_by_the_next_incarnation() -> None:
    gateway = _gateway()
    caller, out = gateway.connect()
    _call(gateway, caller)
    name = f"{GATEWAY}.2"
    gateway.core.reincarnate(name)
    gateway.core.invocations.expire(1.0)
    gateway.use(cluster_map(name, THIRD, SHARD, epoch=3))
    _owners(gateway, Owner(THIRD, 6, "w-6"))
    (invoke,) = gateway.effects.take(Invoke)
    gateway.core.invocations.on_remote_result(THIRD, Result(invoke.id, b"1"))
    assert out.take()[0]["result"] == 1
