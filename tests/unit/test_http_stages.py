"""What comes before the function of a request: conditions and middleware."""

from typing import Any

import pytest

from tests.support.http_app import JSON, NEVER, FakeCluster, always, fails, ok

# -- conditions -----------------------------------------------------------------------------------


@pytest.mark.parametrize("key", ["condition_function_id", "_condition_path"])
async def test_only_false_keeps_a_request_from_the_function(key: str) -> None:
    cluster = FakeCluster()
    cluster.route("a", ok, "POST", **{key: "check"})
    results: list[Any] = [None, True, 0, "", {}]
    for result in results:
        cluster.handlers["default", "check"] = always(result)
        assert (await cluster.ask("POST", "/a", JSON, b"1")).status == 200
    cluster.handlers["default", "check"] = lambda _: False
    answer = await cluster.ask("POST", "/a", JSON, b"1")
    assert (answer.status, answer.json) == (
        422,
        {"error": {"code": "CONDITION_NOT_MET", "message": "Request condition not met"}, "skipped": True},
    )
    asked = cluster.called("check")[0]
    assert asked["body"] == 1
    assert "response" not in asked
    assert "request_body" not in asked
    assert len(cluster.called("POST a")) == 5


async def test_a_condition_that_fails_is_500() -> None:
    cluster = FakeCluster()
    cluster.route("a", ok, condition_function_id="check")
    cluster.handlers["default", "check"] = fails
    answer = await cluster.ask("GET", "/a")
    assert (answer.status, answer.json["error"]["code"]) == (500, "NO_STOCK")
    assert answer.json["error"]["error_id"]
    assert cluster.called("GET a") == []


# -- middleware -----------------------------------------------------------------------------------


async def test_middleware_runs_in_order_before_the_function() -> None:
    cluster = FakeCluster(
        middleware=[
            {"function_id": "late", "priority": 5},
            {"function_id": "other", "phase": "onResponse"},
            {"function_id": "early", "priority": -1},
        ]
    )
    for name in ("late", "other", "early", "one", "two"):
        cluster.handlers["default", name] = lambda _: {"action": "continue", "context": {"ignored": True}}
    cluster.route("a/:id", ok, "POST", middleware_function_ids=["two", "one"])
    assert (await cluster.ask("POST", "/a/7?q=x", [*JSON, ("authorization", "me")], b"{}")).status == 200
    assert [call.function for call in cluster.calls] == ["early", "late", "two", "one", "POST a/:id"]
    asked = cluster.called("two")[0]
    assert asked == {
        "phase": "preHandler",
        "request": {
            "path_params": {"id": "7"},
            "query_params": {"q": "x"},
            "headers": {"content-type": "application/json", "authorization": "me", "content-length": "2"},
            "method": "POST",
        },
        "context": {},
    }


async def test_middleware_may_answer_itself() -> None:
    cluster = FakeCluster()
    cluster.route("a", ok, middleware_function_ids=["gate", "never"])
    said = {"status_code": 403, "headers": {"X-A": "b"}, "body": {"why": "no"}}
    cluster.handlers["default", "gate"] = lambda _: {"action": "respond", "response": said}
    answer = await cluster.ask("GET", "/a")
    assert (answer.status, answer.json, answer.header("x-a")) == (403, {"why": "no"}, "b")
    assert [call.function for call in cluster.calls] == ["gate"]


@pytest.mark.parametrize(
    ("response", "expected"),
    [
        (None, (200, b"null", {})),
        ({}, (200, b"null", {})),
        ({"body": "text"}, (200, b'"text"', {})),
        ({"headers": {"x-a": 1, "x-b": "c"}, "status_code": "x"}, (200, b"null", {})),
        ({"headers": ["x-b: c"]}, (200, b"null", {})),
        ({"headers": {"x-b": "c"}}, (200, b"null", {"x-b": "c"})),
    ],
)
async def test_answers_of_middleware_have_defaults(response: Any, expected: tuple[int, bytes, dict[str, str]]) -> None:
    cluster = FakeCluster()
    cluster.route("a", ok, middleware_function_ids=["gate"])
    cluster.handlers["default", "gate"] = lambda _: {"action": "respond", "response": response}
    answer = await cluster.ask("GET", "/a")
    named = {name: value for name, value in answer.headers if name.startswith("x-")}
    assert (answer.status, answer.body, named) == expected
    assert answer.header("content-type") == "application/json"


@pytest.mark.parametrize("result", [None, {"action": "explode"}, {}, "x", [1], {"action": 3}])
async def test_what_is_no_answer_of_middleware_goes_on_with_a_warning(
    result: Any, caplog: pytest.LogCaptureFixture
) -> None:
    cluster = FakeCluster()
    cluster.route("a", ok, middleware_function_ids=["gate"])
    cluster.handlers["default", "gate"] = lambda _: result
    assert (await cluster.ask("GET", "/a")).json == "ok"
    assert "action=http_middleware_ignored function=gate" in caplog.text


async def test_middleware_that_fails_or_does_not_exist_is_500_and_the_function_not_called() -> None:
    where: dict[str, Any]
    for where in ({"middleware": [{"function_id": "gate"}]}, {}):
        for handlers in ({("default", "gate"): fails}, {}):
            cluster = FakeCluster(**where)
            cluster.route("a", ok, middleware_function_ids=[] if where else ["gate"])
            cluster.handlers |= handlers
            answer = await cluster.ask("GET", "/a")
            assert answer.status == 500
            assert answer.json["error"]["code"] == ("NO_STOCK" if handlers else "function_not_found")
            assert answer.json["error"]["error_id"]
            assert cluster.called("GET a") == []


async def test_middleware_that_takes_too_long_is_504() -> None:
    cluster = FakeCluster(default_timeout=1)
    cluster.route("a", ok, middleware_function_ids=["gate"])
    cluster.handlers["default", "gate"] = lambda _: NEVER
    answer = await cluster.ask("GET", "/a")
    assert (answer.status, answer.json["error"]["code"]) == (504, "MIDDLEWARE_TIMEOUT")
    assert answer.json["error"]["message"] == "Middleware timeout"
    assert cluster.called("GET a") == []


async def test_everything_is_called_in_the_namespace_of_the_trigger() -> None:
    cluster = FakeCluster()
    cluster.route("a", ok, namespace="shop", condition_function_id="check", middleware_function_ids=["gate"])
    for namespace, result in (("shop", True), ("default", False)):
        cluster.handlers[namespace, "check"] = always(result)
        cluster.handlers[namespace, "gate"] = lambda _: {"action": "continue"}
    assert (await cluster.ask("GET", "/a")).status == 200
    assert [call.namespace for call in cluster.calls] == ["shop"] * 3
