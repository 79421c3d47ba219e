"""Traces as trees."""

from collections.abc import Iterator, Sequence
from itertools import count

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from iii_cluster.modules.observability.shown import ENCODED, Branch, encoded_trees
from iii_cluster.modules.observability.tree import MAX_DEPTH, WRAPPERS, tree
from iii_cluster.telemetry.config import CollapseRule
from tests.support.spans import finished, span

Shape = dict[str, "Shape"]


def shape(branches: Sequence[Branch]) -> Shape:
    return {branch.span_id: shape(branch.children) for branch in branches}


def walk(branches: Sequence[Branch], depth: int = 1) -> Iterator[tuple[Branch, int]]:
    for branch in branches:
        yield branch, depth
        yield from walk(branch.children, depth + 1)


def test_children_are_below_the_span_that_caused_them_by_start() -> None:
    spans = [span("b", "a", start=3), span("a", start=1), span("c", "a", start=2), span("d", "b", start=4)]
    assert shape(finished(tree(spans))) == {"a": {"c": {}, "b": {"d": {}}}}
    assert list(shape(finished(tree(spans)))["a"]) == ["c", "b"]


def test_a_span_whose_parent_is_unknown_is_a_root() -> None:
    assert shape(finished(tree([span("a"), span("b", "gone")]))) == {"a": {}, "b": {}}


def test_of_spans_that_are_below_each_other_one_becomes_a_root() -> None:
    spans = [span("a", "c", start=1), span("b", "a", start=2), span("c", "b", start=3), span("self", "self", start=4)]
    assert shape(finished(tree(spans))) == {"a": {"b": {"c": {}}}, "self": {}}


def test_wrappers_that_caused_nothing_are_left_out() -> None:
    spans = [span("a"), span("w", "a", name="state_triggers"), span("v", "w", name="stream_triggers")]
    assert shape(finished(tree(spans))) == {"a": {}}
    assert shape(finished(tree([*spans, span("x", "w")]))) == {"a": {"w": {"x": {}}}}


def test_collapsed_spans_leave_their_children_one_level_up() -> None:
    spans = [span("a"), span("b", "a", name="noise"), span("c", "b", name="noise", service="other"), span("d", "c")]
    every = [CollapseRule("noise")]
    assert shape(finished(tree(spans, every))) == {"a": {"d": {}}}
    assert shape(finished(tree(spans, [CollapseRule("noise", "other")]))) == {"a": {"b": {"d": {}}}}
    assert shape(finished(tree(spans[1:], every))) == {"d": {}}


def test_a_wrapper_whose_children_were_collapsed_caused_nothing() -> None:
    spans = [span("a"), span("w", "a", name="state_triggers"), span("n", "w", name="noise")]
    assert shape(finished(tree(spans, [CollapseRule("noise")]))) == {"a": {}}


def test_a_very_deep_trace_stays_readable() -> None:
    spans = [span("0"), *(span(str(n), str(n - 1), start=n) for n in range(1, 5000))]
    found = list(walk(finished(tree(spans))))
    assert len(found) == 5000
    assert max(depth for _, depth in found) == MAX_DEPTH


def test_trees_are_encoded_a_few_spans_at_a_time() -> None:
    spans = [span("0", note="é"), *(span(str(n), str(n // 3), start=n) for n in range(1, 1000)), span("lost", "?")]
    roots = finished(tree(spans))
    turns = list(encoded_trees(roots))
    assert len(turns) == 1001 // ENCODED
    assert bytes(finished(encoded_trees(roots))) == msgspec.json.encode(roots)
    assert bytes(finished(encoded_trees([]))) == b"[]"


names = st.sampled_from(["call", "noise", *sorted(WRAPPERS)])


@st.composite
def traces(draw: st.DrawFn) -> list[tuple[int, int | None, str]]:
    """(span, parent, name): any parents at all, their own or unknown ones too."""
    size = draw(st.integers(0, 12))
    parents = st.one_of(st.none(), st.integers(0, size + 2))
    ids = count()
    return [(next(ids), draw(parents), draw(names)) for _ in range(size)]


@given(traces(), st.booleans())
def test_nothing_but_wrappers_and_collapsed_spans_is_ever_missing(
    made: list[tuple[int, int | None, str]], collapse: bool
) -> None:
    spans = [span(str(id), None if parent is None else str(parent), name=name) for id, parent, name in made]
    found = [branch.span_id for branch, _ in walk(finished(tree(spans, [CollapseRule("noise")] if collapse else [])))]
    assert len(found) == len(set(found))
    roots = finished(tree(spans, [CollapseRule("noise")] if collapse else []))
    assert bytes(finished(encoded_trees(roots))) == msgspec.json.encode(roots)
    wanted = {str(id) for id, _, name in made if name not in WRAPPERS and not (collapse and name == "noise")}
    assert wanted <= set(found) <= {str(id) for id, *_ in made}
    if not collapse:
        childless = {str(id) for id, *_ in made} - {str(parent) for _, parent, _ in made}
        assert not {str(id) for id, _, name in made if name in WRAPPERS and str(id) in childless} & set(found)
