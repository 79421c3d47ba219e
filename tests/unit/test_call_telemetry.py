"""Every call made through a gateway is counted once and has one span at most, whatever becomes of it."""

import json
import uuid
from collections.abc import Iterator
from typing import Any

import pytest

from gateway.answering import Builtin
from gateway.call import Call, Done
from gateway.call_telemetry import CallTelemetry
from gateway.worker import Worker
from iii_cluster.bus.envelopes import FunctionOwners, Invoke, Owner, Refused, Result
from iii_cluster.telemetry.records import Kind, Span
from tests.support.call_telemetry import CountingTracer, Counts
from tests.support.gateway import FakeGateway, FakeOutlet, cluster_map

GATEWAY = "gateway-aaaaaaaa"
OTHER = "gateway-bbbbbbbb"
THIRD = "gateway-cccccccc"
SHARD = "shard-00000001"
WINDOW = 2.0
TRACE_ID = "0af7651916cd43dd8448eb211c80319c"
PARENT = f"00-{TRACE_ID}-b7ad6b7169203331-01"


class Lab:
    def __init__(self, ratio: float = 1.0) -> None:
        self.tracer = CountingTracer(ratio)
        self.counts = Counts()
        self.now = 0.0
        telemetry = CallTelemetry(self.tracer, self.counts, lambda: self.now)
        self.gateway = FakeGateway(OTHER, THIRD, SHARD, reattach_window=WINDOW, telemetry=telemetry)
        self.core = self.gateway.core
        self.caller, self.out = self.gateway.connect()

    def serve(self, function: str = "f") -> tuple[Worker, FakeOutlet]:
        worker, outlet = self.gateway.connect()
        self.gateway.say(worker, type="registerfunction", id=function)
        self.gateway.effects.take()
        return worker, outlet

    def served_at(self, *owners: Owner) -> None:
        """`f` is, as its shard says."""
        self.core.routes.lookup("default", "f", lambda _route: None)
        self.core.routes.on_owners(SHARD, FunctionOwners("function:default/f", 1, list(owners)))
        self.gateway.effects.take()

    def call(self, function: str = "f", **members: Any) -> str:
        id = str(uuid.uuid4())
        said = {"invocation_id": id, "data": {}, **members}
        self.gateway.say(self.caller, type="invokefunction", function_id=function, **said)
        return id

    def answer(self, worker: Worker, outlet: FakeOutlet, **outcome: Any) -> dict[str, Any]:
        """Ends the last call that reached the worker; returns its frame."""
        frame = [frame for frame in outlet.take() if frame["type"] == "invokefunction"][-1]
        said = {"invocation_id": frame["invocation_id"], "function_id": frame["function_id"], **outcome}
        self.gateway.say(worker, type="invocationresult", **said)
        return frame

    def invoke(self) -> Invoke:
        """The last call sent to another node."""
        sent: list[Invoke] = self.gateway.effects.take(Invoke)
        return sent[-1]

    def spans(self) -> list[Span]:
        return self.tracer.spool.take().spans

    def span(self) -> Span:
        (span,) = self.spans()
        return span


@pytest.fixture
def lab() -> Iterator[Lab]:
    """At the end nothing is left: what was begun has ended, once."""
    lab = Lab()
    yield lab
    lab.core.invocations.give_up("the test is over")
    assert lab.core.invocations.in_flight == 0
    ended = [span.span_id for span in lab.spans()]
    assert len(ended) == len(set(ended))
    assert not lab.tracer.under_way()


def attributes(span: Span) -> dict[str, str]:
    return dict(span.attributes)


def events(span: Span) -> list[str]:
    return [event.name for event in span.events]


# -- calls on this gateway -------------------------------------------------------------------------


def test_a_call_without_a_context_begins_a_trace_that_its_worker_goes_on_with(lab: Lab) -> None:
    worker, outlet = lab.serve()
    lab.call(baggage="iii.function.id=old,user=1")
    lab.now = 0.25
    frame = lab.answer(worker, outlet, result=1)
    span = lab.span()
    assert (span.name, span.kind, span.status, span.parent_span_id) == ("call f", Kind.SERVER, "ok", None)
    assert attributes(span) == {
        "function_id": "f",
        "faas.invoked_name": "f",
        "faas.trigger": "other",
        "iii.function.kind": "user",
    }
    assert frame["traceparent"] == f"00-{span.trace_id}-{span.span_id}-01"
    assert frame["baggage"] == "iii.function.id=f,user=1"
    assert (lab.counts.calls, lab.counts.seconds) == ([("f", "")], [0.25])
    assert lab.counts.exemplars == [span.trace_id]


def test_the_caller_gets_its_own_context_back(lab: Lab) -> None:
    worker, outlet = lab.serve()
    lab.call(traceparent=PARENT)
    frame = lab.answer(worker, outlet, result=1)
    span = lab.span()
    assert (span.trace_id, span.parent_span_id) == (TRACE_ID, PARENT.split("-")[2])
    assert frame["traceparent"] == f"00-{TRACE_ID}-{span.span_id}-01"
    assert lab.out.take()[-1]["traceparent"] == PARENT


def test_an_error_is_that_of_the_worker(lab: Lab) -> None:
    worker, outlet = lab.serve()
    lab.call()
    lab.answer(worker, outlet, error={"code": "E1", "message": "broken"})
    span = lab.span()
    assert (span.status, span.status_description, events(span)) == ("error", "E1: broken", ["exception"])
    assert lab.counts.calls == [("f", "E1")]


def test_a_call_that_is_not_recorded_carries_what_came_and_is_counted() -> None:
    lab = Lab(ratio=0.0)
    worker, outlet = lab.serve()
    lab.call(traceparent=PARENT)
    frame = lab.answer(worker, outlet, result=1)
    assert frame["traceparent"] == PARENT
    assert not lab.tracer.begun
    assert lab.counts.calls == [("f", "")]


def test_a_context_that_says_no_is_obeyed(lab: Lab) -> None:
    worker, outlet = lab.serve()
    refused = PARENT[:-1] + "0"
    lab.call(traceparent=refused)
    assert lab.answer(worker, outlet, result=1)["traceparent"] == refused
    assert not lab.tracer.begun


def test_a_call_that_wants_no_answer_ends_with_its_worker(lab: Lab) -> None:
    worker, outlet = lab.serve()
    lab.call(action={"type": "void"})
    assert not lab.spans()
    lab.answer(worker, outlet, result=1)
    assert lab.span().status == "ok"
    assert lab.counts.calls == [("f", "")]


def test_namespaces_are_told(lab: Lab) -> None:
    lab.call(namespace="shop")
    lab.core.routes.on_owners(SHARD, FunctionOwners("function:shop/f", 1, []))
    assert attributes(lab.span())["iii.namespace"] == "shop"
    assert lab.counts.calls == [("shop/f", "function_not_found")]


def test_two_calls_with_one_id_are_two(lab: Lab) -> None:
    worker, outlet = lab.serve()
    id = lab.call()
    lab.gateway.say(lab.caller, type="invokefunction", function_id="f", invocation_id=id, data=2)
    assert lab.span().status == "error"
    lab.answer(worker, outlet, result=1)
    assert lab.span().status == "ok"
    assert lab.counts.calls == [("f", "invocation_error"), ("f", "")]


# -- functions of the engine -----------------------------------------------------------------------


def _builtin(calls: list[tuple[Call, Done]]) -> Builtin:
    return lambda call, done: calls.append((call, done))


@pytest.mark.parametrize(
    ("function", "trace", "traced"),
    [
        ("state::set", {}, False),
        ("state::set", {"traceparent": PARENT}, True),
        ("engine::traces::list", {"traceparent": PARENT}, False),
    ],
)
def test_functions_of_the_engine_have_spans_in_traces_of_others(
    lab: Lab, function: str, trace: dict[str, str], traced: bool
) -> None:
    calls: list[tuple[Call, Done]] = []
    lab.core.builtins[function] = _builtin(calls)
    lab.call(function, **trace)
    ((call, done),) = calls
    done(b"1", b"")
    spans = lab.spans()
    assert [span.name for span in spans] == [f"call {function}"] * traced
    if traced:
        assert attributes(spans[0])["iii.function.kind"] == "internal"
        assert call.trace[0].decode() == f'"00-{TRACE_ID}-{spans[0].span_id}-01"'
    assert lab.counts.calls == [(function, "")]


def test_a_function_of_the_engine_at_a_shard_begins_no_trace(lab: Lab) -> None:
    lab.call("engine::queue::enqueue")
    assert not lab.tracer.begun


def test_a_job_continues_the_trace_of_who_enqueued_it(lab: Lab) -> None:
    calls: list[tuple[Call, Done]] = []
    lab.core.builtins["engine::queue::enqueue"] = _builtin(calls)
    lab.call(action={"type": "enqueue", "queue": "mail"})
    ((call, done),) = calls
    job = json.loads(call.data)
    done(b"null", b"")
    span = lab.span()
    assert (span.name, span.kind, span.status) == ("enqueue f → mail", Kind.PRODUCER, "ok")
    assert attributes(span)["queue"] == attributes(span)["messaging.destination.name"] == "mail"
    assert job["traceparent"] == f"00-{span.trace_id}-{span.span_id}-01"
    assert lab.counts.calls == [("engine::queue::enqueue", "")]
    assert lab.counts.queued == ["f"]


def test_a_job_that_no_queue_takes_is_an_error(lab: Lab) -> None:
    calls: list[tuple[Call, Done]] = []
    lab.core.builtins["engine::queue::enqueue"] = _builtin(calls)
    lab.call(action={"type": "enqueue", "queue": "mail"})
    calls[0][1](b"", b'{"code":"FULL","message":"no"}')
    assert attributes(lab.span())["error.type"] == "enqueue_error"
    assert lab.counts.calls == [("engine::queue::enqueue", "FULL")]
    assert not lab.counts.queued


def test_a_refused_call_is_counted_and_told_in_its_trace(lab: Lab) -> None:
    lab.call(namespace=" ", traceparent=PARENT)
    assert attributes(lab.span())["error.type"] == "INVALID_NAMESPACE"
    lab.call("x" * 5000, traceparent=PARENT)
    assert [code for _, code in lab.counts.calls] == ["INVALID_NAMESPACE"]


# -- calls that cross the bus, and what may happen to them -----------------------------------------


def test_a_call_served_elsewhere_names_the_node(lab: Lab) -> None:
    lab.served_at(Owner(OTHER, 5, "w-5"))
    lab.call()
    invoke = lab.invoke()
    lab.core.invocations.on_remote_result(OTHER, Result(invoke.id, b"1"))
    span = lab.span()
    assert attributes(span)["iii.node.callee"] == OTHER
    assert invoke.traceparent.decode() == f'"00-{span.trace_id}-{span.span_id}-01"'
    assert lab.counts.calls == [("f", "")]


def test_a_call_that_comes_from_elsewhere_is_that_gateways_to_tell_of(lab: Lab) -> None:
    worker, outlet = lab.serve()
    trace = f'"{PARENT}"'.encode()
    lab.core.invocations.on_invoke(OTHER, Invoke("there", worker.number, "f", b"{}", traceparent=trace))
    assert lab.answer(worker, outlet, result=1)["traceparent"] == PARENT
    assert not lab.tracer.begun
    assert not lab.counts.calls


def test_a_refused_call_that_is_sent_again_has_one_span(lab: Lab) -> None:
    lab.served_at(Owner(OTHER, 5, "w-5"), Owner(THIRD, 6, "w-6"))
    lab.call()
    (first,) = lab.gateway.effects.take()
    lab.core.invocations.on_refused(first[0], Refused(first[1]))
    (second,) = [(node, said) for node, said in lab.gateway.effects.take() if isinstance(said, Invoke)]
    assert second[0] != first[0]
    assert second[1].traceparent == first[1].traceparent
    lab.core.invocations.on_remote_result(second[0], Result(second[1].id, b"1"))
    span = lab.span()
    assert (events(span), span.status) == (["call.refused"], "ok")
    assert attributes(span)["iii.node.callee"] == second[0]
    assert lab.counts.calls == [("f", "")]


def test_a_parked_call_says_so(lab: Lab) -> None:
    lab.served_at(Owner(OTHER, 5, "w-5"))
    lab.core.on_reachable(OTHER, False)
    lab.call()
    lab.core.on_reachable(OTHER, True)
    lab.core.invocations.on_remote_result(OTHER, Result(lab.invoke().id, b"1"))
    assert events(lab.span()) == ["call.parked"]


def test_a_call_parked_for_too_long_ends(lab: Lab) -> None:
    lab.served_at(Owner(OTHER, 5, "w-5"))
    lab.core.on_reachable(OTHER, False)
    lab.call()
    lab.core.invocations.expire(100.0)
    assert events(lab.span()) == ["call.parked", "exception"]
    assert lab.counts.calls == [("f", "invocation_stopped")]


def test_a_call_whose_node_is_lost_ends(lab: Lab) -> None:
    lab.served_at(Owner(OTHER, 5, "w-5"))
    lab.call()
    invoke = lab.invoke()
    lab.gateway.use(cluster_map(GATEWAY, THIRD, SHARD, epoch=2))
    assert attributes(lab.span())["error.type"] == "invocation_stopped"
    lab.core.invocations.on_remote_result(OTHER, Result(invoke.id, b"1"))
    assert not lab.spans()
    assert lab.counts.calls == [("f", "invocation_stopped")]


def test_a_call_whose_worker_is_lost_ends_with_the_window(lab: Lab) -> None:
    worker, _ = lab.serve()
    lab.call()
    lab.core.disconnect(worker, back=True)
    assert not lab.spans()
    lab.core.invocations.expire(WINDOW)
    assert attributes(lab.span())["error.type"] == "invocation_stopped"


def test_a_call_whose_worker_goes_on_elsewhere_goes_on(lab: Lab) -> None:
    worker, _ = lab.serve()
    lab.call()
    (id,) = worker.serving
    lab.core.disconnect(worker, back=True, in_order=True)
    assert lab.core.invocations.adopt(worker.id, OTHER, 7) == {id: GATEWAY}
    assert lab.core.invocations.handover.moved([id], OTHER, 7) == [id]
    lab.core.invocations.handover.handed_over(worker.id)
    assert not lab.spans()
    lab.core.invocations.on_remote_result(OTHER, Result(id, b"1"))
    span = lab.span()
    assert (events(span), attributes(span)["iii.node.callee"]) == (["call.moved"], OTHER)
    assert lab.counts.calls == [("f", "")]


def test_a_call_whose_caller_comes_back_goes_on(lab: Lab) -> None:
    worker, outlet = lab.serve()
    lab.call()
    lab.core.disconnect(lab.caller, back=True)
    heir, out = lab.gateway.connect()
    lab.core.invocations.adopt(lab.caller.id, GATEWAY, heir.number)
    lab.answer(worker, outlet, result=1)
    assert lab.span().status == "ok"
    assert [frame["result"] for frame in out.take()] == [1]


def test_a_call_that_nobody_waits_for_any_more_ends_with_its_answer(lab: Lab) -> None:
    worker, outlet = lab.serve()
    lab.call()
    lab.core.disconnect(lab.caller, back=False)
    assert not lab.spans()
    lab.answer(worker, outlet, result=1)
    assert lab.span().status == "ok"
    assert lab.counts.calls == [("f", "")]


def test_a_call_that_was_not_sent_ends_with_its_caller(lab: Lab) -> None:
    lab.call()
    lab.core.disconnect(lab.caller, back=False)
    assert attributes(lab.span())["error.type"] == "invocation_stopped"
    lab.core.routes.on_owners(SHARD, FunctionOwners("function:default/f", 1, [Owner(OTHER, 5, "w-5")]))
    assert not lab.gateway.effects.take(Invoke)
    assert lab.counts.calls == [("f", "invocation_stopped")]


def test_a_gateway_that_goes_on_under_a_new_id_ends_calls_that_crossed_the_bus(lab: Lab) -> None:
    lab.served_at(Owner(OTHER, 5, "w-5"))
    lab.call()
    lab.core.reincarnate("gateway-dddddddd")
    assert lab.span().status == "error"
    assert lab.counts.calls == [("f", "invocation_stopped")]


def test_what_is_in_flight_when_the_gateway_stops_ends(lab: Lab) -> None:
    lab.serve()
    for _ in range(3):
        lab.call()
    lab.core.invocations.give_up("the gateway stops")
    assert [span.status for span in lab.spans()] == ["error"] * 3
    assert lab.counts.calls == [("f", "invocation_stopped")] * 3
