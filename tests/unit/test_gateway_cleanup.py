"""The leader's clean-up after lost connections, as a gateway takes part in it."""

import uuid

from gateway.worker import Worker
from iii_cluster.bus.envelopes import Cleanup, FunctionOwners, Invoke, Owner, Result
from tests.support.gateway import FakeGateway

SHARD = "shard-00000001"
COORDINATOR = "coordinator-00000001"
NEWCOMER = "gateway-bbbbbbbb"


def test_a_clean_up_takes_nothing_of_a_gateway_that_is_only_not_in_the_map_yet() -> None:
    gateway = FakeGateway(SHARD, COORDINATOR)
    caller, heard = gateway.connect()
    served, _ = gateway.connect()
    gateway.say(served, type="registerfunction", id="g")
    gateway.core.invocations.on_invoke(NEWCOMER, Invoke("there", served.number, "g", b"1"))
    invoked = _call_owner(gateway, caller, "f", Owner(NEWCOMER, 5, "w-5"))
    halted = _call_owner(gateway, caller, "h", Owner(NEWCOMER, 6, "w-6"))
    gateway.core.on_cleanup(COORDINATOR, Cleanup(1, "invocations", [Owner(NEWCOMER, 6, "w-6")]))
    assert [frame["error"]["code"] for frame in heard.take()] == ["invocation_stopped"]
    gateway.core.invocations.on_remote_result(NEWCOMER, Result(invoked, b"1"))
    gateway.core.invocations.on_remote_result(NEWCOMER, Result(halted, b"1"))
    assert [frame["result"] for frame in heard.take()] == [1]
    gateway.say(served, type="invocationresult", invocation_id="there", function_id="g", result=2)
    assert gateway.effects.take(Result) == [Result("there", b"2")]


def _call_owner(gateway: FakeGateway, caller: Worker, function: str, owner: Owner) -> str:
    """Its id at the owner's gateway."""
    gateway.say(caller, type="invokefunction", function_id=function, invocation_id=str(uuid.uuid4()), data={})
    gateway.core.routes.on_owners(SHARD, FunctionOwners(f"function:default/{function}", 1, [owner]))
    (invoke,) = gateway.effects.take(Invoke)
    return str(invoke.id)
