"""Functions of workers under rules: a gateway serves them when their shard says so, not before."""

from iii_cluster.bus.envelopes import FunctionOwners, Owner, PutFunction, RejectFunction
from tests.support.gateway import FakeGateway

ME = "gateway-aaaaaaaa"
OTHER = "gateway-bbbbbbbb"
SHARD = "shard-00000001"
KEY = "function:default/f"
ID = "00000000-0000-4000-8000-000000000001"


def gateway() -> FakeGateway:
    return FakeGateway(OTHER, SHARD, name=ME)


def test_calls_wait_for_the_shard_although_a_worker_of_this_gateway_has_the_function() -> None:
    g = gateway()
    guest, outlet = g.connect()
    caller, _ = g.connect()
    guest.realm = "guests"
    g.say(guest, type="registerfunction", id="f")
    (put,) = [said for _, said in g.effects.take() if isinstance(said, PutFunction)]
    assert put.realm == "guests"
    outlet.take()
    g.say(caller, type="invokefunction", function_id="f", data={}, invocation_id=ID)
    assert outlet.take() == []
    g.core.routes.on_owners(SHARD, FunctionOwners(KEY, 1, [guest.owner]))
    assert [frame["type"] for frame in outlet.take()] == ["invokefunction"]


def test_a_worker_under_rules_that_the_shard_does_not_name_gets_no_call() -> None:
    g = gateway()
    guest, outlet = g.connect()
    caller, _ = g.connect()
    guest.realm = "guests"
    g.say(guest, type="registerfunction", id="f")
    outlet.take()
    g.effects.take()
    g.say(caller, type="invokefunction", function_id="f", data={}, invocation_id=ID)
    g.core.routes.on_owners(SHARD, FunctionOwners(KEY, 1, [Owner(OTHER, 7, "w-7")]))
    assert OTHER in [node for node, _ in g.effects.take()]
    g.core.on_reject(SHARD, RejectFunction(guest.number, "default", "f", "", 2**62))
    assert [frame["type"] for frame in outlet.take()] == ["registrationrejected"]
    assert not guest.registrations


def test_a_free_worker_is_called_at_once() -> None:
    g = gateway()
    worker, outlet = g.connect()
    caller, _ = g.connect()
    g.say(worker, type="registerfunction", id="f")
    outlet.take()
    g.say(caller, type="invokefunction", function_id="f", data={}, invocation_id=ID)
    assert [frame["type"] for frame in outlet.take()] == ["invokefunction"]
