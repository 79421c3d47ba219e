"""Traces judged by all of their spans."""

from typing import Any

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from iii_cluster.modules.observability.inputs import ListTraces
from iii_cluster.modules.observability.summaries import MAX_SERVICES, Summaries, summaries
from iii_cluster.telemetry.records import Span
from tests.support.spans import MS, finished, span

NOW = 1000 * MS
ORDER = [
    span("1", start=0, end=150, service="iii", name="POST /orders", trace="a"),
    span("2", "1", start=20, end=60, service="prices-node", name="prices::quote", trace="a"),
    span("3", "1", start=140, end=3000, service="shop", name="mail::send", trace="a", status="error", job="7"),
]
OTHERS = [
    span("4", start=5, end=6, name="GET /x", trace="b", service="iii"),
    span("5", start=3, end=4, name="call state::get", trace="c", iii__function__kind="internal"),
]


def listed(spans: list[Span], **asked: Any) -> Summaries:
    return finished(summaries(spans, msgspec.convert(asked, ListTraces), NOW))


def found(spans: list[Span] = ORDER + OTHERS, **asked: Any) -> list[str]:
    return [each.trace_id for each in listed(spans, **asked).page]


def test_a_trace_of_which_a_later_span_failed_has_failed_and_lasts_as_long_as_all_of_it() -> None:
    [one] = listed(ORDER).page
    assert (one.name, one.service_name, one.status) == ("POST /orders", "iii", "error")
    assert (one.duration_ns, one.first_duration_ns) == (3000 * MS, 150 * MS)
    assert (one.span_count, one.error_count, one.services) == (3, 1, ["iii", "prices-node", "shop"])


def test_status_and_duration_are_asked_of_the_whole_name_and_service_of_any_one_span() -> None:
    assert found(status="error") == ["a"]
    assert found(min_duration_ms=1000) == ["a"]
    assert found(max_duration_ms=1000) == ["b"]
    assert found(name="QUOTE") == found(service_name="node") == found(attributes=[["job", 7]]) == ["a"]
    assert found(name="quote", service_name="shop") == []
    assert found(exclude_attributes=[["job", "7"]]) == ["b"]
    assert found(start_time=1000) == ["a"]


def test_traces_that_begin_inside_of_the_engine_are_left_out_unless_asked_for() -> None:
    assert found() == ["b", "a"][::-1]
    assert found(include_internal=True, sort_order="desc") == ["b", "c", "a"]


def test_a_span_that_goes_on_keeps_its_trace_open() -> None:
    [one] = listed([span("1", start=0, end=5, trace="a"), span("2", "1", start=2, pending=True, trace="a")]).page
    assert (one.end_time_unix_nano, one.duration_ns) == (0, NOW)


def test_until_the_first_span_comes_the_earliest_stands_for_it() -> None:
    late = [span("3", "2", start=4, name="c"), span("2", "1", start=2, name="b"), span("9", "8", start=3, name="d")]
    assert listed(late).page[0].name == "b"
    assert listed([*late, span("1", start=2, name="a")]).page[0].name == "a"


def test_of_many_services_some_are_named() -> None:
    assert len(listed([span(str(n), service=str(n)) for n in range(99)]).page[0].services) == MAX_SERVICES


@given(st.lists(st.tuples(st.integers(0, 5), st.integers(0, 99), st.booleans())), st.integers(0, 6), st.integers(0, 6))
def test_pages_are_parts_of_one_order(made: list[tuple[int, int, bool]], offset: int, limit: int) -> None:
    spans = [
        span(str(n), trace=str(trace), start=start, end=start, status="error" if failed else "ok")
        for n, (trace, start, failed) in enumerate(made)
    ]
    every = listed(spans, limit=1000)
    part = listed(spans, offset=offset, limit=limit)
    assert part.page == every.page[offset : offset + limit]
    assert part.total == len({trace for trace, _, _ in made})
    assert sum(each.error_count for each in every.page) == sum(failed for _, _, failed in made)
