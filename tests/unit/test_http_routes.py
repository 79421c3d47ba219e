"""Routing: which trigger serves a request, against a naive matcher."""

import json

import hypothesis.strategies as st
import pytest
from hypothesis import given
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from gateway.http.routes import Match, Routes
from iii_cluster.bus.envelopes import Trigger
from iii_cluster.modules.http.paths import METHODS, read_route, rival


def trigger(trigger_id: str, path: str, method: str = "GET", function: str = "f") -> Trigger:
    config = {"api_path": path, "http_method": method}
    return Trigger(trigger_id, "http", function, json.dumps(config).encode())


def routes_of(*paths: str) -> Routes:
    routes = Routes()
    routes.update([trigger(path, path) for path in paths])
    return routes


def found(match: Match | None) -> tuple[str, dict[str, str]] | None:
    return None if match is None else (match.bound.trigger.id, match.parameters)


def test_a_literal_wins_over_a_parameter_and_a_parameter_over_a_wildcard() -> None:
    routes = routes_of("a/b", "a/:x", "a/*")
    assert found(routes.match("GET", "a/b")) == ("a/b", {})
    assert found(routes.match("GET", "a/c")) == ("a/:x", {"x": "c"})
    assert found(routes.match("GET", "a/c/d")) == ("a/*", {"*": "c/d"})


def test_a_literal_that_leads_nowhere_gives_way() -> None:
    routes = routes_of("a/b/c", "a/:x/d", ":x/b/:z")
    assert found(routes.match("GET", "a/b/d")) == ("a/:x/d", {"x": "b"})
    assert found(routes.match("GET", "a/b/e")) == (":x/b/:z", {"x": "a", "z": "e"})


def test_parameters_are_given_as_they_are_in_the_url() -> None:
    routes = routes_of("users/:id/files/*path")
    match = routes.match("GET", "users/a%2Fb+c/files/d%20e/../f//")
    assert found(match) == ("users/:id/files/*path", {"id": "a%2Fb+c", "path": "d%20e/../f//"})


@pytest.mark.parametrize(
    ("template", "path"),
    [
        ("a b", "a%20b"),
        ("a%20b", "a%20b"),
        ("größe/:id", "gr%C3%B6%c3%9fe/1"),
        ("größe/:id", "größe/1"),
        ("gr%c3%b6%C3%9Fe/*", "gr%C3%B6%C3%9Fe/1"),
        ("orders", "%6frders"),
        ("100%", "100%25"),
        ("a%2Fb", "a%2fb"),
        ("%3Aid", ":id"),
        ("%3A", "%3a"),
        ("a+b", "a+b"),
    ],
)
def test_literals_are_compared_as_what_they_stand_for(template: str, path: str) -> None:
    match = routes_of(template).match("GET", path)
    assert match is not None
    assert match.bound.trigger.id == template


@pytest.mark.parametrize(
    ("template", "path"), [("a/b", "a%2Fb"), ("a%2Fb", "a/b"), ("a b", "a+b"), ("%3A", "x"), ("%2A", "a/b"), ("a", "A")]
)
def test_an_encoded_slash_separates_nothing_and_no_encoded_literal_is_a_parameter(template: str, path: str) -> None:
    assert routes_of(template).match("GET", path) is None


def test_parameters_stay_raw_where_literals_are_encoded() -> None:
    match = routes_of("a b/:id/*rest").match("GET", "%61%20b/x%2Fy/%7e/z")
    assert match is not None
    assert match.parameters == {"id": "x%2Fy", "rest": "%7e/z"}


def test_one_several_no_and_mixed_parameters() -> None:
    routes = routes_of("plain", ":only", "a/:x/b/:y")
    assert found(routes.match("GET", "plain")) == ("plain", {})
    assert found(routes.match("GET", "other")) == (":only", {"only": "other"})
    assert found(routes.match("GET", "a/1/b/2")) == ("a/:x/b/:y", {"x": "1", "y": "2"})
    assert routes.match("GET", "a/1/b") is None


def test_a_parameter_does_not_match_nothing_and_a_wildcard_takes_at_least_one_segment() -> None:
    routes = routes_of("a/:x", "b/*")
    assert routes.match("GET", "a/") is None
    assert routes.match("GET", "a") is None
    assert routes.match("GET", "b") is None
    assert routes.match("GET", "b/") is None
    assert found(routes.match("GET", "b//c")) == ("b/*", {"*": "/c"})


def test_trailing_slashes_and_case_count() -> None:
    routes = routes_of("a", "b/")
    assert routes.match("GET", "a/") is None
    assert routes.match("GET", "b") is None
    assert routes.match("GET", "A") is None
    assert found(routes.match("GET", "b/")) == ("b/", {})


def test_the_root_and_a_leading_slash_are_the_same_in_all_forms() -> None:
    for form in ("/", ""):
        assert found(routes_of(form).match("GET", "")) == (form, {})
    assert found(routes_of("/a").match("GET", "a")) == ("/a", {})


def test_an_unknown_method_is_never_routed_and_disturbs_nobody() -> None:
    routes = Routes()
    routes.update([trigger("1", "a", "BREW"), trigger("2", "a", "get")])
    assert routes.match("BREW", "a") is None
    assert found(routes.match("GET", "a")) == ("2", {})
    assert len(routes) == 1


def test_methods_of_a_path_name_head_where_there_is_get() -> None:
    routes = Routes()
    routes.update([trigger("1", "a", "GET"), trigger("2", ":x", "DELETE"), trigger("3", "b", "POST")])
    assert routes.methods("a") == ["GET", "HEAD", "DELETE"]
    assert routes.methods("b") == ["POST", "DELETE"]
    assert routes.methods("a/b") == []


def test_the_last_bound_trigger_of_a_route_serves_and_then_the_one_before() -> None:
    routes = Routes()
    one, two = trigger("1", "/a/:x", function="one"), trigger("2", "a/:x", function="two")
    routes.update([one, two])
    assert found(routes.match("GET", "a/b")) == ("2", {"x": "b"})
    routes.update([two, one])  # bound anew
    assert found(routes.match("GET", "a/b")) == ("1", {"x": "b"})
    routes.update([two])
    assert found(routes.match("GET", "a/b")) == ("2", {"x": "b"})
    routes.update([])
    assert routes.match("GET", "a/b") is None
    assert len(routes) == 0


def test_a_trigger_that_moves_leaves_its_old_route() -> None:
    routes = Routes()
    routes.update([trigger("1", "a/:x")])
    routes.update([trigger("1", "b")])
    assert routes.match("GET", "a/x") is None
    assert found(routes.match("GET", "b")) == ("1", {})


def test_what_no_check_has_let_pass_is_left_out() -> None:
    routes = Routes()
    routes.update([Trigger("1", "http", "f", b"null"), Trigger("2", "http", "f", b"{"), trigger("3", "a")])
    assert len(routes) == 1


def test_what_is_known_of_a_trigger_stays_while_others_come_and_go() -> None:
    routes = Routes()
    kept = trigger("1", "a")
    routes.update([kept])
    before = routes.match("GET", "a")
    routes.update([kept, trigger("2", "b")])
    after = routes.match("GET", "a")
    assert before is not None
    assert after is not None
    assert after.bound is before.bound


# -- against a naive matcher ---------------------------------------------------------------------------

SEGMENTS = st.sampled_from(["a", "b", ":x", ":y", ""])
PATHS = st.builds(
    lambda parts, end: "/".join([*parts, *end]),
    st.lists(SEGMENTS, min_size=1, max_size=3),
    st.sampled_from([[], ["*"], ["*r"], ["{*r}"]]),
).filter(lambda path: path.count(":x") < 2 and path.count(":y") < 2)
ASKED = st.lists(st.sampled_from(["a", "b", "c", ""]), min_size=1, max_size=4).map("/".join)


def excluded(bound: dict[str, Trigger], new: Trigger) -> bool:
    mine = rival(new)
    rivals = [other for known in bound.values() if (other := rival(known)) is not None]
    return mine is not None and any(mine.key == other.key and mine != other for other in rivals)


def fits(segments: tuple[str, ...], asked: list[str]) -> bool:
    if segments[-1:] == ("*",):
        head, rest = segments[:-1], asked[len(segments) - 1 :]
        return rest not in ([], [""]) and fits(head, asked[: len(head)])
    return len(segments) == len(asked) and all(
        own == part or (own == ":" and part) for own, part in zip(segments, asked, strict=True)
    )


def rank(segments: tuple[str, ...]) -> list[int]:
    return [{":": 1, "*": 2}.get(segment, 0) for segment in segments]


def naive(bound: dict[str, Trigger], method: str, path: str) -> str | None:
    """The id of the trigger that serves."""
    asked = path.split("/")
    best: tuple[list[int], str] | None = None
    for known in bound.values():
        route = read_route(known)
        if route.method != method or not fits(route.path.segments, asked):
            continue
        ranked = rank(route.path.segments)
        if best is None or ranked <= best[0]:  # of the same shape the later one
            best = ranked, known.id
    return None if best is None else best[1]


class RoutesLikeTheNaiveMatcher(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.routes = Routes()
        self.bound: dict[str, Trigger] = {}

    @rule(number=st.integers(0, 9), path=PATHS, method=st.sampled_from(["get", "POST"]))
    def bind(self, number: int, path: str, method: str) -> None:
        new = trigger(str(number), path, method)
        self.bound.pop(new.id, None)
        if not excluded(self.bound, new):
            self.bound[new.id] = new

    @rule(number=st.integers(0, 9))
    def unbind(self, number: int) -> None:
        self.bound.pop(str(number), None)

    @rule(order=st.randoms(use_true_random=False))
    def another_order(self, order: object) -> None:
        items = list(self.bound.items())
        order.shuffle(items)  # type: ignore[attr-defined]
        self.bound = dict(items)

    @rule()
    def watch(self) -> None:
        self.routes.update(list(self.bound.values()))

    @rule(path=ASKED, method=st.sampled_from(["GET", "POST"]))
    def ask(self, path: str, method: str) -> None:
        self.routes.update(self.bound.values())
        match = self.routes.match(method, path)
        assert (None if match is None else match.bound.trigger.id) == naive(self.bound, method, path)

    @invariant()
    def nothing_is_left_of_an_empty_table(self) -> None:
        if not self.bound:
            self.routes.update([])
            for method in METHODS:
                tree = self.routes._methods[method]
                assert not tree.exact
                assert tree.root.empty


TestRoutesLikeTheNaiveMatcher = RoutesLikeTheNaiveMatcher.TestCase


@given(st.lists(st.tuples(st.integers(0, 50), PATHS), max_size=60), ASKED)
def test_an_incremental_table_is_like_a_fresh_one(steps: list[tuple[int, str]], path: str) -> None:
    grown = Routes()
    bound: dict[str, Trigger] = {}
    for number, template in steps:
        bound.pop(str(number), None)
        new = trigger(str(number), template)
        if not excluded(bound, new):
            bound[new.id] = new
        grown.update(bound.values())
    fresh = Routes()
    fresh.update(bound.values())
    assert found(grown.match("GET", path)) == found(fresh.match("GET", path))
