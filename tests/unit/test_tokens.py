"""Tokens of listeners, and what becomes of those who show the wrong one."""

import logging
from pathlib import Path

import pytest
from websockets.datastructures import Headers

from gateway.access.failures import Failures
from gateway.listener import tokens_of
from iii_cluster.access.tokens import Tokens, TokensError
from iii_cluster.config.settings import Settings, WorkerListener

LONG = "correct-horse-battery"
OTHER = "another-long-enough-one"


def bearer(value: str) -> Headers:
    return Headers({"Authorization": value})


def test_without_tokens_everybody_is_let_in() -> None:
    tokens = Tokens()
    assert not tokens.required
    assert tokens.accepts(Headers(), "")


@pytest.mark.parametrize(
    ("headers", "query", "accepted"),
    [
        (bearer(f"Bearer {LONG}"), "", True),
        (bearer(f"bEARER   {LONG} "), "", True),
        (bearer(f"Bearer {OTHER}"), "", True),
        (bearer(f"Basic {LONG}"), "", False),
        (bearer(LONG), "", False),
        (bearer("Bearer "), "", False),
        (bearer(f"Bearer {LONG}x"), "", False),
        (Headers(), f"token={LONG}", True),
        (Headers(), f"a=1&token={LONG}&b=2", True),
        (Headers(), "token=correct%2Dhorse%2Dbattery", True),
        (Headers(), f"xtoken={LONG}", False),
        (Headers(), "token=", False),
        (Headers(), "", False),
        (bearer("Bearer wrong-but-long-enough"), f"token={LONG}", True),
    ],
)
def test_a_token_is_shown_as_bearer_or_in_the_query(headers: Headers, query: str, accepted: bool) -> None:
    tokens = Tokens((LONG, OTHER))
    assert tokens.required
    assert tokens.accepts(headers, query) is accepted


def test_bytes_that_are_no_text_are_no_token() -> None:
    assert not Tokens((LONG,)).accepts(Headers(), "token=\udcff\udcfe")


def test_several_authorization_headers_are_no_way_to_an_error() -> None:
    headers = Headers([("Authorization", "Basic eA=="), ("Authorization", f"Bearer {LONG}")])
    assert Tokens((LONG,)).accepts(headers, "")


def test_a_token_with_special_characters_is_taken_as_it_is_and_encoded() -> None:
    tokens = Tokens(("a+b/c==dddddddddddd",))
    assert tokens.accepts(Headers(), "token=a+b/c==dddddddddddd")
    assert tokens.accepts(Headers(), "token=a%2Bb%2Fc%3D%3Ddddddddddddd")
    assert tokens.accepts(bearer("Bearer a+b/c==dddddddddddd"), "")


@pytest.mark.parametrize(
    ("own", "accepted"),
    [
        (WorkerListener(), {"of-the-settings"}),
        (WorkerListener(tokens_file=""), {"of-the-settings"}),
        (WorkerListener(tokens=("its-own-token-itself",)), {"its-own-token-itself"}),
        (WorkerListener(tokens=()), {"", "of-the-settings", "its-own-token-itself"}),
    ],
)
def test_a_listener_may_have_tokens_of_its_own(own: WorkerListener, accepted: set[str]) -> None:
    tokens = tokens_of(Settings(tokens=("of-the-settings",)), own)
    tried = ("", "of-the-settings", "its-own-token-itself")
    assert {token for token in tried if tokens.accepts(bearer(f"Bearer {token}".strip()), "")} == accepted


@pytest.mark.parametrize("empty", ["", " ", "\t"])
def test_an_empty_token_is_refused_at_the_start(empty: str) -> None:
    with pytest.raises(TokensError, match="empty token"):
        Tokens((LONG, empty))


@pytest.mark.parametrize("content", [None, "", "\n\n", "# only a comment\n"])
def test_a_file_without_tokens_is_refused_at_the_start(tmp_path: Path, content: str | None) -> None:
    file = tmp_path / "tokens"
    if content is not None:
        file.write_text(content)
    with pytest.raises(TokensError, match=str(file)):
        Tokens((LONG,), str(file))


def test_a_file_has_comments_and_empty_lines(tmp_path: Path) -> None:
    file = tmp_path / "tokens"
    file.write_text(f"# rotation\n\n  {LONG}  \r\n#{OTHER}\n")
    tokens = Tokens((), str(file))
    assert tokens.accepts(bearer(f"Bearer {LONG}"), "")
    assert not tokens.accepts(bearer(f"Bearer {OTHER}"), "")
    assert not tokens.accepts(bearer(f"Bearer #{OTHER}"), "")


def test_a_changed_file_is_read_again_and_a_bad_one_is_not(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    file = tmp_path / "tokens"
    file.write_text(LONG)
    tokens = Tokens(("of-the-settings-itself",), str(file))
    now = 0.0

    def accepted() -> list[bool]:
        nonlocal now
        for _ in range(3):  # a bad file is told of once
            now += 10
            tokens.tick(now)
        return [tokens.accepts(bearer(f"Bearer {token}"), "") for token in (LONG, OTHER, "of-the-settings-itself")]

    assert accepted() == [True, False, True]
    file.write_text(OTHER)
    assert accepted() == [False, True, True]
    for spoil in (lambda: file.write_text("# none\n"), file.unlink):
        caplog.clear()
        spoil()
        assert accepted() == [False, True, True]
        assert [record.levelno for record in caplog.records] == [logging.ERROR]
    file.write_text(LONG)
    assert accepted() == [True, False, True]
    assert LONG not in caplog.text
    assert OTHER not in caplog.text


def test_short_tokens_are_warned_of_but_not_shown(caplog: pytest.LogCaptureFixture) -> None:
    Tokens((LONG, "short"))
    assert "action=tokens_short count=1" in caplog.text
    assert "short" not in caplog.text.replace("tokens_short", "")


def test_answers_to_failures_take_longer_and_longer() -> None:
    failures = Failures(lambda _address, _count: None)
    delays = [failures.failed("10.0.0.1", float(n)) for n in range(12)]
    assert delays[0] == 0
    assert delays == sorted(delays)
    assert delays[-1] == 3.0
    assert failures.failed("10.0.0.2", 12.0) == 0
    assert failures.failed("10.0.0.1", 1000.0) == 0


def test_one_host_has_one_ipv6_network() -> None:
    failures = Failures(lambda _address, _count: None)
    assert failures.failed("2001:db8::1", 0.0) == 0
    assert failures.failed("2001:db8::2", 0.0) > 0
    assert failures.failed("2001:db8:0:1::2", 0.0) == 0
    assert failures.failed("fe80::1%eth0", 0.0) == 0


def test_failures_are_remembered_of_so_many_addresses_and_logged_ever_less() -> None:
    logged: list[int] = []
    failures = Failures(lambda _address, count: logged.append(count))
    for _ in range(100):
        failures.failed("10.0.0.1", 0.0)
    assert logged == [1, 2, 4, 8, 16, 32, 64]
    for n in range(10_000):
        failures.failed(f"10.1.{n // 256}.{n % 256}", 0.0)
    assert len(failures) <= 4096
