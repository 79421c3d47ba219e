"""Requests as functions get them, responses as functions ask for them."""

import json
from collections.abc import Callable
from typing import Any

import pytest

from gateway.http import response
from gateway.http.request import MAX_BAGGAGE, BadQuery, headers_of, is_json, json_body, query_of, trace_of
from gateway.http.response import MAX_HEADERS, NOTHING, from_result
from gateway.http.response import headers_of as response_headers

JSON = (b"content-type", b"application/json")


# -- requests ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        (b"", {}),
        (b"a=1&b=2", {"a": "1", "b": "2"}),
        (b"a=1&a=2", {"a": "2"}),
        (b"a&b=&=c", {"a": "", "b": "", "": "c"}),
        (b"&&a=1&", {"a": "1"}),
        (b"a=b=c", {"a": "b=c"}),
        (b"a+b=c+d%2Be", {"a b": "c d+e"}),
        (b"%C3%A9=%E2%82%AC", {"é": "€"}),
        (b"a=100%&b=%zz", {"a": "100%", "b": "%zz"}),
    ],
)
def test_queries_give_text_and_the_last_value_of_a_key(query: bytes, expected: dict[str, str]) -> None:
    assert query_of(query) == expected


def test_repeated_keys_are_lists_where_that_is_wanted() -> None:
    assert query_of(b"a=1&b=2&a=3&a=4", lists=True) == {"a": ["1", "3", "4"], "b": "2"}


@pytest.mark.parametrize("query", [b"a=%ff", b"%c3=1", b"a=\xff"])
def test_queries_that_are_no_text_are_refused(query: bytes) -> None:
    with pytest.raises(BadQuery):
        query_of(query)


def test_of_repeated_headers_the_last_counts_and_what_is_no_text_is_empty() -> None:
    raw = [(b"x", b"1"), (b"y", b"\xff"), (b"x", b"2"), (b"z", "é".encode())]
    assert headers_of(raw) == {"x": "2", "y": "", "z": "é"}


@pytest.mark.parametrize(
    ("content_type", "json_expected"),
    [
        ("application/json", True),
        ("application/json; charset=utf-8", True),
        ("Application/JSON", True),
        ("application/problem+json", False),
        ("text/plain", False),
        ("", False),
    ],
)
def test_json_is_told_by_the_content_type(content_type: str, json_expected: bool) -> None:
    assert is_json(content_type) is json_expected


@pytest.mark.parametrize(
    "body", [b"", b"  ", b"{", b"{}x", b'{"a":}', b'"\xff"', b"NaN", b"\xef\xbb\xbf{}", b"[" * 200]
)
def test_a_body_that_is_not_json_is_null(body: bytes) -> None:
    assert bytes(json_body(body)) == b"null"


def test_bodies_nested_too_deeply_are_null() -> None:
    assert bytes(json_body(b"[" * 128 + b"]" * 128)) == b"[" * 128 + b"]" * 128
    assert bytes(json_body(b"[" * 129 + b"]" * 129)) == b"null"


@pytest.mark.parametrize("body", [b'{"a": 1.50, "b":[1e400]}', b" null ", b'"\\u00e9"', b"12345678901234567890123"])
def test_a_body_that_is_json_is_passed_on_as_it_came(body: bytes) -> None:
    assert bytes(json_body(body)) == body.strip()


GOOD = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-03"


def test_a_valid_trace_is_passed_on() -> None:
    assert trace_of({}) == (b"", b"")
    assert trace_of({"traceparent": GOOD, "baggage": 'a=1,b="x"'}) == (f'"{GOOD}"'.encode(), b'"a=1,b=\\"x\\""')
    later = "01-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01-more"
    assert trace_of({"traceparent": later})[0] == f'"{later}"'.encode()


@pytest.mark.parametrize(
    "traceparent",
    [
        "x",
        GOOD.upper(),
        GOOD + "-more",  # only later versions have more
        GOOD + "\n",
        GOOD.replace("00-", "01-") + "more",
        GOOD.replace("00-", "ff-"),
        "00-" + "0" * 32 + "-b7ad6b7169203331-01",
        "00-0af7651916cd43dd8448eb211c80319c-" + "0" * 16 + "-01",
        '00-"',
    ],
)
def test_an_invalid_traceparent_is_not(traceparent: str) -> None:
    assert trace_of({"traceparent": traceparent}) == (b"", b"")


@pytest.mark.parametrize("baggage", ["é=1", "a=\t1", "a" * (MAX_BAGGAGE + 1)])
def test_invalid_baggage_is_not(baggage: str) -> None:
    assert trace_of({"baggage": baggage}) == (b"", b"")


# -- responses -----------------------------------------------------------------------------------------


def returned(value: Any) -> tuple[int, list[tuple[bytes, bytes]], bytes]:
    status, headers, body = from_result(json.dumps(value).encode())
    return status, list(headers), body


@pytest.mark.parametrize("value", ["text", 3, [1], True, [{"status_code": 201}]])
def test_what_is_no_object_is_200_and_an_empty_object(value: Any) -> None:
    assert from_result(json.dumps(value).encode()) == NOTHING == (200, (JSON,), b"{}")


def test_the_status_may_have_the_name_that_the_python_clients_types_give_it() -> None:
    assert returned({"statusCode": 201, "headers": {}, "body": 1})[0] == 201
    assert returned({"statusCode": 201, "status_code": 202})[0] == 202


@pytest.mark.parametrize(
    ("status", "expected"),
    [
        (201, 201),
        (404, 404),
        (599, 599),
        (200.0, 200),
        (201.5, 200),
        ("404", 200),
        (None, 200),
        (-1, 200),
        (0, 200),
        (99, 200),
        (100, 200),  # no final one
        (101, 200),
        (600, 200),
        (10**30, 200),
        (True, 200),
        ([], 200),
    ],
)
def test_a_status_that_is_none_is_200(status: Any, expected: int) -> None:
    assert returned({"status_code": status, "body": 1}) == (expected, [JSON], b"1")


def test_body_is_an_empty_object_and_status_200_by_default() -> None:
    assert returned({}) == (200, [JSON], b"{}")
    assert returned({"headers": None}) == (200, [JSON], b"{}")


@pytest.mark.parametrize("body", ["text", None, {"a": [1, "é"]}, 0, False, []])
def test_without_a_content_type_every_body_is_json(body: Any) -> None:
    assert returned({"body": body}) == (200, [JSON], json.dumps(body).encode())


@pytest.mark.parametrize(
    ("body", "sent"),
    [("<a>é</a>", "<a>é</a>".encode()), (None, b""), ({"a": 1}, b'{"a": 1}'), (3, b"3"), ("", b"")],
)
def test_with_a_content_type_text_is_sent_raw_and_null_as_nothing(body: Any, sent: bytes) -> None:
    headers = {"Content-Type": "text/xml"}
    assert returned({"headers": headers, "body": body}) == (200, [(b"content-type", b"text/xml")], sent)


@pytest.fixture
def lines(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> Callable[[], list[str]]:
    """What has been logged; nothing has been before."""
    monkeypatch.setattr(response, "_warned", set())
    return lambda: caplog.messages


def test_headers_are_an_object_of_texts_or_lists_of_them() -> None:
    said = {"X-A": "1", "x-number": 3, "x-list": ["a", 3], "x-none": [], "x-null": None, "x-b": " é "}
    assert response_headers(said) == [(b"x-a", b"1"), (b"x-b", "é".encode())]
    cookies = {"Set-Cookie": ["a=1; HttpOnly", "b=2", "c=3\r\nd: 4"], "x": "1"}
    assert response_headers(cookies) == [(b"set-cookie", b"a=1; HttpOnly"), (b"set-cookie", b"b=2"), (b"x", b"1")]


@pytest.mark.parametrize(
    ("said", "line"),
    [
        ({"x-number": 3}, "name='x-number' reason=its value is no text"),
        ({"x-list": ["a", None]}, "name='x-list' reason=its value is no text"),
        ({"Content-Length": "3"}, "name='Content-Length' reason=the gateway sets it"),
        ({"X-Ours": "3"}, "name='x-ours' reason=the gateway sets it"),
        ({"x y": "3"}, "name='x y' reason=it cannot be sent"),
        (["secret"], "name='' reason=it is no 'Name: value'"),
        ([3], "name='' reason=it is no 'Name: value'"),
        ("x: y", "name='' reason=headers are an object or a list"),
    ],
)
def test_headers_that_are_left_out_are_logged_once(said: Any, line: str, lines: Callable[[], list[str]]) -> None:
    for _ in range(2):
        assert response_headers(said, {b"x-ours"}) == []
    assert [each.lower() for each in lines()] == [f"action=http_header_unfit {line}".lower()]


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        ({"hello": "no status"}, "it has no status_code, headers or body"),
        ("text", "it is no object"),
        ([], "it is no object"),
        ({"status_code": 99}, "its status is no number from 200 to 599"),
        ({"status_code": "201"}, "its status is no number from 200 to 599"),
        ({"statusCode": 600, "body": 1}, "its status is no number from 200 to 599"),
    ],
)
def test_an_answer_that_is_none_is_logged_once_for_its_function(
    value: Any, reason: str, lines: Callable[[], list[str]]
) -> None:
    for _ in range(2):
        assert from_result(json.dumps(value).encode(), (), "orders::get").status == 200
    assert lines() == [f"action=http_answer_unfit name='orders::get' reason={reason}"]


@pytest.mark.parametrize("value", [{}, {"body": None}, {"status_code": 599}, {"status_code": None}, {"headers": {}}])
def test_an_answer_that_says_something_of_itself_is_not_logged(value: Any, lines: Callable[[], list[str]]) -> None:
    from_result(json.dumps(value).encode(), (), "orders::get")
    assert lines() == []


def test_headers_are_a_list_of_lines_and_only_there_twice_of_a_name() -> None:
    said = ["Set-Cookie: a=1; Path=/", "set-cookie:b=2", " X-A : 1:2 ", "no colon", 3, "", ": nothing"]
    assert response_headers(said) == [
        (b"set-cookie", b"a=1; Path=/"),
        (b"set-cookie", b"b=2"),
        (b"x-a", b"1:2"),
    ]


@pytest.mark.parametrize("said", [None, 3, "x: y", True])
def test_headers_of_another_form_are_none(said: Any) -> None:
    assert response_headers(said) == []


def test_headers_with_a_number_that_nobody_can_read_are_none() -> None:
    assert from_result(b'{"headers":{"x":1e999},"body":1}').body == b"1"


@pytest.mark.parametrize(
    "header",
    [
        ("x y", "1"),
        ("", "1"),
        ("x\r\ny", "1"),
        ("x:", "1"),
        ("é", "1"),
        ("x", "1\r\nset-cookie: a=b"),
        ("x", "1\nb"),
        ("x", "\0"),
        ("x", "a\x7f"),
        ("x", "\ud800\r\n"),
        ("x" * 257, "1"),
    ],
)
def test_headers_that_would_break_the_response_are_left_out(header: tuple[str, str]) -> None:
    name, value = header
    assert response_headers({name: value}) == []
    if ":" not in name:
        assert response_headers([f"{name}: {value}"]) == []


@pytest.mark.parametrize(
    "name", ["Content-Length", "Transfer-Encoding", "CONNECTION", "keep-alive", "upgrade", "te", "trailer"]
)
def test_headers_of_the_connection_are_left_out(name: str) -> None:
    assert response_headers({name: "5"}) == []


def test_headers_are_bounded() -> None:
    assert len(response_headers([f"x-{number}: 1" for number in range(1000)])) == MAX_HEADERS
    assert len(response_headers({f"x-{number}": "a" * 2**14 for number in range(10)})) == 3


def test_headers_the_gateway_itself_sets_are_left_out() -> None:
    said = {"Access-Control-Allow-Origin": "evil", "x": "1"}
    assert response_headers(said, {b"access-control-allow-origin"}) == [(b"x", b"1")]
