import json
import uuid
from typing import Any

import pytest

from gateway.backpressure import MAX_LOOKUPS
from gateway.invocations import MAX_REFUSALS
from gateway.worker import Worker
from iii_cluster.bus.envelopes import Congested, FunctionOwners, Invoke, Owner, Refused, Result, Watch
from iii_cluster.config.settings import Duplicates
from tests.support.gateway import FakeGateway, FakeOutlet, cluster_map

GATEWAY = "gateway-aaaaaaaa"
OTHER = "gateway-bbbbbbbb"
THIRD = "gateway-cccccccc"
SHARD = "shard-00000001"
COORDINATOR = "coordinator-00000001"


def _gateway() -> FakeGateway:
    return FakeGateway(OTHER, THIRD, SHARD, COORDINATOR)


def _serve(gateway: FakeGateway, function: str = "f") -> tuple[Worker, FakeOutlet]:
    worker, outlet = gateway.connect()
    gateway.say(worker, type="registerfunction", id=function)
    return worker, outlet


def _call(gateway: FakeGateway, caller: Worker, function: str = "f", **more: Any) -> str:
    invocation_id = str(uuid.uuid4())
    message: dict[str, Any] = {"function_id": function, "invocation_id": invocation_id, "data": {"n": 1}, **more}
    gateway.say(caller, type="invokefunction", **message)
    return invocation_id


def _remote(gateway: FakeGateway, *conns: int, function: str = "f", node: str = OTHER) -> None:
    owners = [Owner(node, conn, f"w-{conn}") for conn in conns]
    gateway.core.routes.on_owners(SHARD, FunctionOwners(f"function:default/{function}", 1, owners))


def test_a_local_call_touches_no_other_node_but_for_one_watch() -> None:
    gateway = _gateway()
    callee, callee_out = _serve(gateway)
    caller, caller_out = gateway.connect()
    gateway.effects.take()
    invocation_id = _call(gateway, caller)
    (frame,) = callee_out.take()
    assert frame["type"] == "invokefunction"
    assert frame["function_id"] == "f"
    assert frame["data"] == {"n": 1, "_caller_worker_id": caller.id}
    assert uuid.UUID(frame["invocation_id"]).version == 4
    gateway.say(callee, type="invocationresult", invocation_id=frame["invocation_id"], function_id="f", result={"r": 2})
    assert caller_out.take() == [
        {"type": "invocationresult", "invocation_id": invocation_id, "function_id": "f", "result": {"r": 2}}
    ]
    assert not gateway.effects.take(Invoke)
    assert gateway.core.invocations.in_flight == 0


def test_a_remote_call_makes_one_hop_there_and_one_back() -> None:
    here, there = _gateway(), FakeGateway(GATEWAY, SHARD, name=OTHER)
    callee, callee_out = _serve(there)
    caller, caller_out = here.connect()
    invocation_id = _call(here, caller, traceparent="00-ab-cd-03", baggage="k=v", metadata={"m": [1]})
    _remote(here, callee.number)
    (invoke,) = here.effects.take(Invoke)
    there.core.invocations.on_invoke(GATEWAY, invoke)
    (frame,) = callee_out.take()
    assert frame["traceparent"] == "00-ab-cd-03"
    assert frame["baggage"] == "k=v"
    assert frame["metadata"] == {"m": [1]}
    error = {"code": "boom", "message": "no", "stacktrace": "at x", "more": 1}
    there.say(callee, type="invocationresult", invocation_id=frame["invocation_id"], function_id="f", error=error)
    (result,) = there.effects.take(Result)
    here.core.invocations.on_remote_result(OTHER, result)
    (answer,) = caller_out.take()
    assert answer["invocation_id"] == invocation_id
    assert answer["error"] == error
    assert answer["traceparent"] == "00-ab-cd-03"
    assert here.core.invocations.in_flight == 0
    assert not callee.serving


def test_an_unknown_function_is_answered_when_the_shard_says_so() -> None:
    gateway = _gateway()
    caller, out = gateway.connect()
    _call(gateway, caller)
    assert not out.take()
    gateway.core.routes.on_owners(SHARD, FunctionOwners("function:default/f", 1, [], ["shop"]))
    (answer,) = out.take()
    assert answer["error"] == {
        "code": "function_not_found",
        "message": "Function f not found in namespace default. It is registered in namespace(s): shop.",
    }


def test_void_and_null_id_calls_get_no_answer() -> None:
    gateway = _gateway()
    callee, callee_out = _serve(gateway)
    caller, caller_out = gateway.connect()
    _call(gateway, caller, action={"type": "void"})
    _call(gateway, caller, invocation_id=None)
    frames = callee_out.take()
    assert len(frames) == 2
    for frame in frames:
        gateway.say(callee, type="invocationresult", invocation_id=frame["invocation_id"], function_id="f", result=1)
    assert not caller_out.take()
    assert gateway.core.invocations.in_flight == 0
    assert callee.target.outstanding == 0


def test_a_void_call_of_nothing_is_silent() -> None:
    gateway = _gateway()
    caller, out = gateway.connect()
    _call(gateway, caller, action={"type": "void"})
    _remote(gateway)
    assert not out.take()


def test_a_callee_that_goes_away_ends_its_calls_at_once() -> None:
    gateway = _gateway()
    callee, _ = _serve(gateway)
    caller, out = gateway.connect()
    invocation_id = _call(gateway, caller)
    gateway.core.invocations.on_invoke(OTHER, Invoke("i-1", callee.number, "f", b"{}"))
    gateway.effects.take()
    gateway.core.disconnect(callee, back=False)
    (answer,) = out.take()
    assert answer["invocation_id"] == invocation_id
    assert answer["error"] == {"code": "invocation_stopped", "message": "Invocation stopped"}
    (result,) = gateway.effects.take(Result)
    assert result.id == "i-1"
    assert json.loads(result.error)["code"] == "invocation_stopped"


def test_a_caller_that_goes_away_leaves_nothing_behind() -> None:
    gateway = _gateway()
    callee, callee_out = _serve(gateway)
    caller, out = gateway.connect()
    _call(gateway, caller)
    gateway.core.disconnect(caller, back=False)
    (frame,) = callee_out.take()
    gateway.say(callee, type="invocationresult", invocation_id=frame["invocation_id"], function_id="f", result=1)
    assert not out.take()
    assert gateway.core.invocations.in_flight == 0
    assert callee.target.outstanding == 0


def test_a_worker_that_calls_itself_and_leaves_is_cleaned_up() -> None:
    gateway = _gateway()
    worker, _ = _serve(gateway)
    _call(gateway, worker)
    gateway.core.disconnect(worker, back=False)
    assert gateway.core.invocations.in_flight == 0


def test_a_lost_gateway_ends_the_calls_sent_there_and_names_it() -> None:
    gateway = _gateway()
    caller, out = gateway.connect()
    _call(gateway, caller)
    _remote(gateway, 5)
    gateway.use(cluster_map(GATEWAY, THIRD, SHARD, COORDINATOR, epoch=2))
    (answer,) = out.take()
    assert answer["error"]["code"] == "invocation_stopped"
    assert OTHER in answer["error"]["message"]
    assert gateway.core.invocations.in_flight == 0


def test_answers_for_callers_of_a_lost_gateway_go_nowhere() -> None:
    gateway = _gateway()
    callee, callee_out = _serve(gateway)
    gateway.core.invocations.on_invoke(OTHER, Invoke("i-1", callee.number, "f", b"{}"))
    gateway.use(cluster_map(GATEWAY, THIRD, SHARD, COORDINATOR, epoch=2))
    gateway.effects.take()
    (frame,) = callee_out.take()
    gateway.say(callee, type="invocationresult", invocation_id=frame["invocation_id"], function_id="f", result=1)
    assert not gateway.effects.take(Result)
    assert not callee.serving


def test_a_refused_call_goes_to_another_owner() -> None:
    gateway = _gateway()
    caller, out = gateway.connect()
    _call(gateway, caller)
    _remote(gateway, 5, 6)
    (first,) = gateway.effects.take(Invoke)
    gateway.core.invocations.on_refused(OTHER, Refused(first))
    (second,) = gateway.effects.take(Invoke)
    assert {first.conn, second.conn} == {5, 6}
    assert second.data == first.data
    gateway.core.invocations.on_refused(OTHER, Refused(second))
    assert not out.take()
    assert len(gateway.effects.take(Watch)) == 1
    _remote(gateway)
    (answer,) = out.take()
    assert answer["error"]["code"] == "function_not_found"


def test_a_call_that_is_refused_by_all_the_owners_its_shard_names_ends() -> None:
    gateway = _gateway()
    caller, out = gateway.connect()
    _call(gateway, caller)
    _remote(gateway, 5)
    for _ in range(MAX_REFUSALS):
        (invoke,) = gateway.effects.take(Invoke)
        gateway.core.invocations.on_refused(OTHER, Refused(invoke))
        assert not out.take()
        _remote(gateway, 5)
    (invoke,) = gateway.effects.take(Invoke)
    gateway.core.invocations.on_refused(OTHER, Refused(invoke))
    (answer,) = out.take()
    assert answer["error"]["code"] == "function_not_found"


def test_a_call_for_a_function_the_connection_dropped_is_refused() -> None:
    gateway = _gateway()
    callee, _ = _serve(gateway)
    gateway.say(callee, type="unregisterfunction", id="f")
    invoke = Invoke("i-1", callee.number, "f", b"{}")
    gateway.effects.take()
    gateway.core.invocations.on_invoke(OTHER, invoke)
    assert gateway.effects.take() == [(OTHER, Refused(invoke))]


def test_an_answer_through_another_gateway_ends_the_call() -> None:
    caller_side, third = _gateway(), FakeGateway(GATEWAY, OTHER, SHARD, name=THIRD)
    caller, out = caller_side.connect()
    _call(caller_side, caller)
    _remote(caller_side, 5)
    (invoke,) = caller_side.effects.take(Invoke)
    returned, _ = third.connect()
    third.effects.take()
    third.say(returned, type="invocationresult", invocation_id=invoke.id, function_id="f", result="late")
    ((node, result),) = [(n, e) for n, e in third.effects.take() if isinstance(e, Result)]
    assert node == GATEWAY
    caller_side.core.invocations.on_remote_result(THIRD, result)
    assert out.take()[0]["result"] == "late"


def test_the_same_id_twice_in_flight_ends_the_earlier_call() -> None:
    gateway = _gateway()
    callee, callee_out = _serve(gateway)
    caller, out = gateway.connect()
    same = str(uuid.uuid4())
    _call(gateway, caller, invocation_id=same)
    _call(gateway, caller, invocation_id=same)
    (earlier,) = out.take()
    assert earlier["error"] == {"code": "invocation_error", "message": "channel closed"}
    for frame in callee_out.take():
        gateway.say(callee, type="invocationresult", invocation_id=frame["invocation_id"], function_id="f", result=1)
    assert len(out.take()) == 1


def test_two_callers_may_use_the_same_id() -> None:
    gateway = _gateway()
    callee, callee_out = _serve(gateway)
    same = str(uuid.uuid4())
    callers = [gateway.connect() for _ in range(2)]
    for caller, _ in callers:
        _call(gateway, caller, invocation_id=same)
    for frame in callee_out.take():
        gateway.say(callee, type="invocationresult", invocation_id=frame["invocation_id"], function_id="f", result=1)
    assert [len(out.take()) for _, out in callers] == [1, 1]


def test_a_second_answer_is_ignored() -> None:
    gateway = _gateway()
    callee, callee_out = _serve(gateway)
    caller, out = gateway.connect()
    _call(gateway, caller)
    (frame,) = callee_out.take()
    for result in (1, 2):
        gateway.say(
            callee, type="invocationresult", invocation_id=frame["invocation_id"], function_id="f", result=result
        )
    assert [answer["result"] for answer in out.take()] == [1]


def test_an_answer_too_large_for_its_client_becomes_an_error() -> None:
    gateway = _gateway()
    callee, callee_out = _serve(gateway)
    caller, out = gateway.connect()
    caller.max_frame = 1000
    _call(gateway, caller)
    (frame,) = callee_out.take()
    answer = {"invocation_id": frame["invocation_id"], "function_id": "f", "result": "x" * 2000}
    gateway.say(callee, type="invocationresult", **answer)
    assert out.take()[0]["error"]["code"] == "payload_too_large"


def test_a_call_too_large_for_its_worker_is_answered_with_an_error() -> None:
    gateway = _gateway()
    callee, callee_out = _serve(gateway)
    callee.max_frame = 1000
    caller, out = gateway.connect()
    _call(gateway, caller, data={"x": "y" * 2000})
    assert not callee_out.take()
    assert out.take()[0]["error"]["code"] == "payload_too_large"
    assert gateway.core.invocations.in_flight == 0


def test_callers_of_a_worker_that_does_not_read_are_paused_until_it_does() -> None:
    gateway = _gateway()
    callee, callee_out = _serve(gateway)
    caller, out = gateway.connect()
    callee_out.congested = True
    for _ in range(3):
        _call(gateway, caller)
    assert out.paused == 1
    gateway.core.invocations.on_invoke(OTHER, Invoke("i-1", callee.number, "f", b"{}"))
    gateway.core.invocations.on_invoke(OTHER, Invoke("i-2", callee.number, "f", b"{}"))
    assert [e.on for e in gateway.effects.take(Congested)] == [True]
    gateway.core.backpressure.worker_reads_again(callee)
    assert out.paused == 0
    assert [e.on for e in gateway.effects.take(Congested)] == [False]


def test_callers_of_a_remote_worker_that_does_not_read_are_paused() -> None:
    gateway = _gateway()
    caller, out = gateway.connect()
    _call(gateway, caller)
    _remote(gateway, 5)
    gateway.core.backpressure.on_congested(OTHER, Congested(5, True))
    _call(gateway, caller)
    assert out.paused == 1
    gateway.core.backpressure.on_congested(OTHER, Congested(5, False))
    assert out.paused == 0


def test_a_paused_caller_goes_on_when_the_remote_worker_is_gone() -> None:
    gateway = _gateway()
    caller, out = gateway.connect()
    _call(gateway, caller)
    _remote(gateway, 5)
    gateway.core.backpressure.on_congested(OTHER, Congested(5, True))
    _call(gateway, caller)
    _remote(gateway)
    assert out.paused == 0


def test_callers_are_paused_while_the_link_is_full() -> None:
    gateway = _gateway()
    caller, out = gateway.connect()
    gateway.effects.congested_nodes.add(OTHER)
    _call(gateway, caller)
    _remote(gateway, 5)
    assert out.paused == 1
    gateway.core.backpressure.link_writable(OTHER)
    assert out.paused == 0


def test_a_closed_local_owner_that_the_shard_still_names_is_passed_over() -> None:
    gateway = FakeGateway(OTHER, SHARD, COORDINATOR, duplicates=Duplicates.REPLACE)
    callee, _ = _serve(gateway)
    caller, out = gateway.connect()
    _call(gateway, caller)
    _call(gateway, caller)
    gateway.core.disconnect(callee, back=False)
    said = FunctionOwners("function:default/f", 1, [callee.owner])
    gateway.core.routes.on_owners(SHARD, said)
    assert not out.take()
    _remote(gateway)
    assert [frame["error"]["code"] for frame in out.take()] == ["function_not_found"] * 2
    assert gateway.core.invocations.in_flight == 0


def test_a_connection_that_is_closing_gets_no_calls() -> None:
    gateway = _gateway()
    callee, callee_out = _serve(gateway)
    caller, out = gateway.connect()
    callee_out.open = False
    invoke = Invoke("i-1", callee.number, "f", b"{}")
    gateway.core.invocations.on_invoke(OTHER, invoke)
    assert gateway.effects.take(Refused) == [Refused(invoke)]
    _call(gateway, caller)
    _remote(gateway)
    assert not callee_out.take()
    assert out.take()[0]["error"]["code"] == "function_not_found"


def test_a_reset_link_forgets_who_did_not_keep_up_behind_it() -> None:
    gateway = _gateway()
    caller, out = gateway.connect()
    _call(gateway, caller)
    _remote(gateway, 5)
    gateway.core.backpressure.on_congested(OTHER, Congested(5, True))
    _call(gateway, caller)
    assert out.paused == 1
    gateway.core.on_reset(OTHER)
    assert out.paused == 0
    _call(gateway, caller)
    assert out.paused == 0


def test_a_callee_is_paused_while_the_link_for_its_answers_is_full() -> None:
    gateway = _gateway()
    callee, callee_out = _serve(gateway)
    gateway.core.invocations.on_invoke(OTHER, Invoke("i-1", callee.number, "f", b"{}"))
    gateway.effects.congested_nodes.add(OTHER)
    gateway.say(callee, type="invocationresult", invocation_id="i-1", function_id="f", result=1)
    assert callee_out.paused == 1
    gateway.effects.congested_nodes.clear()
    gateway.core.link_writable(OTHER)
    assert callee_out.paused == 0


def test_whoever_enqueues_is_paused_while_the_provider_does_not_keep_up() -> None:
    gateway = _gateway()
    _, provider_out = _serve(gateway, "engine::queue::enqueue")
    provider_out.congested = True
    caller, out = gateway.connect()
    _call(gateway, caller, action={"type": "enqueue", "queue": "mail"})
    assert out.paused == 1


def test_a_refused_call_brings_its_payload_back() -> None:
    gateway = _gateway()
    caller, _ = gateway.connect()
    _call(gateway, caller, metadata={"m": 1})
    _remote(gateway, 5, 6)
    (first,) = gateway.effects.take(Invoke)
    assert not any(call.data or call.metadata for call in gateway.core.invocations._pending.values())
    gateway.core.invocations.on_refused(OTHER, Refused(first))
    (second,) = gateway.effects.take(Invoke)
    assert (second.data, second.metadata) == (first.data, first.metadata)


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ("boom", {"code": "UNKNOWN", "message": '"boom"'}),
        ({}, {"code": "UNKNOWN", "message": ""}),
        ({"message": "m"}, {"code": "UNKNOWN", "message": "m"}),
        ({"code": "c", "message": "m", "more": [1]}, {"code": "c", "message": "m", "more": [1]}),
    ],
)
def test_errors_clients_could_not_read_are_put_into_a_body(given: Any, told: Any) -> None:
    gateway = _gateway()
    callee, callee_out = _serve(gateway)
    caller, out = gateway.connect()
    _call(gateway, caller)
    (frame,) = callee_out.take()
    answer = {"invocation_id": frame["invocation_id"], "function_id": "f"}
    gateway.say(callee, type="invocationresult", **answer, error=given)
    assert out.take()[0]["error"] == told


def test_an_odd_error_of_the_queue_provider_still_ends_the_call() -> None:
    gateway = _gateway()
    provider, provider_out = _serve(gateway, "engine::queue::enqueue")
    caller, out = gateway.connect()
    _call(gateway, caller, action={"type": "enqueue", "queue": "mail"})
    (job,) = provider_out.take()
    answer = {"invocation_id": job["invocation_id"], "function_id": "engine::queue::enqueue"}
    gateway.say(provider, type="invocationresult", **answer, error="full")
    assert out.take()[0]["error"]["code"] == "enqueue_error"


def test_an_id_that_is_too_long_is_not_found() -> None:
    gateway = _gateway()
    caller, out = gateway.connect()
    gateway.say(caller, type="ping")
    out.take()
    gateway.effects.take()
    _call(gateway, caller, function="f" * 2000)
    assert out.take()[0]["error"]["code"] == "function_not_found"
    assert not gateway.effects.take()


def test_callers_are_paused_while_too_many_calls_wait_for_a_shard() -> None:
    gateway = _gateway()
    caller, out = gateway.connect()
    for _ in range(MAX_LOOKUPS + 10):
        _call(gateway, caller)
    assert out.paused == 1
    _remote(gateway)
    assert out.paused == 0
    assert len(out.take()) == MAX_LOOKUPS + 10


def test_enqueue_without_a_provider_says_so() -> None:
    gateway = _gateway()
    caller, out = gateway.connect()
    _call(gateway, caller, action={"type": "enqueue", "queue": "mail"})
    _remote(gateway, function="engine::queue::enqueue")
    assert out.take()[0]["error"] == {"code": "enqueue_error", "message": "no queue provider installed"}


def test_enqueue_hands_the_job_to_the_provider_and_answers_with_its_receipt() -> None:
    gateway = _gateway()
    provider, provider_out = _serve(gateway, "engine::queue::enqueue")
    caller, out = gateway.connect()
    _call(gateway, caller, action={"type": "enqueue", "queue": "mail"}, namespace="shop", traceparent="00-a-b-01")
    (job,) = provider_out.take()
    assert job["data"]["queue"] == "mail"
    assert job["data"]["function_id"] == "f"
    assert job["data"]["data"] == {"n": 1}
    assert job["data"]["namespace"] == "shop"
    answer = {"invocation_id": job["invocation_id"], "function_id": "engine::queue::enqueue"}
    gateway.say(provider, type="invocationresult", **answer)
    assert out.take()[0]["result"] == {"messageReceiptId": job["data"]["messageReceiptId"]}


def test_a_blank_namespace_is_refused() -> None:
    gateway = _gateway()
    caller, out = gateway.connect()
    _call(gateway, caller, namespace=" ")
    assert out.take()[0]["error"]["code"] == "INVALID_NAMESPACE"


def test_calls_waiting_for_another_node_end_when_redis_stays_away() -> None:
    gateway = _gateway()
    _serve(gateway, "near")
    caller, out = gateway.connect()
    _call(gateway, caller)
    _remote(gateway, 5)
    _call(gateway, caller, function="near")
    gateway.core.invocations.outages.cut_off("Redis is unreachable")
    (answer,) = out.take()
    assert answer["function_id"] == "f"
    assert gateway.core.invocations.in_flight == 1


def test_answers_for_others_wait_for_redis() -> None:
    gateway = _gateway()
    callee, _callee_out = _serve(gateway)
    gateway.core.invocations.on_invoke(OTHER, Invoke("i-1", callee.number, "f", b"{}"))
    gateway.core.invocations.outages.cut_off("Redis is unreachable")
    gateway.say(callee, type="invocationresult", invocation_id="i-1", function_id="f", result=1)
    assert gateway.effects.take(Result) == [Result("i-1", b"1")]


def test_an_event_told_twice_is_heard_once() -> None:
    gateway = _gateway()
    callee, callee_out = _serve(gateway)
    for id in ("i-1", "i-2"):
        gateway.core.invocations.on_invoke(COORDINATOR, Invoke(id, callee.number, "f", b"{}", once="connected:w"))
    gateway.core.invocations.on_invoke(COORDINATOR, Invoke("i-3", callee.number, "f", b"{}", once="disconnected:w"))
    assert [frame["invocation_id"] for frame in callee_out.take()] == ["i-1", "i-3"]
    assert not gateway.effects.take(Refused)


def test_an_event_that_was_refused_is_heard_when_it_comes_again() -> None:
    gateway = _gateway()
    callee, callee_out = _serve(gateway)
    gone = Invoke("i-1", 99, "f", b"{}", once="connected:w")
    gateway.core.invocations.on_invoke(COORDINATOR, gone)
    assert gateway.effects.take(Refused) == [Refused(gone)]
    gateway.core.invocations.on_invoke(COORDINATOR, Invoke("i-2", callee.number, "f", b"{}", once="connected:w"))
    assert len(callee_out.take()) == 1
