"""Choosing spans, and what traces have in common."""

import asyncio
import random
from itertools import count
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from iii_cluster.modules.observability import spans as choosing
from iii_cluster.modules.observability.groups import grouped
from iii_cluster.modules.observability.inputs import GroupTraces, ListTraces
from iii_cluster.modules.observability.turns import TURN, page, patiently
from iii_cluster.protocol.errors import EngineError
from iii_cluster.telemetry.records import Span
from tests.support.spans import MS, finished, span

NOW = 1_000_000 * MS


def ids(spans: list[Span], **asked: Any) -> list[str]:
    return [each.span_id for each in listed(spans, **asked).page]


def listed(spans: list[Span], **asked: Any) -> choosing.Listed:
    return finished(choosing.listed(spans, msgspec.convert(asked, ListTraces), NOW))


TRACES = [
    span("a", start=10, end=30, service="Shop", name="POST /orders", trace="1", user="7"),
    span("b", "a", start=12, end=20, service="billing", name="charge", status="error", trace="1", card="visa"),
    span("c", "remote", start=20, end=25, service="shop", name="GET /orders", trace="2"),
    span("d", start=5, end=100, service="cron", name="nightly", trace="3", status="error"),
    span("e", start=1, end=2, name="call engine::x", trace="4", function_id="engine::x"),
    span("f", start=3, end=4, name="call state::get", trace="5", iii__function__kind="internal"),
]


def test_traces_are_listed_by_their_roots_a_parent_elsewhere_makes_one() -> None:
    assert ids(TRACES) == ["d", "a", "c"]
    assert ids(TRACES, include_internal=True) == ["e", "f", "d", "a", "c"]


@pytest.mark.parametrize(
    ("asked", "wanted"),
    [
        ({"service_name": "SHOP"}, ["a", "c"]),
        ({"name": "orders"}, ["a", "c"]),
        ({"name": "charge"}, []),
        ({"name": "charge", "search_all_spans": True}, ["b"]),
        ({"search_all_spans": True}, ["d", "a", "b", "c"]),
        ({"status": "ERR"}, ["d"]),
        ({"attributes": [["user", "7"]]}, ["a"]),
        ({"attributes": [["user", 7]]}, ["a"]),
        ({"attributes": [["card", "visa"]]}, []),
        ({"attributes": [["card", "visa"]], "search_all_spans": True}, ["b"]),
        ({"attributes": [["user", "7"], ["card", "visa"]]}, []),
        ({"exclude_attributes": [["user", "7"], ["x", "y"]]}, ["d", "c"]),
        ({"trace_id": "1"}, ["a"]),
        ({"trace_ids": ["2", "3", "none"]}, ["d", "c"]),
        ({"trace_id": "1", "trace_ids": ["2"]}, []),
        ({"min_duration_ms": 20}, ["d", "a"]),
        ({"max_duration_ms": 20}, ["a", "c"]),
        ({"min_duration_ms": 5, "max_duration_ms": 5}, ["c"]),
        ({"start_time": 31}, ["d"]),
        ({"end_time": 9}, ["d"]),
        ({"start_time": 30, "end_time": 30}, ["d", "a"]),
        ({"sort_order": "desc"}, ["c", "a", "d"]),
        ({"sort_by": "duration"}, ["c", "a", "d"]),
        ({"sort_by": "duration_ms", "sort_order": "desc"}, ["d", "a", "c"]),
        ({"sort_by": "service_name"}, ["a", "d", "c"]),
        ({"sort_by": "name"}, ["c", "a", "d"]),
        ({"offset": 1, "limit": 1}, ["a"]),
        ({"limit": 0}, []),
        ({"offset": 10}, []),
    ],
)
def test_filters_order_and_pages(asked: dict[str, Any], wanted: list[str]) -> None:
    assert ids(TRACES, **asked) == wanted


def test_the_total_is_of_all_pages() -> None:
    assert listed(TRACES, limit=1).total == 3


def test_a_span_that_goes_on_has_lasted_until_now() -> None:
    waiting = [span("w", start=1, pending=True), *TRACES]
    assert ids(waiting, min_duration_ms=500_000) == ["w"]
    assert ids(waiting, start_time=900_000) == ["w"]


@pytest.mark.parametrize("field", ["start_time", "end_time", "min_duration_ms", "max_duration_ms"])
def test_a_time_that_no_span_can_have_is_refused(field: str) -> None:
    with pytest.raises(EngineError) as refused:
        listed(TRACES, **{field: 2**63})
    assert refused.value.code == "time_value_overflow"


def test_tags_of_a_trace_come_from_all_its_spans_the_latest_is_right() -> None:
    tagged = [
        span("a", start=1, trace="1", iii__tag__kind="old", iii__session__id="s"),
        span("b", "a", start=3, trace="1", iii__tag__kind="new", iii__message__id="m", other="x"),
        span("c", "a", start=2, trace="1", iii__tag__kind="between", iii__session__name="n"),
        span("d", start=1, trace="2", iii__tag__kind="not asked for"),
    ]
    wanted = {"iii.tag.kind": "new", "iii.session.id": "s", "iii.session.name": "n", "iii.message.id": "m"}
    assert finished(choosing.tags_of(tagged, {"1"})) == {"1": wanted}


@given(st.lists(st.tuples(st.integers(0, 20), st.booleans())), st.integers(0, 9), st.integers(0, 9), st.booleans())
def test_a_page_is_a_part_of_all_in_order(
    items: list[tuple[int, bool]], offset: int, limit: int, descending: bool
) -> None:
    many = items * 600  # of several runs
    wanted = sorted(many, key=lambda item: item[0], reverse=descending)[offset : offset + limit]
    assert finished(page(many, lambda item: item[0], offset, limit, descending=descending)) == wanted


def test_groups_tell_of_all_spans_with_a_value() -> None:
    spans = [
        span("a", start=10, end=40, trace="1", session="s", label="first"),
        span("b", "a", start=20, end=25, trace="1", session="s", label="newest", status="error"),
        span("c", start=15, end=16, trace="2", session="s"),
        span("d", start=90, end=91, trace="3", session="t"),
        span("e", start=95, trace="4", session="s", function_id="engine::x"),
        span("f", start=95, trace="5"),
    ]
    asked = GroupTraces("session", label_attribute="label")
    last, first = finished(grouped(spans, asked, NOW))
    assert (last.value, last.label, last.span_count) == ("t", None, 1)
    assert (first.value, first.label, first.trace_ids) == ("s", "newest", ["1", "2"])
    assert (first.span_count, first.error_count) == (3, 1)
    assert (first.first_seen_ms, first.last_seen_ms, first.duration_ms) == (10, 20, 30.0)
    assert [group.value for group in finished(grouped(spans, GroupTraces("session", since_ms=50), NOW))] == ["t"]
    assert [group.value for group in finished(grouped(spans, GroupTraces("session", limit=1), NOW))] == ["t"]
    internal = finished(grouped(spans, GroupTraces("session", include_internal=True), NOW))
    assert [(group.value, group.span_count) for group in internal] == [("s", 4), ("t", 1)]


async def test_a_long_query_lets_others_have_their_turn() -> None:
    rng = random.Random(1)
    spans = [span(f"{n}", start=rng.randrange(10**6), trace=f"{n // 3}", n=str(n)) for n in range(4000)]
    turns = 0

    async def others() -> None:
        nonlocal turns
        while True:
            turns += 1
            await asyncio.sleep(0)

    task = asyncio.create_task(others())
    clock = count(step=TURN)  # each look at it finds a whole turn gone
    await patiently(choosing.listed(spans, ListTraces(sort_by="duration"), NOW), clock=lambda: next(clock))
    task.cancel()
    assert turns > 10
