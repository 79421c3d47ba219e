"""What a request leads to: routing, the answer of its function, failures."""

import asyncio
import gc
import json
import logging
import re
from typing import Any

import pytest

from gateway.http import app, errors
from gateway.http.handling import Handling
from iii_cluster.bus.envelopes import Trigger
from tests.support.eventually import eventually
from tests.support.http_app import JSON, NEVER, FakeCluster, fails, ok

TRACE = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"


async def test_a_function_gets_the_whole_request() -> None:
    cluster = FakeCluster()
    cluster.route("/orders/:id", ok, "PUT", metadata={"flow": 1})
    headers = [*JSON, ("X-A", "1"), ("traceparent", TRACE), ("baggage", "user=1")]
    await cluster.ask("PUT", "/orders/42?full=1&q=a%20b", headers, b'{"qty": 3}')
    (call,) = cluster.calls
    request = json.loads(call.data)
    for name, direction in (("request_body", "read"), ("response", "write")):
        ref = request.pop(name)
        assert set(ref) == {"channel_id", "access_key", "direction"}
        assert ref["direction"] == direction
    assert request == {
        "query_params": {"full": "1", "q": "a b"},
        "path_params": {"id": "42"},
        "headers": {
            "content-type": "application/json",
            "x-a": "1",
            "traceparent": TRACE,
            "baggage": "user=1",
            "content-length": "10",
        },
        "path": "/orders/:id",
        "method": "PUT",
        "body": {"qty": 3},
        "trigger": {"type": "http", "path": "/orders/:id", "method": "PUT"},
    }
    assert (call.metadata, call.trace) == (b'{"flow": 1}', (f'"{TRACE}"'.encode(), b'"user=1"'))


async def test_the_path_is_the_template_as_it_was_written() -> None:
    cluster = FakeCluster()
    cluster.route("orders/:id", ok)
    await cluster.ask("GET", "/orders/4%202")
    (request,) = cluster.called("GET orders/:id")
    assert request["path"] == request["trigger"]["path"] == "orders/:id"
    assert request["path_params"] == {"id": "4%202"}
    assert request["body"] is None


async def test_bodies_that_are_not_json_are_null_and_the_function_is_called() -> None:
    cluster = FakeCluster()
    cluster.route("a", ok, "POST")
    for headers, body in ((JSON, b"{bad"), (JSON, b""), ([("content-type", "text/plain")], b"{}"), ([], b"{}")):
        assert (await cluster.ask("POST", "/a", headers, body)).status == 200
    assert [request["body"] for request in cluster.called("POST a")] == [None] * 4


async def test_unknown_paths_are_404_with_a_code_and_known_ones_405_with_the_methods() -> None:
    cluster = FakeCluster()
    cluster.route("a", ok)
    cluster.route("a", ok, "POST")
    missing = await cluster.ask("GET", "/b")
    assert (missing.status, missing.json) == (404, {"error": {"code": "NOT_FOUND", "message": "Not Found"}})
    wrong = await cluster.ask("DELETE", "/a")
    assert (wrong.status, wrong.header("allow"), wrong.body) == (405, "GET, HEAD, POST, OPTIONS", b"")
    assert (await cluster.ask("BREW", "/a")).status == 405
    for answer in (missing, wrong):
        assert answer.header("access-control-allow-origin") == "*"


async def test_requests_to_a_gateway_that_has_not_been_told_the_routes_wait_for_them(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    cluster = FakeCluster()
    cluster.told.clear()
    asked = asyncio.create_task(cluster.ask("GET", "/health"))
    await asyncio.sleep(0)
    cluster.route("health", ok)
    cluster.told.set()
    assert (await asked).status == 200

    cluster = FakeCluster()
    cluster.told.clear()
    monkeypatch.setattr(app, "UNKNOWN", 0.01)
    answer = await cluster.ask("GET", "/health")
    assert (answer.status, answer.header("retry-after")) == (503, "1")
    assert answer.json["error"]["code"] == "SERVICE_UNAVAILABLE"
    assert answer.header("access-control-allow-origin") == "*"


async def test_a_route_that_goes_is_404_at_once_and_one_that_comes_is_served() -> None:
    cluster = FakeCluster()
    assert (await cluster.ask("GET", "/health")).status == 404
    cluster.route("health", ok, description="tolerated")
    assert (await cluster.ask("GET", "/health")).status == 200
    cluster.triggers.clear()
    cluster.app._refresh()
    assert (await cluster.ask("GET", "/health")).status == 404


async def test_bursts_of_registrations_are_looked_at_together() -> None:
    cluster = FakeCluster()
    for number in range(1000):
        known = Trigger(f"{number}", "http", "f", json.dumps({"api_path": f"r/{number}"}).encode())
        cluster.triggers[known.id] = known
        cluster.changed()
    await eventually(lambda: cluster.app.describe()["routes"] == 1000)
    assert cluster.looks == 1


async def test_a_query_that_is_no_text_is_400_in_plain_text() -> None:
    cluster = FakeCluster()
    cluster.route("a", ok)
    answer = await cluster.ask("GET", "/a?x=%ff")
    assert (answer.status, answer.header("content-type")) == (400, "text/plain; charset=utf-8")
    assert cluster.calls == []


async def test_repeated_query_keys_are_lists_if_configured() -> None:
    for lists, expected in ((False, "2"), (True, ["1", "2"])):
        cluster = FakeCluster(query_lists=lists)
        cluster.route("a", ok)
        await cluster.ask("GET", "/a?x=1&x=2")
        assert cluster.called("GET a")[0]["query_params"] == {"x": expected}


# -- HEAD, OPTIONS --------------------------------------------------------------------------------


async def test_head_is_served_from_get_without_the_body() -> None:
    cluster = FakeCluster()
    cluster.route("a", ok)
    answer = await cluster.ask("HEAD", "/a")
    assert (answer.status, answer.header("content-length"), answer.body) == (200, "4", b"")
    (request,) = cluster.called("GET a")
    assert request["method"] == "HEAD"
    assert request["trigger"]["method"] == "GET"


async def test_a_route_of_its_own_serves_head() -> None:
    cluster = FakeCluster()
    cluster.route("a", ok)
    cluster.route("a", lambda _: {"status_code": 204}, "HEAD")
    assert (await cluster.ask("HEAD", "/a")).status == 204


async def test_a_preflight_is_answered_by_the_gateway_on_any_path() -> None:
    cluster = FakeCluster()
    cluster.route("a", ok, "OPTIONS")
    for path in ("/a", "/b"):
        answer = await cluster.ask("OPTIONS", path, [("origin", "https://a"), ("access-control-request-method", "PUT")])
        assert (answer.status, answer.body) == (200, b"")
        assert answer.header("access-control-allow-origin") == "*"
        assert answer.header("access-control-allow-methods") == "*"
    assert cluster.calls == []


async def test_other_options_are_served_by_a_route_or_answered_with_the_methods() -> None:
    cluster = FakeCluster()
    cluster.route("a", ok, "OPTIONS")
    cluster.route("b", ok, "POST")
    assert (await cluster.ask("OPTIONS", "/a")).json == "ok"
    answer = await cluster.ask("OPTIONS", "/b")
    assert (answer.status, answer.header("allow"), answer.body) == (204, "POST, OPTIONS", b"")
    assert answer.header("content-length") is None
    assert (await cluster.ask("OPTIONS", "/c")).status == 404
    assert (await cluster.ask("OPTIONS", "*")).status == 204


async def test_listed_origins_are_echoed_on_errors_too() -> None:
    cluster = FakeCluster(cors={"allowed_origins": ["https://a"]})
    cluster.route("fails", fails)
    for path, status in (("/none", 404), ("/fails", 500)):
        answer = await cluster.ask("GET", path, [("origin", "https://a")])
        assert (answer.status, answer.header("access-control-allow-origin")) == (status, "https://a")
        assert "origin" in (answer.header("vary") or "")
        answer = await cluster.ask("GET", path, [("origin", "https://b")])
        assert answer.header("access-control-allow-origin") is None


# -- answers --------------------------------------------------------------------------------------


async def test_status_headers_and_body_are_the_functions() -> None:
    cluster = FakeCluster()
    headers = ["Set-Cookie: a=1", "Set-Cookie: b=2", "X-A: 1", "Content-Length: 5", "Access-Control-Allow-Origin: x"]
    cluster.route("a", lambda _: {"status_code": 404, "headers": headers, "body": {"mine": True}})
    answer = await cluster.ask("GET", "/a")
    assert (answer.status, answer.json) == (404, {"mine": True})
    assert [value for name, value in answer.headers if name == "set-cookie"] == ["a=1", "b=2"]
    assert answer.header("x-a") == "1"
    assert answer.header("content-type") == "application/json"
    assert answer.header("content-length") == str(len(answer.body))
    assert answer.header("access-control-allow-origin") == "*"


@pytest.mark.parametrize("status", [204, 304])
async def test_some_answers_have_no_body(status: int) -> None:
    cluster = FakeCluster()
    cluster.route("a", lambda _: {"status_code": status, "body": {"a": 1}})
    answer = await cluster.ask("GET", "/a")
    assert (answer.status, answer.body) == (status, b"")
    assert answer.header("content-length") is None
    assert answer.header("content-type") is None


async def test_a_function_that_fails_is_500_with_its_code_and_an_id_of_the_failure(
    caplog: pytest.LogCaptureFixture,
) -> None:
    cluster = FakeCluster()
    cluster.route("a", fails)
    ids = set()
    for _ in range(2):
        answer = await cluster.ask("GET", "/a?secret=hunter2", [("authorization", "hunter2")])
        error = answer.json["error"]
        assert (answer.status, error["code"], error["message"]) == (500, "NO_STOCK", "nothing left")
        assert re.fullmatch("[0-9a-f]{1,12}", error["error_id"])
        assert f"error_id={error['error_id']}" in caplog.text
        ids.add(error["error_id"])
    assert len(ids) == 2
    assert "hunter2" not in caplog.text
    assert "nothing left" not in caplog.text


def test_failures_that_come_too_often_are_counted_instead_of_logged(caplog: pytest.LogCaptureFixture) -> None:
    lines = errors._Lines()
    for number in range(10 * errors.LINES_PER_SECOND):
        lines.write("action=tried number=%d", number)
    assert "number=0" in caplog.text
    assert caplog.text.count("action=tried") < 10 * errors.LINES_PER_SECOND


async def test_a_function_that_does_not_exist_is_500() -> None:
    cluster = FakeCluster()
    cluster.route("a", ok)
    cluster.handlers.clear()
    answer = await cluster.ask("GET", "/a")
    assert (answer.status, answer.json["error"]["code"]) == (500, "function_not_found")


async def test_a_failure_of_the_gateway_itself_is_500(caplog: pytest.LogCaptureFixture) -> None:
    cluster = FakeCluster()

    def breaks(_: dict[str, Any]) -> Any:
        raise ZeroDivisionError

    cluster.route("a", breaks)
    with caplog.at_level(logging.ERROR):
        answer = await cluster.ask("GET", "/a")
    assert (answer.status, answer.json["error"]["code"]) == (500, "INTERNAL_ERROR")
    assert answer.json["error"]["message"] == "internal server error"


async def test_a_function_that_takes_too_long_is_504_and_its_late_answer_ignored() -> None:
    cluster = FakeCluster(default_timeout=1)
    cluster.route("a", lambda _: NEVER)
    answer = await cluster.ask("GET", "/a")
    assert (answer.status, answer.json["error"]["code"]) == (504, "TIMEOUT")
    assert answer.json["error"]["error_id"]
    assert answer.header("access-control-allow-origin") == "*"
    (call,) = cluster.calls
    call.finish(b"{}", b"")
    assert len(cluster.home) == 0


async def test_a_function_that_never_answers_keeps_nothing_of_the_request() -> None:
    cluster = FakeCluster(default_timeout=50)
    cluster.route("a", lambda _: NEVER, "POST")
    answer = await cluster.ask("POST", "/a", JSON, b"{}")
    assert (answer.status, len(cluster.calls)) == (504, 1)
    gc.collect()
    assert not [each for each in gc.get_objects() if isinstance(each, Handling)]


async def test_nothing_is_200_and_an_empty_object() -> None:
    cluster = FakeCluster()
    cluster.route("a", lambda _: None)
    for _ in range(2):
        answer = await cluster.ask("GET", "/a")
        assert (answer.status, answer.json, answer.header("content-type")) == (200, {}, "application/json")
    assert len(cluster.home) == 0


# -- limits of bodies -----------------------------------------------------------------------------


async def test_json_beyond_its_limit_is_413_whether_announced_or_not() -> None:
    cluster = FakeCluster(body_limit=10)
    cluster.route("a", ok, "POST")
    assert (await cluster.ask("POST", "/a", JSON, b'"12345678"')).status == 200
    async with cluster.asking("POST", "/a", [*JSON, ("content-length", "11")], b"", complete=False) as client:
        pass
    assert (client.status, client.json["error"]["code"]) == (413, "PAYLOAD_TOO_LARGE")
    assert client.received == 0
    async with cluster.asking("POST", "/a", JSON, b'"1234', complete=False) as client:
        client.more(b"56789", last=False)
        client.more(b'"', last=True)
    assert client.status == 413
    assert len(cluster.called("POST a")) == 1


async def test_other_bodies_have_another_limit() -> None:
    cluster = FakeCluster(body_limit=1, upload_limit=10)
    cluster.route("a", ok, "POST")
    assert (await cluster.ask("POST", "/a", [], b"0123456789")).status == 200
    assert (await cluster.ask("POST", "/a", [], b"0123456789a")).status == 413


async def test_json_that_takes_too_long_to_come_is_408_and_the_function_not_called() -> None:
    cluster = FakeCluster(default_timeout=50)
    cluster.route("a", ok, "POST")
    async with cluster.asking("POST", "/a", JSON, b"{", complete=False) as client:
        pass
    assert (client.status, client.json["error"]["code"]) == (408, "REQUEST_TIMEOUT")
    assert client.header("connection") == "close"
    assert not cluster.calls


async def test_a_client_that_goes_before_its_body_is_complete_calls_nothing() -> None:
    cluster = FakeCluster()
    cluster.route("a", ok, "POST")
    async with cluster.asking("POST", "/a", JSON, b"{", complete=False) as client:
        client.more(None)
    assert (client.head, cluster.calls) == ({}, [])


async def test_a_client_that_takes_nothing_gets_its_answer_later() -> None:
    cluster = FakeCluster()
    cluster.route("a", lambda _: {"body": 1})
    async with cluster.asking("GET", "/a") as client:
        client.reads.clear()
        for _ in range(10):
            await asyncio.sleep(0)
        assert not client.head
        client.reads.set()
    assert (client.status, client.body) == (200, b"1")
