import json

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from iii_cluster.protocol import messages
from iii_cluster.protocol.payload import (
    BadPayload,
    _deeper_than,
    caller_suffix,
    check_text,
    why_unreadable,
    with_caller,
)

SUFFIX = caller_suffix("w-1")

json_values = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=20,
)


@given(st.dictionaries(st.text(), json_values))
def test_the_caller_is_added_to_any_object(value: dict[str, object]) -> None:
    told = json.loads(with_caller(json.dumps(value).encode(), SUFFIX))
    assert told == {**value, "_caller_worker_id": "w-1"}


@pytest.mark.parametrize("text", [b"{}", b"{ }", b'{"a":1}', b'{"a":{}}', b'{"a":1 \n}'])
def test_the_caller_is_added_whatever_the_whitespace(text: bytes) -> None:
    assert json.loads(with_caller(text, SUFFIX))["_caller_worker_id"] == "w-1"


def test_a_forged_caller_is_overruled() -> None:
    assert json.loads(with_caller(b'{"_caller_worker_id":"evil"}', SUFFIX)) == {"_caller_worker_id": "w-1"}


@pytest.mark.parametrize("text", [b"[1]", b'"x"', b"1", b"null", b"true"])
def test_anything_but_an_object_is_untouched(text: bytes) -> None:
    assert with_caller(text, SUFFIX) == text


def test_a_missing_payload_becomes_null() -> None:
    assert with_caller(b"", SUFFIX) == b"null"


def test_invalid_utf8_is_refused() -> None:
    with pytest.raises(BadPayload, match="UTF-8"):
        check_text(b'{"a":"\xff"}')


@pytest.mark.parametrize(("depth", "fits"), [(127, True), (128, True), (129, False), (5000, False)])
@pytest.mark.parametrize("brackets", ["[]", "{}"])
def test_nesting_is_limited_to_128(depth: int, fits: bool, brackets: str) -> None:
    opening = '{"a":' if brackets == "{}" else "["
    text = (opening * depth + "1" + brackets[1] * depth).encode()
    if fits:
        check_text(text)
    else:
        with pytest.raises(BadPayload, match="nested"):
            check_text(text)


def test_brackets_in_strings_do_not_count() -> None:
    check_text(json.dumps({"a": "[" * 500, "b": '\\"{' * 500}).encode())


def _depth(value: object) -> int:
    if isinstance(value, dict):
        return 1 + max(map(_depth, value.values()), default=0)
    if isinstance(value, list):
        return 1 + max(map(_depth, value), default=0)
    return 0


tricky_text = st.text(alphabet='[]{}"\\,: a', max_size=8)
tricky_json = st.recursive(
    tricky_text,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(tricky_text, inner, max_size=4),
    max_leaves=30,
)


@given(tricky_json, st.integers(0, 16), st.integers(8, 14))
def test_depth_is_exact_whatever_strings_hold(value: object, wraps: int, limit: int) -> None:
    for wrap in range(wraps):
        value = [value, "]"] if wrap % 2 else {"}": value}
    assert _deeper_than(json.dumps(value).encode(), limit) == (_depth(value) > limit)


def test_a_message_of_nothing_but_brackets_is_judged_in_linear_time() -> None:
    with pytest.raises(BadPayload, match="brackets"):
        check_text(b"[" * (8 * 2**20) + b"]" * (8 * 2**20))


def test_wide_data_is_not_deep_data() -> None:
    check_text(json.dumps([{"a": [i, {}]} for i in range(2000)]).encode())


@given(json_values)
def test_ordinary_json_passes(value: object) -> None:
    check_text(json.dumps(value).encode())


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b'"\\ud800"', "a lone surrogate"),
        (b'{"a":"x\\uD800"}', "a lone surrogate"),
        (b'{"a":"\\udbff","more":"text"}', "a lone surrogate"),
        (b'{"a":"\\ud800aaaaaaaaaaaa"}', "a lone surrogate"),
        (b'"\\ud800\\n    "', "a lone surrogate"),
        (b'"\\ud800\\u0041"', "surrogate"),
        (b'"\\udc00"', "surrogate"),
        (b'"\\ud83d\\ude00', "truncated"),
        (b'"\\ud83d\\ude00\\uzzzz aaaaaaaa"', "malformed"),
        (b"[1", "malformed"),
    ],
)
def test_what_makes_a_frame_unreadable_is_told(data: bytes, reason: str) -> None:
    frame = b'{"type":"invokefunction","function_id":"f","data":' + data + (b"" if reason == "truncated" else b"}")
    with pytest.raises(msgspec.MsgspecError) as caught:
        messages.decode(frame)
    assert reason in why_unreadable(frame, caught.value)
