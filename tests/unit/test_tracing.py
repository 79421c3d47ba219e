"""Spans and the context that travels."""

from random import Random

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from iii_cluster.protocol import errors
from iii_cluster.telemetry.context import NO_TRACE, Parent, for_function, ids_of, left_out, parent_of
from iii_cluster.telemetry.kinds import is_internal, is_observability, kind_of
from iii_cluster.telemetry.records import Kind, Span
from iii_cluster.telemetry.sampling import Sampler
from iii_cluster.telemetry.spool import Spool
from iii_cluster.telemetry.tracing import Recording, Tracer

TRACE_ID = "0af7651916cd43dd8448eb211c80319c"
SPAN_ID = "b7ad6b7169203331"
PARENT = f'"00-{TRACE_ID}-{SPAN_ID}-01"'.encode()


class Clock:
    def __init__(self) -> None:
        self.now = 1_000

    def __call__(self) -> int:
        self.now += 1
        return self.now


@pytest.fixture
def tracer() -> Tracer:
    return Tracer(Spool(), clock=Clock(), random=Random(1))


def begun(recording: Recording | None) -> Recording:
    assert recording is not None
    return recording


def ended(tracer: Tracer) -> Span:
    (span,) = tracer.spool.take().spans
    return span


# -- context ---------------------------------------------------------------------------------------


def test_a_parent_is_read() -> None:
    assert parent_of(PARENT) == Parent(TRACE_ID, SPAN_ID, True)
    assert parent_of(PARENT[:-3] + b'00"') == Parent(TRACE_ID, SPAN_ID, False)
    assert parent_of(b'"cc' + PARENT[3:-1] + b'-later"') == Parent(TRACE_ID, SPAN_ID, True)
    assert parent_of(PARENT[:-3] + b'03"') == Parent(TRACE_ID, SPAN_ID, True, True)
    assert ids_of(PARENT) == (TRACE_ID, SPAN_ID)


@pytest.mark.parametrize(
    "text",
    [
        "", '""', "null", "7", '{"a":1}', TRACE_ID, f'"00-{TRACE_ID}-{SPAN_ID}-01-more"',
        f'"ff-{TRACE_ID}-{SPAN_ID}-01"',
        f'"00-{"0" * 32}-{SPAN_ID}-01"', f'"00-{TRACE_ID}-{"0" * 16}-01"', f'"00-{TRACE_ID.upper()}-{SPAN_ID}-01"',
        f'"00-{TRACE_ID}-{SPAN_ID}-01"\n',
    ],
)  # fmt: skip
def test_what_is_no_valid_parent_is_none(text: str) -> None:
    assert parent_of(text.encode()) is None
    assert ids_of(text.encode()) == ("", "")


@given(st.binary())
def test_any_bytes_may_come(raw: bytes) -> None:
    parent_of(raw)
    for_function(raw, "a::b")
    for_function(b'"iii.function.id=' + raw + b'"', "a::b")


@given(st.from_regex(rb'"0[01]-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}"', fullmatch=True))
def test_what_is_left_out_is_seen_at_a_glance(raw: bytes) -> None:
    parent = parent_of(raw)
    assert left_out(raw) == (raw[-2] in b"02468ace")
    assert parent is None or left_out(raw) != parent.sampled


def test_baggage_names_the_function_that_is_called() -> None:
    said = b'"user=1,iii.function.id=old;p=1, iii.function.id =older,z=iii.function.id"'
    rewritten = for_function(said, "orders::create,x")
    one = "iii.function.id=orders::create%2Cx"
    assert msgspec.json.decode(rewritten) == f"user=1,{one},{one},z=iii.function.id"
    assert for_function(b'"user=1"', "orders::create") == b'"user=1"'


def test_functions_are_users_or_internal() -> None:
    assert kind_of("state::set") == kind_of("publish") == kind_of("iii::durable::publish") == "internal"
    assert kind_of("orders::create") == kind_of("publisher") == "user"
    assert all(map(is_observability, ("engine::traces::list", "engine::log::info", "engine::nodes::list")))
    assert not is_observability("engine::functions::list")
    assert is_internal("engine::functions::list")


# -- spans -----------------------------------------------------------------------------------------


def test_a_span_continues_the_trace_that_came(tracer: Tracer) -> None:
    recording = begun(tracer.begin("call a", (PARENT, b'"k=v"'), Kind.SERVER))
    assert recording.trace == (f'"00-{TRACE_ID}-{recording.span_id}-01"'.encode(), b'"k=v"')
    assert recording.incoming == (PARENT, b'"k=v"')
    recording.end()
    span = ended(tracer)
    assert (span.trace_id, span.parent_span_id, span.span_id) == (TRACE_ID, SPAN_ID, recording.span_id)
    assert (span.status, span.kind, span.name, span.service_name) == ("ok", Kind.SERVER, "call a", "iii")
    assert span.end_time_unix_nano > span.start_time_unix_nano > 1_000


def test_a_span_begins_a_trace_where_there_is_none_unless_told_not_to(tracer: Tracer) -> None:
    assert tracer.begin("call a", root=False) is None
    recording = begun(tracer.begin("call a"))
    parent = parent_of(recording.trace[0])
    assert parent == Parent(recording.trace_id, recording.span_id, True)
    recording.end()
    assert ended(tracer).parent_span_id is None


def test_a_context_that_makes_no_sense_begins_a_trace(tracer: Tracer) -> None:
    assert begun(tracer.begin("call a", (b"17", b"")))
    assert tracer.begin("call a", (b"17", b""), root=False) is None


def test_attributes_are_text_and_the_last_one_counts(tracer: Tracer) -> None:
    tracer.node = "gateway-1"
    recording = begun(tracer.begin("call a::b", (PARENT, b'"iii.function.id=x"'), function="a::b"))
    recording.set("n", 1)
    recording.set("on", True)
    recording.set("n", 2.5)
    recording.end()
    assert ended(tracer).attributes == [
        ("iii.node", "gateway-1"),
        ("function_id", "a::b"),
        ("n", "2.5"),
        ("on", "true"),
    ]
    assert recording.trace[1] == b'"iii.function.id=a::b"'


def test_an_error_is_told_with_an_event(tracer: Tracer) -> None:
    recording = begun(tracer.begin("call a"))
    recording.event("call.parked", {"iii.node": "b"})
    recording.end(b'{"code":"E1","message":"broken","stacktrace":"at x"}')
    span = ended(tracer)
    assert (span.status, span.status_description) == ("error", "E1: broken")
    assert span.attributes == [("error.type", "E1"), ("error.message", "broken"), ("error.stack", "at x")]
    assert [event.name for event in span.events] == ["call.parked", "exception"]
    assert span.events[1].attributes == [
        ("exception.type", "E1"),
        ("exception.message", "broken"),
        ("exception.stacktrace", "at x"),
    ]


def test_an_error_that_cannot_be_read_and_a_long_one_are_told_too(tracer: Tracer) -> None:
    begun(tracer.begin("call a")).end(b"oops")
    assert ended(tracer).status_description == "UNKNOWN: oops"
    begun(tracer.begin("call a")).end(errors.error_body("c" * 10_000, "m" * 100_000))
    span = ended(tracer)
    assert sum(len(key) + len(value) for key, value in span.attributes) < 5000


def test_a_span_ends_once(tracer: Tracer) -> None:
    recording = begun(tracer.begin("call a"))
    recording.end()
    recording.end(errors.error_body("late", "late"))
    recording.event("late")
    span = ended(tracer)
    assert (span.status, span.events) == ("ok", [])


def test_a_clock_that_is_set_back_makes_no_negative_span() -> None:
    times = iter((100, 50))
    tracer = Tracer(Spool(), clock=lambda: next(times))
    begun(tracer.begin("call a")).end()
    span = ended(tracer)
    assert span.end_time_unix_nano == span.start_time_unix_nano == 100


def test_what_is_off_or_never_sampled_records_nothing() -> None:
    for tracer in (Tracer(Spool(), enabled=False), Tracer(Spool(), sampler=Sampler(0.0))):
        assert not tracer.enabled
        assert tracer.begin("call a", (PARENT, b"")) is None
        assert tracer.begin("call a", NO_TRACE) is None


def test_that_a_trace_id_is_random_is_passed_on(tracer: Tracer) -> None:
    for flags in (b'01"', b'03"'):
        assert begun(tracer.begin("call a", (PARENT[:-3] + flags, b""))).trace[0].endswith(flags)
