import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from iii_cluster.protocol.payload import BadPayload, caller_suffix, check_text, with_caller

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


def test_wide_data_is_not_deep_data() -> None:
    check_text(json.dumps([{"a": [i, {}]} for i in range(2000)]).encode())


@given(json_values)
def test_ordinary_json_passes(value: object) -> None:
    check_text(json.dumps(value).encode())
