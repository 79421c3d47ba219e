"""The access log, ids of requests, and heads."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.http import heads
from gateway.http.access_log import LINES_PER_SECOND, AccessLog, Entry, escaped, line
from gateway.http.quota import Quota
from gateway.http.request_id import RequestIds

TRACE = b"00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
ENTRY = Entry("GET", b"/orders/1", 200, 12, 0.0015, "10.0.0.1:5000", "abc-1", TRACE)


def test_a_line_has_a_field_for_everything() -> None:
    assert line(ENTRY) == (
        "action=http_request method=GET path=/orders/1 status=200 bytes=12 ms=1.5 client=10.0.0.1:5000 "
        "request=abc-1 trace=0af7651916cd43dd8448eb211c80319c"
    )


@given(path=st.binary(max_size=2000), traceparent=st.binary(max_size=80) | st.just(TRACE + b"\nx"))
def test_nothing_a_client_says_forges_a_line_or_a_field(path: bytes, traceparent: bytes) -> None:
    text = line(ENTRY._replace(path=path, traceparent=traceparent))
    assert text.isascii()
    assert text.isprintable()
    names = [field.partition("=")[0] for field in text.split(" ")]
    assert names == ["action", "method", "path", "status", "bytes", "ms", "client", "request", "trace"]
    assert len(text) < 2500


def test_what_is_not_visible_is_escaped() -> None:
    assert escaped(b"/a b\n\"\\'\xff\x00") == r"/a\x20b\x0a\x22\x5c\x27\xff\x00"
    assert escaped(b"") == "-"
    assert escaped(b"/" + b"a" * 600) == "/" + "a" * 511 + "..."


@pytest.mark.parametrize(("which", "statuses"), [("off", set()), ("errors", {500, 503}), ("all", {200, 499, 500, 503})])
def test_the_log_wants_what_it_is_told_to(which: str, statuses: set[int]) -> None:
    log = AccessLog(which)  # type: ignore[arg-type]
    assert {status for status in (200, 499, 500, 503) if log.wants(status)} == statuses


def test_a_flood_of_lines_is_counted_instead(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO")
    log = AccessLog("all")
    for _ in range(LINES_PER_SECOND + 5):
        log.write(ENTRY)
    assert len(caplog.records) == LINES_PER_SECOND
    log.tick()
    assert caplog.records[-1].getMessage() == "action=http_requests_not_logged count=5"
    log.write(ENTRY)
    log.tick()
    assert len(caplog.records) == LINES_PER_SECOND + 2


def test_a_quota_renews() -> None:
    quota = Quota(2)
    assert [quota.take() for _ in range(3)] == [True, True, False]
    assert quota.renew() == 1
    assert quota.take()
    assert quota.renew() == 0


def test_a_sane_id_is_kept_and_others_are_replaced() -> None:
    ids = RequestIds()
    assert ids.of(b"order-7/retry=2") == "order-7/retry=2"
    assert ids.of(b"a" * 128) == "a" * 128
    made = [ids.of(None), ids.of(b""), ids.of(b"a" * 129), ids.of(b"a b"), ids.of(b"a\x7f"), ids.of(b"\xe4")]
    assert len(set(made)) == len(made)
    assert RequestIds().new() != RequestIds().new()


@pytest.mark.parametrize(
    ("url", "path", "query"),
    [
        (b"/", b"/", b""),
        (b"/a/b?c=d?e", b"/a/b", b"c=d?e"),
        (b"//a", b"//a", b""),
        (b"/a#b?c", b"/a", b""),
        (b"/a?b#c", b"/a", b"b"),
        (b"*", b"*", b""),
        (b"http://host", b"/", b""),
        (b"http://host/a?b", b"/a", b"b"),
        (b"/../../etc/passwd", b"/../../etc/passwd", b""),
    ],
)
def test_targets_are_paths_or_urls(url: bytes, path: bytes, query: bytes) -> None:
    assert heads.target(url) == (path, query)


def test_a_head_loses_nothing_but_the_upgrade() -> None:
    said = [
        (b"host", b"a"),
        (b"connection", b"Upgrade, HTTP2-Settings, close"),
        (b"upgrade", b"h2c"),
        (b"http2-settings", b"AAM"),
    ]
    head = heads.without_upgrade(b"POST", b"/a", "1.1", said)
    assert head == b"POST /a HTTP/1.1\r\nhost: a\r\nconnection:  close\r\n\r\n"
    assert heads.size(b"/a", said) > 60
