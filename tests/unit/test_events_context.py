"""Contexts of events: what goes into an outbox comes out of it."""

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from iii_cluster.modules.events.context import MAX_BAGGAGE, lines_of, read
from iii_cluster.telemetry.tracing import NO_TRACE, Trace

# As JSON strings: whatever a client may have written into one, or nothing.
texts = st.one_of(st.just(b""), st.text(max_size=40).map(msgspec.json.encode))


@given(st.lists(st.tuples(texts, texts), min_size=1, max_size=5))
def test_each_event_has_its_own(traces: list[Trace]) -> None:
    lines = lines_of(traces)
    if any(trace != NO_TRACE for trace in traces):
        assert [read(line) for line in lines.split(b"\n")] == traces
    else:
        assert lines == b""
        assert read(lines) == NO_TRACE


@pytest.mark.parametrize("said", [b"17", b'{"a":\n1}', b'"a\nb"', b'"a\tb"', b'"' + b"x" * MAX_BAGGAGE + b'"'])
def test_what_is_no_text_or_too_long_stays_behind(said: bytes) -> None:
    assert read(lines_of([(b'"t"', said)])) == (b'"t"', b"")


def test_none_is_read_of_what_former_versions_wrote() -> None:
    assert read(b"") == NO_TRACE
