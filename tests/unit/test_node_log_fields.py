from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from iii_cluster.node.log_fields import fields_of, message_of
from iii_cluster.node.log_limits import MAX_KINDS, Limit


@pytest.mark.parametrize(
    ("template", "args", "fields"),
    [
        ("action=job_dead queue=%s attempts=%d", ("q", 3), {"action": "job_dead", "queue": "q", "attempts": 3}),
        ("action=%s_cut %s reason=no pong", ("worker", "w1"), {"action": "worker_cut w1", "reason": "no pong"}),
        ("action=x error=%r ratio=%.1f", ("a b", 0.25), {"action": "x", "error": "a b", "ratio": 0.25}),
        ("action=x ok=%s share=100%%", (True,), {"action": "x", "ok": True, "share": "100%"}),
        ("action=x parts=%s", ([1, 2],), {"action": "x", "parts": "[1, 2]"}),
        ("%s", ("action=http_request status=200",), {"action": "http_request", "status": "200"}),
        ("%s", ("free text with a=b",), {}),
        ("Free text, a=%s", ("b",), {}),
        ("action=x a=%(b)s", ({"b": 1},), {}),
        ("action=x too=%d few=%d", (1,), {"action": "x", "too": 1, "few": "%d"}),
        (ValueError("action=x"), (), {}),
    ],
)
def test_a_line_is_a_list_of_fields(template: Any, args: Any, fields: dict[str, Any]) -> None:
    assert fields_of(template, args) == fields


@given(st.text())
def test_no_value_makes_a_field_of_its_own(value: str) -> None:
    assert fields_of("action=x a=%s b=%s", (value, value)) == {"action": "x", "a": value, "b": value}


@given(st.text())
def test_nor_in_the_text_of_a_line(value: str) -> None:
    line = message_of("action=x a=%s b=%s", (f"{value} b=forged", 1))
    assert line.endswith(" b=1")
    assert " b=forged b=1" not in line
    assert message_of("action=x a=%s n=%d%%", ("no space", 5)) == "action=x a=no space n=5%"
    assert message_of("Free text of %s", (" a=b",)) == "Free text of  a=b"


@given(st.lists(st.tuples(st.sampled_from("abc"), st.floats(0, 3)), max_size=60))
def test_what_is_not_written_is_told(steps: list[tuple[str, float]]) -> None:
    limit = Limit(2, 5.0)
    written = told = 0
    now = 0.0
    for kind, pause in steps:
        now += pause
        told += sum(count for _, count in limit.ended(now))
        written += limit.admits((kind, ""), now)
    told += sum(count for _, count in limit.ended(float("inf")))
    assert written + told == len(steps)
    assert limit.next == float("inf")


def test_kinds_without_end_are_neither_remembered_nor_left_out() -> None:
    limit = Limit(1, 5.0)
    assert all(limit.admits((str(n), ""), 0.0) for n in range(MAX_KINDS * 2))
    assert limit.admits(("new", ""), 6.0)
    assert not limit.admits(("new", ""), 6.0)
