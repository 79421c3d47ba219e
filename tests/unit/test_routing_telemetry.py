"""What a node without workers tells of its calls."""

import pytest

from iii_cluster.bus.envelopes import Refused, Result
from iii_cluster.routing import caller as callers
from iii_cluster.routing.telemetry import CallerTelemetry
from iii_cluster.telemetry.metrics.functions import Functions
from iii_cluster.telemetry.spool import Spool
from iii_cluster.telemetry.tracing import Tracer
from tests.support.caller import ME, A, B, Lab, cluster_map, owner
from tests.support.recorded import SAMPLED, SPAN_ID, UNSAMPLED, Spans, context_of, said


class Told:
    """A caller whose clock ticks once per look at it, and what it tells."""

    def __init__(self) -> None:
        spool = Spool()
        ticks = iter(range(1, 1_000_000))
        self.functions = Functions()
        self.spans = Spans(spool)
        self.lab = Lab(telemetry=CallerTelemetry(Tracer(spool), self.functions, lambda: float(next(ticks))))

    def count(self, function: str = "f") -> tuple[int, int]:
        """(calls, errors)"""
        numbers = self.functions.numbers().get(function)
        return (0, 0) if numbers is None else (numbers.count, numbers.errors)


def test_every_call_counts_once_when_it_ends_however_often_it_was_sent() -> None:
    told = Told()
    lab = told.lab
    lab.call()
    lab.owners(owner(A), owner(B))
    node, invoke = lab.taken_one()
    lab.get(node, Refused(invoke))
    _, again = lab.taken_one()
    assert told.count() == (0, 0)
    lab.get(node, Result(again.id))
    lab.get(node, Result(again.id))
    assert told.count() == (1, 0)
    assert told.functions.numbers()["f"].seconds == 1.0


def test_errors_count_under_their_code_and_other_namespaces_by_their_name() -> None:
    told = Told()
    lab = told.lab.known(owner(A))
    lab.call()
    lab.get(A, Result(lab.taken_one()[1].id, b"", b'{"code":"NO"}'))
    assert told.count() == (2, 1)
    assert told.functions.error_codes() == {"f": {"NO": 1}}
    lab.call(function="g", namespace="shop")
    lab.caller.close("the shard stops")
    assert told.count("shop/g") == (1, 1)


def test_a_call_that_nobody_waits_for_any_more_counts_when_it_ends() -> None:
    told = Told()
    lab = told.lab.known(owner(A))
    call = lab.call()
    call.forget()
    lab.get(A, Result(lab.taken_one()[1].id))
    assert told.count() == (2, 0)


def test_what_is_not_followed_to_its_end_does_not_count(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(callers, "MAX_UNAWAITED", 3)
    told = Told()
    lab = told.lab.known(owner(A))
    for _ in range(5):
        lab.caller.call("f", b"1")
    unsent = lab.call("named", once="job-1", function="other")
    unsent.forget()
    assert told.count() == (1, 0)


def test_the_end_of_what_another_node_called_is_not_counted_here() -> None:
    told = Told()
    told.lab.known(owner(A))
    told.lab.caller.expect("11111111-1111-4111-8111-111111111111", A, lambda _result, _error: None)
    told.lab.get(A, Result("11111111-1111-4111-8111-111111111111"))
    assert told.count() == (1, 0)


def test_a_call_in_a_trace_has_a_span_which_is_what_the_function_continues() -> None:
    told = Told()
    lab = told.lab.known(owner(A))
    lab.call(traceparent=SAMPLED[0], baggage=SAMPLED[1])
    _, invoke = lab.taken_one()
    lab.get(A, Result(invoke.id, b"", b'{"code":"NO","message":"no"}'))
    span = told.spans.named("call f")
    assert (span.parent_span_id, span.status) == (SPAN_ID, "error")
    assert invoke.traceparent == context_of(span)
    assert invoke.baggage == b'"user=ana,iii.function.id=f"'
    attributes = said(span)
    assert attributes["iii.node.callee"] == A
    assert (attributes["function_id"], attributes["iii.function.kind"], attributes["error.type"]) == ("f", "user", "NO")


@pytest.mark.parametrize(
    "more",
    [
        {},
        {"traceparent": UNSAMPLED[0], "baggage": UNSAMPLED[1]},
        {"traceparent": SAMPLED[0], "baggage": SAMPLED[1], "once": "job-1"},  # a delivery: its module's to tell of
        {"traceparent": SAMPLED[0], "baggage": SAMPLED[1], "function": "engine::traces::list"},
    ],
)
def test_other_calls_have_none_and_pass_on_what_they_were_given(more: dict[str, str]) -> None:
    told = Told()
    lab = Lab.known(told.lab, owner(A))
    lab.call(**more)  # type: ignore[arg-type]
    if more.get("function"):
        lab.caller.on_map(cluster_map(1, A, B))
        lab.caller.close(f"{ME} stops")
    else:
        _, invoke = lab.taken_one()
        assert (invoke.traceparent, invoke.baggage) == (more.get("traceparent", b""), more.get("baggage", b""))
        lab.get(A, Result(invoke.id))
    assert told.spans.names() == []
