"""Update operations: what each does to what it meets."""

import copy
import json
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from iii_cluster.modules.updates.apply import MISSING, apply
from iii_cluster.modules.updates.ops import Op
from iii_cluster.modules.updates.text import BadUpdate, updated

I64_MAX = 2**63 - 1
U64_MAX = 2**64 - 1
MANY = 64 * 2**20

_decode_ops = msgspec.json.Decoder(list[Op]).decode


def op(type: str, *path: Any, **fields: Any) -> dict[str, Any]:
    """An operation as it comes in; without a path it has no such key."""
    return {"type": type, **({"path": path[0]} if path else {}), **fields}


def change(value: Any, *ops: dict[str, Any]) -> tuple[Any, list[str]]:
    """The new value and the codes of the errors."""
    new, errors = apply(value, _decode_ops(json.dumps(ops).encode()))
    return new, [error.code for error in errors]


def test_a_missing_value_begins_as_an_empty_object() -> None:
    assert change(MISSING) == ({}, [])
    assert change(MISSING, op("set", "a", value=1)) == ({"a": 1}, [])
    assert change(MISSING, op("append", "a", value={"b": 1})) == ({"a": [{"b": 1}]}, [])


def test_it_becomes_an_empty_object_even_if_everything_fails() -> None:
    assert change(MISSING, op("increment", "__proto__", by=1)) == ({}, ["increment.path.proto_polluted"])


def test_an_operation_that_succeeds_makes_the_missing_value_a_real_one() -> None:
    assert change(MISSING, op("remove", "a"), op("increment", "", by=1)) == ({}, ["increment.not_number"])
    assert change(MISSING, op("set", "__proto__", value=1), op("increment", "", by=2)) == (
        2,
        ["set.path.proto_polluted"],
    )


def test_set_replaces_one_key_or_everything() -> None:
    assert change({"a": 1, "b": 2}, op("set", "a", value=[3])) == ({"a": [3], "b": 2}, [])
    assert change({"a": 1}, op("set", "", value=None)) == (None, [])
    assert change({"a": 1}, op("set", "")) == (None, [])
    assert change({"a": 1}, op("set", "b")) == ({"a": 1, "b": None}, [])


@pytest.mark.parametrize("value", [None, 1, "text", True, [1, 2]])
@pytest.mark.parametrize(
    "fields",
    [
        op("set", "x", value=1),
        op("append", "x", value=1),
        op("append", ["x", "y"], value=1),
        op("increment", "x", by=1),
        op("decrement", "x", by=1),
        op("remove", "x"),
    ],
)
def test_a_key_of_what_is_no_object_is_an_error_that_names_the_path(value: Any, fields: dict[str, Any]) -> None:
    new, errors = apply(value, _decode_ops(json.dumps([fields]).encode()))
    assert new == value
    assert [error.code for error in errors] == [f"{fields['type']}.target_not_object"]
    assert "x" in errors[0].message


def test_dots_separate_nothing() -> None:
    value = {"user": {"name": "a"}}
    assert change(value, op("set", "user.name", value="b"))[0] == {"user": {"name": "a"}, "user.name": "b"}
    assert change({}, op("merge", "user.name", value={"x": 1}))[0] == {"user.name": {"x": 1}}
    assert change({}, op("append", "user.name", value=1))[0] == {"user.name": [1]}


def test_remove_drops_a_key_and_leaves_null_at_the_root() -> None:
    assert change({"a": 1, "b": 2}, op("remove", "a")) == ({"b": 2}, [])
    assert change({"b": 2}, op("remove", "a")) == ({"b": 2}, [])
    assert change({"b": 2}, op("remove", "")) == (None, [])


def test_a_field_comes_back_clean_after_it_was_removed() -> None:
    ops = [op("merge", "a", value={"x": 1}), op("remove", "a"), op("merge", "a", value={"y": 2})]
    assert change({}, *ops) == ({"a": {"y": 2}}, [])


# Numbers


def test_missing_fields_count_as_zero() -> None:
    assert change({}, op("increment", "n", by=3), op("decrement", "m", by=3)) == ({"n": 3, "m": -3}, [])
    assert change(MISSING, op("increment", "", by=3)) == (3, [])
    assert change(MISSING, op("decrement", "", by=3)) == (-3, [])


@pytest.mark.parametrize("value", [None, "1", True, [1], {"n": 1}])
@pytest.mark.parametrize("type", ["increment", "decrement"])
@pytest.mark.parametrize("by", [0, 1])
def test_only_numbers_can_be_counted(value: Any, type: str, by: int) -> None:
    assert change({"n": value}, op(type, "n", by=by)) == ({"n": value}, [f"{type}.not_number"])
    assert change(value, op(type, "", by=by)) == (value, [f"{type}.not_number"])


def test_several_numeric_operations_apply_in_order() -> None:
    assert change({"n": 1}, op("increment", "n", by=5), op("decrement", "n", by=2), op("increment", "n", by=0)) == (
        {"n": 4},
        [],
    )
    assert change(10, op("increment", "", by=5), op("decrement", "", by=20)) == (-5, [])


def test_floats_stay_floats_and_whole_ones_too() -> None:
    new, _ = change({"n": 1.5}, op("increment", "n", by=2), op("decrement", "n", by=1))
    assert new == {"n": 2.5}
    assert updated(b"2.0", _decode_ops(b'[{"type":"increment","path":"","by":1}]'), MANY)[0] == b"3.0"
    assert change({"n": 1}, op("increment", "n", by=0.5)) == ({"n": 1.5}, [])


@pytest.mark.parametrize(
    ("value", "type", "by", "expected"),
    [
        (I64_MAX, "increment", 1, 2**63),
        (I64_MAX, "increment", I64_MAX, 2 * I64_MAX),
        (2**63, "increment", I64_MAX, U64_MAX),
        (U64_MAX, "decrement", 1, U64_MAX - 1),
        (9007199254740993, "increment", 1, 9007199254740994),
        (0, "decrement", -(2**63), 2**63),
        (-(2**63) + 1, "decrement", 1, -(2**63)),
    ],
)
def test_integers_of_64_bits_are_exact(value: int, type: str, by: int, expected: int) -> None:
    text, errors = updated(str(value).encode(), _decode_ops(json.dumps([op(type, "", by=by)]).encode()), MANY)
    assert (text, errors) == (str(expected).encode(), [])


@pytest.mark.parametrize(
    ("value", "type", "by"),
    [(U64_MAX, "increment", 1), (-(2**63), "decrement", 1), (1.7e308, "increment", 1.7e308), (2**70, "increment", 1)],
)
def test_a_number_that_would_be_too_big_is_an_error(value: Any, type: str, by: Any) -> None:
    assert change({"n": value}, op(type, "n", by=by)) == ({"n": value}, [f"{type}.not_number"])


def test_what_no_operation_touches_stays_exact() -> None:
    stored = b'{"a":[],"big":123456789012345678901234567890,"n":9007199254740993,"o":{},"u":18446744073709551615}'
    new, _ = updated(stored, _decode_ops(b'[{"type":"increment","path":"n","by":1}]'), MANY)
    assert new == stored.replace(b"0993", b"0994")


# Append


def test_append_pushes_and_never_spreads() -> None:
    assert change({"a": [1]}, op("append", "a", value=2)) == ({"a": [1, 2]}, [])
    assert change({"a": [1]}, op("append", "a", value=[2, 3])) == ({"a": [1, [2, 3]]}, [])
    assert change([], op("append", value=1)) == ([1], [])
    assert change({"a": []}, op("append", ["a"], value={"b": 1})) == ({"a": [{"b": 1}]}, [])


def test_append_joins_strings() -> None:
    assert change({"a": "x"}, op("append", "a", value="y")) == ({"a": "xy"}, [])
    assert change("x", op("append", "", value="y")) == ("xy", [])


@pytest.mark.parametrize("absent", [{}, {"a": None}])
def test_append_begins_what_is_missing_or_null(absent: Any) -> None:
    assert change(copy.deepcopy(absent), op("append", "a", value="x")) == ({"a": "x"}, [])
    assert change(copy.deepcopy(absent), op("append", "a", value=1)) == ({"a": [1]}, [])
    assert change(copy.deepcopy(absent), op("append", "a", value=None)) == ({"a": [None]}, [])


def test_append_begins_a_missing_or_null_root() -> None:
    assert change(MISSING, op("append", value="hello")) == ("hello", [])
    assert change(MISSING, op("append", value=1)) == ([1], [])
    assert change(None, op("append", value="hello")) == ("hello", [])
    assert change(None, op("append", value=[1])) == ([[1]], [])


@pytest.mark.parametrize(("current", "value"), [("x", 1), (1, "x"), (True, "x"), ({"b": 1}, "x"), ({}, 1), (1.5, [1])])
def test_append_to_something_else_changes_nothing(current: Any, value: Any) -> None:
    mismatch = ["append.type_mismatch"]
    assert change({"a": current}, op("append", "a", value=value)) == ({"a": current}, mismatch)
    assert change({"a": {"b": current}}, op("append", ["a", "b"], value=value)) == ({"a": {"b": current}}, mismatch)
    assert change(copy.deepcopy(current), op("append", value=value)) == (current, mismatch)


def test_nested_append_makes_its_way() -> None:
    assert change({}, op("append", ["a", "b"], value=1)) == ({"a": {"b": [1]}}, [])
    assert change({}, op("append", ["a", "b"], value="x")) == ({"a": {"b": ["x"]}}, [])
    assert change({"a": {"b": [1]}}, op("append", ["a", "b"], value=2)) == ({"a": {"b": [1, 2]}}, [])
    assert change({"a": {"b": "x"}}, op("append", ["a", "b"], value="y")) == ({"a": {"b": "xy"}}, [])
    assert change({"a": {"b": None}}, op("append", ["a", "b"], value="y")) == ({"a": {"b": "y"}}, [])
    assert change(MISSING, op("append", ["a", "b"], value=1)) == ({"a": {"b": [1]}}, [])


@pytest.mark.parametrize("in_the_way", [None, 1, "x", [1, 2], []])
def test_nested_append_replaces_what_is_in_the_way(in_the_way: Any) -> None:
    assert change({"a": in_the_way, "z": 0}, op("append", ["a", "b", "c"], value=1)) == (
        {"a": {"b": {"c": [1]}}, "z": 0},
        [],
    )


# Merge


@pytest.mark.parametrize("path", [(), (None,), ("",), ([],)])
def test_no_path_and_empty_paths_mean_the_root(path: tuple[Any, ...]) -> None:
    assert change({"a": 1, "b": 2}, op("merge", *path, value={"b": 3, "c": 4})) == ({"a": 1, "b": 3, "c": 4}, [])
    assert change([1], op("append", *path, value=2)) == ([1, 2], [])


@pytest.mark.parametrize("value", [None, 1, "x", [1]])
def test_merging_into_a_root_that_is_no_object_does_nothing(value: Any) -> None:
    assert change(value, op("merge", value={"a": 1})) == (value, [])


@pytest.mark.parametrize("path", ["a", ["a"]])
def test_merge_extends_or_makes_an_object(path: Any) -> None:
    assert change({"a": {"x": 1, "y": 1}}, op("merge", path, value={"y": 2})) == ({"a": {"x": 1, "y": 2}}, [])
    assert change({}, op("merge", path, value={"y": 2})) == ({"a": {"y": 2}}, [])
    assert change({"a": {"x": {"deep": 1}}}, op("merge", path, value={"x": {"new": 1}}))[0] == {"a": {"x": {"new": 1}}}


@pytest.mark.parametrize("in_the_way", [None, 1, "x", [1, 2]])
def test_merge_replaces_what_is_in_the_way(in_the_way: Any) -> None:
    assert change({"a": in_the_way}, op("merge", ["a", "b"], value={"c": 1})) == ({"a": {"b": {"c": 1}}}, [])
    assert change(in_the_way, op("merge", ["a", "b"], value={"c": 1})) == ({"a": {"b": {"c": 1}}}, [])


@pytest.mark.parametrize("value", [None, 1, "x", []])
def test_only_objects_can_be_merged(value: Any) -> None:
    assert change({"a": 1}, op("merge", value=value)) == ({"a": 1}, ["merge.value.not_an_object"])


def test_what_was_put_in_is_not_shared() -> None:
    value: dict[str, Any] = {"list": []}
    ops = _decode_ops(json.dumps([op("set", "a", value=value), op("append", ["a", "list"], value=1)]).encode())
    assert apply({}, ops)[0] == {"a": {"list": [1]}}
    assert apply({}, ops)[0] == {"a": {"list": [1]}}


# Limits


def nested(depth: int) -> dict[str, Any]:
    value: Any = 1
    for _ in range(depth):
        value = {"k": value}
    return {"k": value}


@pytest.mark.parametrize(
    ("fields", "code"),
    [
        (op("merge", ["s"] * 33, value={}), "merge.path.too_deep"),
        (op("append", ["s"] * 33, value=1), "append.path.too_deep"),
        (op("merge", ["a", ""], value={}), "merge.path.empty_segment"),
        (op("append", ["", "a"], value=1), "append.path.empty_segment"),
        (op("merge", [""], value={}), "merge.path.empty_segment"),
        (op("set", "s" * 257, value=1), "set.path.segment_too_long"),
        (op("remove", "é" * 129), "remove.path.segment_too_long"),
        (op("merge", ["a", "é" * 129], value={}), "merge.path.segment_too_long"),
        (op("merge", value={str(n): n for n in range(1025)}), "merge.value.too_many_keys"),
        (op("merge", value={"__proto__": 1}), "merge.value.proto_polluted"),
        (op("merge", value=nested(16)), "merge.value.too_deep"),
        (op("merge", value={"a": [nested(15)]}), "merge.value.too_deep"),
    ],
)
def test_limits(fields: dict[str, Any], code: str) -> None:
    assert change({"a": 1}, fields) == ({"a": 1}, [code])


@pytest.mark.parametrize("name", ["__proto__", "constructor", "prototype"])
def test_reserved_names_are_refused_everywhere(name: str) -> None:
    ops = [
        op("set", name, value=1),
        op("increment", name, by=1),
        op("decrement", name, by=1),
        op("remove", name),
        op("append", name, value=1),
        op("append", ["a", name, "b"], value=1),
        op("merge", [name, "a"], value={}),
        op("merge", ["a", name], value={}),
    ]
    assert change({"n": 1}, *ops) == ({"n": 1}, [f"{each['type']}.path.proto_polluted" for each in ops])


@pytest.mark.parametrize(
    "fields",
    [
        op("merge", ["s"] * 32, value={}),
        op("set", "s" * 256, value=1),
        op("set", "é" * 128, value=1),
        op("merge", value={str(n): n for n in range(1024)}),
        op("merge", value=nested(15)),
        op("set", "a", value=nested(40)),
    ],
)
def test_what_is_just_allowed(fields: dict[str, Any]) -> None:
    assert change({}, fields)[1] == []


# Errors


def test_failed_operations_are_skipped_and_keep_their_place() -> None:
    ops = [
        op("set", "a", value=1),
        op("increment", "s", by=1),
        op("increment", "a", by=1),
        op("append", "a", value=1),
        op("set", "b", value=2),
    ]
    new, errors = apply({"s": "x"}, _decode_ops(json.dumps(ops).encode()))
    assert new == {"s": "x", "a": 2, "b": 2}
    assert [(error.op_index, error.code) for error in errors] == [
        (1, "increment.not_number"),
        (3, "append.type_mismatch"),
    ]
    assert "'s'" in errors[0].message
    assert all(error.doc_url for error in errors)


def test_messages_show_paths() -> None:
    ops = [op("increment", "", by=1), op("append", ["a", "b"], value=1)]
    _, errors = apply("x", _decode_ops(json.dumps(ops).encode()))
    assert "root" in errors[0].message
    assert "[a, b]" in errors[1].message


@pytest.mark.parametrize(
    "ops",
    [
        b'[{"type":"multiply","path":"a","by":2}]',
        b'[{"path":"a","value":1}]',
        b'[{"type":"set","value":1}]',
        b'[{"type":"set","path":null,"value":1}]',
        b'[{"type":"set","path":["a"],"value":1}]',
        b'[{"type":"increment","path":"a"}]',
        b'[{"type":"increment","by":1}]',
        b'[{"type":"increment","path":"a","by":"1"}]',
        b'[{"type":"increment","path":"a","by":true}]',
        b'[{"type":"increment","path":"a","by":9223372036854775808}]',
        b'[{"type":"increment","path":"a","by":1e999}]',
        b'[{"type":"increment","path":"a","by":NaN}]',
        b'[{"type":"remove"}]',
        b'[{"type":"merge","path":"a"}]',
        b'[{"type":"append","path":[1],"value":1}]',
        b'{"type":"set"}',
    ],
)
def test_what_is_no_operation_is_refused_before_anything_happens(ops: bytes) -> None:
    with pytest.raises(msgspec.MsgspecError):
        _decode_ops(ops)


def test_a_new_value_has_a_limit() -> None:
    ops = _decode_ops(b'[{"type":"append","path":"","value":"x"}]')
    assert updated(b'"1234567"', ops, 10)[0] == b'"1234567x"'
    with pytest.raises(BadUpdate, match="11 bytes, more than 10"):
        updated(b'"12345678"', ops, 10)


def test_a_new_value_that_clients_could_not_read_is_refused() -> None:
    deep: Any = 1
    for _ in range(120):
        deep = [deep]
    ops = json.dumps([op("append", ["s"] * 32, value=deep)]).encode()
    with pytest.raises(BadUpdate, match="deeper"):
        updated(None, _decode_ops(ops), MANY)


def test_a_stored_value_that_is_no_json_cannot_be_updated() -> None:
    with pytest.raises(BadUpdate, match="cannot be read"):
        updated(b"{oops", [], MANY)


# Anything

values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**64 - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda children: st.lists(children, max_size=3) | st.dictionaries(st.sampled_from("abc"), children, max_size=3),
    max_leaves=6,
)
keys = st.sampled_from(["", "a", "b", "c", "a.b", "__proto__"])
long_paths = st.none() | keys | st.lists(keys, max_size=3)
numbers = st.integers(-(2**63), 2**63 - 1) | st.floats(allow_nan=False, allow_infinity=False)
operations = st.one_of(
    st.fixed_dictionaries({"type": st.just("set"), "path": keys, "value": values}),
    st.fixed_dictionaries({"type": st.sampled_from(["increment", "decrement"]), "path": keys, "by": numbers}),
    st.fixed_dictionaries({"type": st.just("remove"), "path": keys}),
    st.fixed_dictionaries({"type": st.sampled_from(["merge", "append"]), "path": long_paths, "value": values}),
)


@given(values, st.lists(operations, max_size=5))
def test_any_operations_on_anything_end_in_json(value: Any, ops: list[dict[str, Any]]) -> None:
    decoded = _decode_ops(msgspec.json.encode(ops))
    before = msgspec.json.encode(ops)
    new, errors = updated(msgspec.json.encode(value), decoded, MANY)
    assert updated(msgspec.json.encode(value), decoded, MANY) == (new, errors)
    assert msgspec.json.encode(ops) == before
    assert json.loads(new) is not ...
    assert [error.op_index for error in errors] == sorted({error.op_index for error in errors})


@given(values, st.lists(operations, max_size=5))
def test_failed_operations_change_nothing(value: Any, ops: list[dict[str, Any]]) -> None:
    stored = msgspec.json.encode(value)
    new, errors = updated(stored, _decode_ops(msgspec.json.encode(ops)), MANY)
    failed = {error.op_index for error in errors}
    rest = [each for at, each in enumerate(ops) if at not in failed]
    assert updated(stored, _decode_ops(msgspec.json.encode(rest)), MANY) == (new, [])


@given(values, st.lists(operations, max_size=6), st.integers(0, 6))
def test_operations_can_be_applied_in_parts(value: Any, ops: list[dict[str, Any]], cut: int) -> None:
    stored = msgspec.json.encode(value)
    whole, _ = updated(stored, _decode_ops(msgspec.json.encode(ops)), MANY)
    half, _ = updated(stored, _decode_ops(msgspec.json.encode(ops[:cut])), MANY)
    assert updated(half, _decode_ops(msgspec.json.encode(ops[cut:])), MANY)[0] == whole
