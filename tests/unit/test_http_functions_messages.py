"""Requests as they are sent, signatures, and what answers mean."""

import base64
import gzip
import hashlib
import hmac
import json
import zlib
from typing import Any

import pytest

from iii_cluster.modules.http_functions.answer import result_of
from iii_cluster.modules.http_functions.credentials import Variables, signature
from iii_cluster.modules.http_functions.definition import read_invocation
from iii_cluster.modules.http_functions.request import CallOf, Request, request_of
from iii_cluster.outgoing.answer import Answer
from iii_cluster.outgoing.security import Security
from iii_cluster.outgoing.urls import UrlPolicy
from iii_cluster.protocol.errors import EngineError

POLICY = UrlPolicy(Security())
ENVIRON = {"SECRET": "key", "TOKEN": "t0ken"}
LIMIT = 1000


def request(
    data: bytes = b'{"a":1}', *, id: str = "pay::charge", trace: tuple[bytes, bytes] = (b"", b""), **more: Any
) -> Request:
    raw = json.dumps({"url": "https://example.com/f", **more}).encode()
    function = read_invocation(raw, POLICY.check, Variables(ENVIRON, ("*",)))
    return request_of(function, CallOf(id, "i-1", data, *trace))


def headers(made: Request, now: float = 1_700_000_000.9) -> dict[str, str]:
    listed = made.headers(now)
    assert len({name.lower() for name, _ in listed}) == len(listed)
    return {name.lower(): value for name, value in listed}


def test_a_request_says_what_is_called() -> None:
    made = request()
    assert (made.method, made.body) == ("POST", b'{"a":1}')
    assert headers(made) == {
        "content-type": "application/json",
        "x-iii-function-path": "pay::charge",
        "x-iii-invocation-id": "i-1",
        "x-iii-timestamp": "1700000000",
    }


def test_no_input_is_null_for_every_method() -> None:
    assert request(b"", method="GET").body == b"null"


def test_custom_headers_are_added_and_may_say_another_content_type() -> None:
    made = headers(request(headers={"X-Env": "prod", "content-type": "application/cloudevents+json"}))
    assert made["x-env"] == "prod"
    assert made["content-type"] == "application/cloudevents+json"


def test_credentials_win_over_custom_headers() -> None:
    made = request(headers={"authorization": "Basic x"}, auth={"type": "bearer", "token_key": "TOKEN"})
    assert headers(made)["authorization"] == "Bearer t0ken"


def test_trace_context_is_passed_on_when_it_fits_a_header() -> None:
    made = headers(request(trace=(b'"00-a-b-01"', b'"k=v,\\u0061=b"'), headers={"TraceParent": "mine"}))
    assert made["baggage"] == "k=v,a=b"
    assert made["traceparent"] == "mine"
    for bad in (b"", b"null", b'""', b'"a\\r\\nx: y"', b'"\\u00e4"', b'"' + b"a" * 9000 + b'"', b"1"):
        made = headers(request(trace=(bad, bad)))
        assert "traceparent" not in made
        assert "baggage" not in made


def test_an_id_that_no_header_takes_fails_the_call() -> None:
    for id in ("a\r\nb", "ä", ""):
        with pytest.raises(EngineError, match="http_request_failed"):
            request(id=id)


def test_signatures_are_of_time_and_body() -> None:
    body = b'{"a":1}'
    expected = hmac.new(b"key", b"1700000000:" + base64.b64encode(body), hashlib.sha256).hexdigest()
    assert signature(b"key", "1700000000", body) == f"sha256={expected}"
    made = request(body, auth={"type": "hmac", "secret_key": "SECRET"})
    assert headers(made)["x-iii-signature"] == f"sha256={expected}"
    assert headers(made, now=1_700_000_001)["x-iii-signature"] != f"sha256={expected}"


def test_a_signature_that_other_software_made() -> None:
    assert (
        signature(b"secret", "1700000000", b'{"hello":"world"}')
        == "sha256=d0490163db52084b80eebdd46f07171996db9c1a1c4934485373495c9f3bbda0"
    )


@pytest.mark.parametrize(
    ("status", "method", "then", "body"),
    [
        (301, "POST", "GET", b""),
        (302, "POST", "GET", b""),
        (303, "POST", "GET", b""),
        (303, "PUT", "GET", b""),
        (301, "PUT", "PUT", b'{"a":1}'),
        (302, "GET", "GET", b'{"a":1}'),
        (307, "POST", "POST", b'{"a":1}'),
        (308, "PATCH", "PATCH", b'{"a":1}'),
    ],
)
def test_a_redirected_request(status: int, method: str, then: str, body: bytes) -> None:
    made = request(method=method, headers={"x-env": "prod"}, auth={"type": "bearer", "token_key": "TOKEN"})
    same = made.redirected(status, POLICY.check("https://example.com/g"))
    assert (same.method, same.body) == (then, body)
    assert headers(same)["authorization"] == "Bearer t0ken"
    assert headers(same)["x-env"] == "prod"
    assert ("content-type" in headers(same)) == bool(body)


@pytest.mark.parametrize("elsewhere", ["https://other.example/", "https://example.com:8443/", "https://a.example.com/"])
def test_another_origin_gets_no_credentials_and_never_again(elsewhere: str) -> None:
    for auth in ({"type": "bearer", "token_key": "TOKEN"}, {"type": "hmac", "secret_key": "SECRET"}):
        made = request(headers={"x-env": "prod", "cookie": "a=b"}, auth=auth)
        gone = made.redirected(307, POLICY.check(elsewhere))
        back = gone.redirected(307, POLICY.check("https://example.com/f"))
        for one in (gone, back):
            assert headers(one).keys() == {
                "content-type",
                "x-iii-function-path",
                "x-iii-invocation-id",
                "x-iii-timestamp",
            }


@pytest.mark.parametrize(
    ("status", "body", "result"),
    [
        (200, b'{"a":1}', b'{"a":1}'),
        (200, b' {"a": 1}\r\n', b'{"a": 1}'),
        (201, b'"text"', b'"text"'),
        (200, b"null", b"null"),
        (200, b"1e999", b"1e999"),
        (200, b"", b"null"),
        (200, b" \r\n", b"null"),
        (204, b"", b"null"),
        (302, b"<html>", b"null"),
        (302, b"", b"null"),
        (304, b"", b"null"),
        (302, b'{"to":"b"}', b'{"to":"b"}'),
    ],
)
def test_what_is_a_result(status: int, body: bytes, result: bytes) -> None:
    assert result_of(Answer(status, body), LIMIT) == result


def failure(answer: Answer) -> tuple[str, str]:
    with pytest.raises(EngineError) as failed:
        result_of(answer, LIMIT)
    return failed.value.code, failed.value.message


@pytest.mark.parametrize(
    ("status", "body", "code", "message"),
    [
        (400, b'{"error":{"code":"BAD","message":"no"}}', "BAD", "no"),
        (500, b'{"error":{"code":"BAD"}}', "BAD", "HTTP request failed"),
        (500, b'{"error":{"message":"no"}}', "http_error", "no"),
        (500, b'{"error":{}}', "http_error", "HTTP request failed"),
        (500, b'{"error":{"code":7,"message":["x"]}}', "http_error", "HTTP request failed"),
        (400, b'{"error":"no"}', "http_error", "HTTP 400 Bad Request"),
        (400, b'{"error":null}', "http_error", "HTTP 400 Bad Request"),
        (400, b'{"message":"no"}', "http_error", "HTTP 400 Bad Request"),
        (400, b"", "http_error", "HTTP 400 Bad Request"),
        (404, b"<html>", "http_error", "HTTP 404 Not Found"),
        (503, b"\xff", "http_error", "HTTP 503 Service Unavailable"),
        (500, b'{"error":{"code":"\xff"}}', "http_error", "HTTP 500 Internal Server Error"),
        (500, b"[" * 5000, "http_error", "HTTP 500 Internal Server Error"),
        (599, b"", "http_error", "HTTP 599"),
        (500, None, "http_error", "HTTP 500 Internal Server Error"),
        (200, b"<html>", "invalid_response", "the response is not JSON (text/html)"),
        (200, b'{"a":1', "invalid_response", "the response is not JSON (text/html)"),
        (200, b'{"a":"\xff"}', "invalid_response", "the response is not JSON (text/html)"),
        (200, b"[" * 200 + b"]" * 200, "invalid_response", "the response is not JSON (text/html)"),
        (200, b"NaN", "invalid_response", "the response is not JSON (text/html)"),
        (200, None, "http_response_failed", "the response has more than 1000 bytes"),
        (302, None, "http_response_failed", "the response has more than 1000 bytes"),
    ],
)
def test_what_is_a_failure(status: int, body: bytes | None, code: str, message: str) -> None:
    assert failure(Answer(status, body, "text/html")) == (code, message)


def test_a_content_type_in_a_message_is_short_and_plain() -> None:
    assert failure(Answer(200, b"x", "a\x1b[31m" + "b" * 500))[1] == f"the response is not JSON (a[31m{'b' * 94})"
    assert "no content type" in failure(Answer(200, b"x"))[1]
    assert "(br)" in failure(Answer(200, b"x", "application/json", "br"))[1]


def test_packed_answers_are_unpacked_within_the_limit() -> None:
    assert result_of(Answer(200, gzip.compress(b'{"a":1}'), encoding="gzip"), LIMIT) == b'{"a":1}'
    assert result_of(Answer(200, zlib.compress(b"[1]"), encoding="deflate"), LIMIT) == b"[1]"
    bomb = gzip.compress(b'"' + b"a" * 50_000_000 + b'"')
    assert failure(Answer(200, bomb, encoding="gzip"))[0] == "http_response_failed"
    assert failure(Answer(500, bomb, encoding="gzip")) == ("http_error", "HTTP 500 Internal Server Error")
    assert failure(Answer(200, b"no", encoding="gzip")) == ("http_response_failed", "the response is not gzip")
