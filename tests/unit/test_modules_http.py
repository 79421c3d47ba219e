"""The `http` trigger type: what is accepted, what competes, and what is refused with which words."""

import json
import logging
from typing import Any

import msgspec
import pytest

from iii_cluster.bus.envelopes import Trigger
from iii_cluster.modules.http.config import HttpConfig
from iii_cluster.modules.http.module import HttpModule
from iii_cluster.modules.http.paths import MAX_PATH, MAX_SEGMENTS, conflict, parse_path, read_route, rival
from iii_cluster.modules.http.triggers import check, middleware_of
from iii_cluster.protocol.errors import EngineError


def trigger(**config: Any) -> Trigger:
    return Trigger("t", "http", "f", json.dumps(config).encode())


def route(path: str, method: str = "GET") -> Trigger:
    return trigger(api_path=path, http_method=method)


def refusal(given: Trigger) -> str:
    with pytest.raises(EngineError) as caught:
        check(given)
    assert caught.value.code == "trigger_registration_failed"
    return caught.value.message


def test_the_type_has_its_old_name_too() -> None:
    (kind,) = HttpModule(HttpConfig()).trigger_types()
    assert (kind.id, kind.aliases) == ("http", ("api",))
    assert msgspec.json.decode(kind.trigger_request_format)["required"] == ["api_path"]
    assert "path_params" in msgspec.json.decode(kind.call_request_format)["properties"]


@pytest.mark.parametrize("config", [{}, {"api_path": None}, {"http_method": "GET"}])
def test_a_path_is_required(config: dict[str, Any]) -> None:
    assert refusal(trigger(**config)) == "api_path is required for http triggers"


def test_a_config_that_is_no_object_has_no_path() -> None:
    for config in (b"null", b"[]", b"3"):
        assert refusal(Trigger("t", "http", "f", config)) == "api_path is required for http triggers"
    assert "could not be parsed" in refusal(Trigger("t", "http", "f", b'{"api_path":'))


@pytest.mark.parametrize("config", [{"api_path": 3}, {"api_path": "a", "http_method": 3}, {"api_path": ["a"]}])
def test_path_and_method_are_text(config: dict[str, Any]) -> None:
    assert "must be text" in refusal(trigger(**config))


def test_other_keys_are_ignored() -> None:
    check(trigger(api_path="a", description="x", metadata={"flow": 1}, bodySchema={}, middleware_function_ids=None))


@pytest.mark.parametrize(
    ("path", "segments", "names"),
    [
        ("/a", ("a",), ()),
        ("a", ("a",), ()),
        ("/", ("",), ()),
        ("", ("",), ()),
        ("a/", ("a", ""), ()),
        ("/a/:x/b/:y", ("a", ":", "b", ":"), ("x", "y")),
        ("a/*", ("a", "*"), ("*",)),
        ("a/*rest", ("a", "*"), ("rest",)),
        ("a/{*rest}", ("a", "*"), ("rest",)),
        ("*", ("*",), ("*",)),
        ("a/b*c", ("a", "b*c"), ()),
    ],
)
def test_paths_are_taken_apart(path: str, segments: tuple[str, ...], names: tuple[str, ...]) -> None:
    assert parse_path(path) == (path, segments, names)


@pytest.mark.parametrize(
    ("path", "reason"),
    [
        ("a/*/b", "must be its last segment"),
        ("{*all}/b", "must be its last segment"),
        ("a/:", "needs a name"),
        ("a/{id}", "neither a parameter (':name') nor a wildcard"),
        ("a/*.png", "neither a parameter"),
        ("a?b=c", "'?' or '#'"),
        ("a#b", "'?' or '#'"),
        ("x/:a/:a", "two parameters with the name 'a'"),
        ("x/:a/*a", "two parameters with the name 'a'"),
        ("a" * (MAX_PATH + 1), "characters"),
        ("a/" * MAX_SEGMENTS, "segments"),
    ],
)
def test_paths_that_could_never_match_are_refused(path: str, reason: str) -> None:
    assert reason in refusal(route(path))


@pytest.mark.parametrize("method", ["get", "Get", "GET", None, ""])
def test_methods_are_in_any_case_and_get_by_default(method: str | None) -> None:
    given = trigger(api_path="a", http_method=method)
    check(given)
    assert read_route(given).method == "GET"


def test_an_unsupported_method_is_only_warned_of(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING):
        check(route("a", "brew"))
    assert "action=http_method_unsupported trigger=t function='f' path='a' method='BREW'" in caplog.text


def test_middleware_is_a_list_of_ids() -> None:
    assert middleware_of(trigger(api_path="a", middleware_function_ids=["one", "two"])) == ("one", "two")
    for wrong in ("one", [1], [""], {"a": 1}):
        assert "must be a list" in refusal(trigger(api_path="a", middleware_function_ids=wrong))
    assert "at most" in refusal(trigger(api_path="a", middleware_function_ids=["m"] * 33))


def test_only_other_names_of_parameters_compete() -> None:
    first = rival(route("/a/:x"))
    assert first == rival(route("a/:x", "get"))
    other = rival(route("a/:y"))
    assert first is not None
    assert other is not None
    assert first.key == other.key
    assert first.variant != other.variant
    assert rival(route("a/b")) is None
    assert rival(trigger()) is None


@pytest.mark.parametrize("path", ["a/:x/b", "b/:x", "a/*", "a/:x/:y"])
def test_other_shapes_and_methods_do_not_compete(path: str) -> None:
    one, other = rival(route("a/:x")), rival(route(path))
    assert one is not None
    assert other is not None
    assert one.key != other.key
    assert rival(route(path, "POST")) != other


def test_a_conflict_names_both_routes() -> None:
    assert conflict(route("/a/:x"), route("a/:y")) == (
        "Route 'GET a/:y' conflicts with already-registered route 'GET a/:x': "
        "routes with identical structure but different path-parameter names are not supported"
    )
    assert str(read_route(route("/", "post"))) == "POST /"
