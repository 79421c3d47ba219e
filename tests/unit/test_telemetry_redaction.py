import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from iii_cluster.telemetry.redaction import LONGEST_PARSED, REDACTED, is_secret, redact, redact_json, redact_text

SECRETS = ["authorization", "proxy-authorization", "cookie", "set-cookie", "x-api-key", "api-key", "api_key"]
SECRETS += ["access_token", "refresh_token", "password", "secret", "credential"]
OTHERS = ["author", "cookies_allowed", "tokens", "passwordless", "usage.token", "id", "x", ""]


@pytest.mark.parametrize("key", SECRETS)
def test_these_keys_name_secrets_in_any_case(key: str) -> None:
    for said in (key, key.upper(), key.title(), key.replace("-", "_"), f"http.request.header.{key}"):
        assert is_secret(said)


@pytest.mark.parametrize("key", OTHERS)
def test_these_do_not(key: str) -> None:
    assert not is_secret(key)


def test_a_token_is_one_if_that_is_the_whole_key() -> None:
    assert is_secret("token")
    assert not is_secret("gen_ai.token")


values = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.text(max_size=8),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from([*SECRETS, *OTHERS]), inner, max_size=3)
    ),
    max_leaves=20,
)


def has_secret(value: Any) -> bool:
    if isinstance(value, dict):
        return any((is_secret(key) and each != REDACTED) or has_secret(each) for key, each in value.items())
    return isinstance(value, list) and any(map(has_secret, value))


def without(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: REDACTED if is_secret(key) else without(each) for key, each in value.items()}
    return [without(each) for each in value] if isinstance(value, list) else value


@given(values)
def test_secrets_go_and_nothing_else(value: Any) -> None:
    assert json.loads(redact_json(json.dumps(value))) == without(value)
    assert not has_secret(redact(value))


@given(values, st.integers(0, 500))
def test_of_text_that_was_cut_off_no_secret_is_left(value: Any, length: int) -> None:
    marked = json.dumps(
        {"a": [value, {"Password": "hunter2-1", "x": {"cookie": ["hunter2-2"]}}], "secret": "hunter2-3"}
    )
    assert "hunter2" not in redact_json(marked[: min(length, len(marked) - 1)])


def test_what_is_too_long_to_be_read_is_cut_and_redacted() -> None:
    text = json.dumps({"fill": "x" * LONGEST_PARSED, "password": "hunter2"})
    assert "hunter2" not in redact_json(text)
    text = json.dumps({"password": "hunter2", "fill": "x" * LONGEST_PARSED})
    assert redact_json(text).startswith('{"password": "[REDACTED]", "fill": "xxx')


def test_keys_that_are_escaped_are_found() -> None:
    assert json.loads(redact_json('{"pass\\u0077ord":"x"}')) == {"password": REDACTED}
    assert "hunter2" not in redact_json('{"pass\\u0077ord":"hunter2')


def test_text_that_is_no_json_stays() -> None:
    assert redact_json("the password is long") == "the password is long"
    assert redact_json("plain") == "plain"


def test_texts_are_read_for_urls_and_headers_wherever_they_stand() -> None:
    text = "to redis://u:s3cret@db?sig=s3cret&a=1 with Bearer s3cret-token"
    hidden = "to redis://***@db?sig=***&a=1 with Bearer ***"
    assert redact_text(text) == hidden
    assert redact({"a": [text, {"b": text}]}) == {"a": [hidden, {"b": hidden}]}
    assert json.loads(redact_json(json.dumps({"a": text, "mail": "x@y"}))) == {"a": hidden, "mail": "x@y"}
    assert "s3cret" not in redact_json(json.dumps({"a": text})[:-1])
