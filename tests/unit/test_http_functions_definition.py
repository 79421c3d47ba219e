"""The `invocation` block, and the variables that credentials come from."""

import json
from typing import Any

import pytest

from iii_cluster.modules.http_functions.credentials import Variables
from iii_cluster.modules.http_functions.definition import HttpFunction, read_invocation
from iii_cluster.outgoing.security import Security
from iii_cluster.outgoing.urls import UrlPolicy
from iii_cluster.protocol.errors import EngineError

ENVIRON = {
    "PAY_TOKEN": "s3cret-value",
    "PAY_KEY": "key with spaces ",
    "BLANK": " ",
    "MULTI": "line1\nline2",
    "III_TOKEN": "of-the-gateway",
    "III_ANYTHING": "reserved",
    "REDIS_PASSWORD": "hunter22",
    "SHORT": "6379",
    "DSN": 'postgres://a:"b"@c',
}
OWN = ["redis://:hunter22@redis:6379", "production", json.dumps({"url": 'postgres://a:"b"@c'})]


def read(globs: tuple[str, ...] = ("*",), **invocation: Any) -> HttpFunction:
    raw = json.dumps({"url": "https://example.com/f", **invocation}).encode()
    return read_invocation(raw, UrlPolicy(Security()).check, Variables(ENVIRON, globs, OWN))


def refusal(globs: tuple[str, ...] = ("*",), **invocation: Any) -> tuple[str, str]:
    with pytest.raises(EngineError) as refused:
        read(globs, **invocation)
    return refused.value.code, refused.value.message


def test_what_is_not_said_has_defaults() -> None:
    function = read()
    assert (function.method, function.timeout, function.headers) == ("POST", 30.0, ())
    assert read(method=None, timeout_ms=None, headers=None, auth=None).timeout == 30.0


@pytest.mark.parametrize("method", ["GET", "POST", "PUT", "PATCH", "DELETE", "put"])
def test_methods(method: str) -> None:
    assert read(method=method).method == method.upper()


@pytest.mark.parametrize(
    ("field", "value", "said"),
    [
        ("method", "HEAD", "method must be one of GET, POST, PUT, PATCH, DELETE"),
        ("method", "GET\r\nX: y", "method must be"),
        ("method", 1, "Expected `str | null`, got `int` at `$.method`"),
        ("timeout_ms", 0, "timeout_ms must be 1 to"),
        ("timeout_ms", -1, "timeout_ms must be 1 to"),
        ("timeout_ms", 10**12, "timeout_ms must be 1 to"),
        ("timeout_ms", "5", "Expected `int | null`"),
        ("headers", {"x": 1}, "Expected `str`, got `int`"),
        ("headers", {"Host": "evil"}, "header Host is set by the gateway"),
        ("headers", {"content-length": "0"}, "header content-length is set by the gateway"),
        ("headers", {"Transfer-Encoding": "chunked"}, "set by the gateway"),
        ("headers", {"CONNECTION": "upgrade"}, "set by the gateway"),
        ("headers", {"x-iii-signature": "sha256=0"}, "set by the gateway"),
        ("headers", {"X-III-Timestamp": "0"}, "set by the gateway"),
        ("headers", {"x y": "z"}, "a name that no header may have"),
        ("headers", {"x\r\ny": "z"}, "a name that no header may have"),
        ("headers", {"": "z"}, "a name that no header may have"),
        ("headers", {"x": "a\r\nY: b"}, "header x has control characters"),
        ("headers", {"x": "a\nb"}, "header x has control characters"),
        ("headers", {"x": "a\x00"}, "header x has control characters"),
        ("headers", {f"x-{n}": "" for n in range(65)}, "at most 64 headers"),
        ("headers", {"x": "a" * 20_000}, "at most 64 headers of 16384 bytes"),
        ("auth", {"type": "basic"}, "not valid at `$.auth.type`"),
        ("auth", {"type": "bearer"}, "Object missing required field `token_key`"),
        ("auth", {"type": "api_key", "header": "Host", "value_key": "PAY_TOKEN"}, "set by the gateway"),
        ("auth", {"type": "api_key", "header": "x\n", "value_key": "PAY_TOKEN"}, "a name that no header may have"),
        ("url", None, "Expected `str`, got `null` at `$.url`"),
    ],
)
def test_what_cannot_be_is_refused_with_its_reason(field: str, value: Any, said: str) -> None:
    code, message = refusal(**{field: value})
    assert code == "INVALID_ARGUMENTS"
    assert said in message


@pytest.mark.parametrize("raw", [b"[]", b"1", b"{", b'"https://example.com"', b"{}", b'{"url":"\xff"}', b"[" * 5000])
def test_anything_but_an_object_with_a_url_is_refused(raw: bytes) -> None:
    with pytest.raises(EngineError):
        read_invocation(raw, UrlPolicy(Security()).check, Variables({}, ()))


def test_urls_are_judged_before_variables_are_read() -> None:
    auth = {"type": "bearer", "token_key": "NONE"}
    assert refusal(url="http://example.com/", auth=auth) == ("url_validation_failed", "HTTPS is required")


def test_credentials_are_read_from_the_environment() -> None:
    function = read(auth={"type": "bearer", "token_key": "PAY_TOKEN"})
    assert list(function.credentials.headers("1", b"")) == [("Authorization", "Bearer s3cret-value")]
    function = read(auth={"type": "api_key", "header": "X-Key", "value_key": "PAY_KEY"})
    assert list(function.credentials.headers("1", b"")) == [("X-Key", "key with spaces")]


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("NONE", "'NONE' is not set"),
        ("BLANK", "'BLANK' is not set"),
        ("III_TOKEN", "may not be used"),
        ("III_ANYTHING", "may not be used"),
        ("iii_anything", "may not be used"),
        ("REDIS_PASSWORD", "holds settings of the gateway itself"),
        ("DSN", "holds settings of the gateway itself"),
    ],
)
@pytest.mark.parametrize("kind", ["bearer", "api_key", "hmac"])
def test_variables_that_are_missing_or_not_for_workers(kind: str, name: str, said: str) -> None:
    key = {"bearer": "token_key", "api_key": "value_key", "hmac": "secret_key"}[kind]
    code, message = refusal(auth={"type": kind, "header": "x", key: name})
    assert code == "missing_env_var"
    assert said in message
    assert "hunter22" not in message


def test_short_values_are_part_of_settings_only_by_chance() -> None:
    assert read(auth={"type": "bearer", "token_key": "SHORT"})


def test_a_header_takes_no_lines() -> None:
    assert refusal(auth={"type": "bearer", "token_key": "MULTI"})[0] == "missing_env_var"
    assert read(auth={"type": "hmac", "secret_key": "MULTI"})


def test_variables_that_workers_may_use_can_be_limited() -> None:
    globs = ("HTTP_*", "PAY_TOKEN")
    assert read(globs, auth={"type": "bearer", "token_key": "PAY_TOKEN"})
    assert "env_allowlist" in refusal(globs, auth={"type": "bearer", "token_key": "PAY_KEY"})[1]
    assert "env_allowlist" in refusal(globs, auth={"type": "bearer", "token_key": "pay_token"})[1]
    assert "env_allowlist" in refusal(("III_*",), auth={"type": "bearer", "token_key": "III_TOKEN"})[1]
    assert "env_allowlist" in refusal(("*", "["), auth={"type": "bearer", "token_key": "PAY_TOKEN"})[1]


def test_nothing_shows_credentials_or_the_path() -> None:
    function = read(
        url="https://example.com/f?token=abc", headers={"x": "hidden"}, auth={"type": "hmac", "secret_key": "PAY_TOKEN"}
    )
    assert repr(function) == "HttpFunction(POST example.com:443)"
    assert "s3cret" not in repr(function.credentials)
    assert "s3cret" not in repr(read(auth={"type": "bearer", "token_key": "PAY_TOKEN"}).credentials)
