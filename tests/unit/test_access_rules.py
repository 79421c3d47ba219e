"""What the rules of a listener and the grants of a connection add up to."""

import json
import tracemalloc
from fnmatch import fnmatchcase
from typing import Any

import msgspec
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from iii_cluster.access.filters import parse_filters, wildcard
from iii_cluster.access.grants import MAX_CONTEXT, UNASKED, BadGrants, read_grants
from iii_cluster.access.reserved import Reserved
from iii_cluster.access.rules import (
    INFRASTRUCTURE,
    MAX_REMEMBERED,
    Access,
    ListenerRules,
    Verdict,
    deciding_functions,
    denial,
)
from iii_cluster.access.triggers import named_functions, scoped, unscoped
from iii_cluster.config.settings import Rbac, WorkerListener


def access(granted: Any = None, *expose: Any, **rbac: str) -> Access:
    rules = ListenerRules(WorkerListener(rbac=Rbac(expose_functions=expose, **rbac)), "worker-2")
    return Access(rules, UNASKED if granted is None else read_grants(json.dumps(granted).encode()))


def may(access: Access, function: str, namespace: str = "default", metadata: Any = None) -> bool:
    return access.may_call(namespace, function, lambda: b"" if metadata is None else json.dumps(metadata).encode())


# -- calls


def test_nothing_is_allowed_that_nobody_allows() -> None:
    nobody = access()
    assert not may(nobody, "api::f", metadata={"public": True})
    assert not may(nobody, "engine::functions::list")
    assert not may(nobody, "")


def test_ids_that_nothing_can_have_are_not_remembered() -> None:
    """They come from configurations of triggers and inputs of functions, and have any length there."""
    somebody = access({"namespaces": {"default": ["*"], "*": ["*"]}}, "*", {"metadata": {"public": True}})
    tracemalloc.start()
    try:
        for n in range(100):
            assert not may(somebody, f"{n}" * 100_000, metadata={"public": True})
            assert not may(somebody, "f", namespace=f"{n}" * 100_000)
        assert tracemalloc.get_traced_memory()[0] < 2_000_000
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("function", sorted(INFRASTRUCTURE))
def test_what_every_client_calls_needs_no_permission_but_can_be_forbidden(function: str) -> None:
    assert may(access(), function)
    assert not may(access({"forbidden_functions": [function]}), function)


def test_a_forbidden_function_stays_forbidden_whatever_else_allows_it() -> None:
    granted = {
        "forbidden_functions": ["a::f"],
        "allowed_functions": ["a::f"],
        "namespaces": {"default": ["a::*"], "shop": ["a::*"]},
    }
    both = access(granted, "a::*", {"metadata": {"public": True}})
    assert both.verdict("default", "a::f") is both.verdict("shop", "a::f") is Verdict.FORBIDDEN
    assert may(both, "a::g")


def test_grants_are_exact_or_wildcards_and_of_one_namespace() -> None:
    granted = {"namespaces": {"shop": ["a::f", "b::*", 'match("c::*::x")'], "other": []}, "allowed_functions": ["d::*"]}
    some = access(granted)
    assert [f for f in ("a::f", "a::ff", "b::", "b::x::y", "c::1::x", "c::1::y") if may(some, f, "shop")] == [
        "a::f",
        "b::",
        "b::x::y",
        "c::1::x",
    ]
    assert not may(some, "a::f")
    assert not may(some, "a::f", "other")
    assert may(some, "d::*")
    assert not may(some, "d::x"), "allowed_functions are exact"
    assert not may(some, "d::*", "shop"), "they are of default"


def test_filters_are_of_one_namespace_too() -> None:
    some = access(None, 'match("api::*")', {"match": "shop::*", "namespace": "shop"})
    assert may(some, "api::f")
    assert not may(some, "api::f", "shop")
    assert may(some, "shop::f", "shop")
    assert not may(some, "shop::f")


def test_metadata_must_have_all_that_a_filter_names() -> None:
    some = access(None, {"metadata": {"public": True, "name": 'match("*x*")'}})
    assert some.verdict("default", "f") is Verdict.METADATA
    assert may(some, "f", metadata={"public": True, "name": "axb", "more": 1})
    wrong = {"public": 1, "name": "x"}
    others: list[Any] = [None, {}, {"public": True}, wrong, {"public": True, "name": ["x"]}, [], "x"]
    for other in others:
        assert not may(some, "f", metadata=other)
    assert not may(some, "f", "shop", {"public": True, "name": "x"})


def test_what_metadata_decided_is_forgotten_when_it_changes() -> None:
    some = access(None, {"metadata": {"public": True}})
    assert some.exposes("default", "f", b'{"public":true}')
    assert not some.exposes("default", "f", b'{"public":false}')
    assert not some.exposes("default", "f", b"")
    assert not some.exposes("default", "f", b"{broken")
    assert some.exposes("default", "f", b'{"public":true}')


def test_without_rules_only_what_is_forbidden_is() -> None:
    free = Access(ListenerRules(WorkerListener(middleware_function_id="gate::all"), "worker-2"))
    assert may(free, "anything", "anywhere")
    assert free.realm == ""
    assert free.middleware == "gate::all"


def test_decisions_are_remembered_but_not_all_of_them() -> None:
    some = access(None, "a::*")
    for number in range(MAX_REMEMBERED + 10):
        assert may(some, f"a::{number}")
    assert len(some._decided) <= MAX_REMEMBERED


def test_only_a_full_id_names_a_function() -> None:
    function = "iii::queue::redrive"
    assert access(None, function).names(function)
    assert access({"allowed_functions": [function]}).names(function)
    assert access({"namespaces": {"default": [function]}}).names(function)
    assert not access({"namespaces": {"default": ["iii::*"], "shop": [function]}}, "iii::*").names(function)


def test_the_caller_is_told_what_to_change() -> None:
    assert denial("f", Verdict.HIDDEN) == "function 'f' not allowed (add to rbac.expose_functions)"
    assert denial("f", Verdict.METADATA) == "function 'f' not allowed (add to rbac.expose_functions)"
    assert denial("f", Verdict.FORBIDDEN) == "function 'f' not allowed (remove from rbac.forbidden_functions)"


# -- trigger types


def test_types_that_tell_of_everybody_have_to_be_named() -> None:
    assert access().may_use_type("cron")
    assert not access().may_use_type("engine::functions-available")
    assert not access({}).may_use_type("log")
    assert access({"allowed_trigger_types": ["log"]}).may_use_type("log")
    assert not access({"allowed_trigger_types": ["log"]}).may_use_type("cron")
    assert not access({"allowed_trigger_types": []}).may_use_type("cron")


def test_other_names_of_a_type_are_the_same_type() -> None:
    names = {"api": "http"}
    some = access({"allowed_trigger_types": ["api"]})
    assert some.may_use_type("http", lambda name: names.get(name, name))
    assert not access({"allowed_trigger_types": ["cron"]}).may_use_type("api", lambda name: names.get(name, name))


# -- what an auth function answers


def test_what_an_auth_function_leaves_out() -> None:
    granted = read_grants(b"{}")
    assert granted.allow_function_registration
    assert not granted.allow_trigger_type_registration
    assert granted.allowed_trigger_types is None
    assert UNASKED.allow_trigger_type_registration


@pytest.mark.parametrize(
    "answer",
    [
        b"",
        b"null",
        b"true",
        b"[]",
        b'"yes"',
        b"{",
        b'{"allowed_functions":null}',
        b'{"allowed_functions":[null]}',
        b'{"allowed_functions":"f"}',
        b'{"forbidden_functions":[1]}',
        b'{"namespaces":{"shop":null}}',
        b'{"namespaces":{"shop":[null]}}',
        b'{"namespaces":{" ":[]}}',
        b'{"namespaces":["shop"]}',
        b'{"allow_function_registration":1}',
        b'{"allow_function_registration":"false"}',
        b'{"allow_trigger_type_registration":null}',
        b'{"function_registration_prefix":7}',
        b'{"function_registration_prefix":""}',
        b'{"function_registration_prefix":" "}',
        b'{"allowed_trigger_types":[null]}',
        b'{"forbiden_functions":["f"]}',
        b'{"context":"%b"}' % (b"x" * MAX_CONTEXT),
    ],
)
def test_anything_else_than_rights_refuses_the_connection(answer: bytes) -> None:
    with pytest.raises(BadGrants):
        read_grants(answer)


# -- wildcards

_TEXT = st.text(alphabet="ab:.[]?\\\n*", max_size=8)


@given(pattern=_TEXT, text=_TEXT)
@example(pattern="*a*ab", text="aab")
@example(pattern="a*a", text="a")
@example(pattern="**", text="")
def test_a_star_is_any_text_and_all_else_is_itself(pattern: str, text: str) -> None:
    model = "".join(c if c == "*" else f"[{c}]" if c in "[?" else c for c in pattern)
    assert (wildcard(pattern).fullmatch(text) is not None) == fnmatchcase(text, model)


def test_no_id_makes_a_wildcard_slow() -> None:
    assert wildcard("*a" * 40 + "b").fullmatch("a" * 1000) is None


@given(ids=st.lists(_TEXT, max_size=4), function=_TEXT)
def test_a_filter_takes_what_any_of_its_patterns_takes(ids: list[str], function: str) -> None:
    some = access(None, *ids)
    expected = any(wildcard(one).fullmatch(function) for one in ids) or function in INFRASTRUCTURE
    assert may(some, function) == expected
    assert [one.exact for one in parse_filters(ids)] == ["" if "*" in one else one for one in ids]


# -- triggers and ids


def test_triggers_of_two_realms_never_have_the_same_id() -> None:
    assert scoped("", "t") == "t"
    assert scoped("worker-2", "t") != scoped("worker-3", "t")
    assert unscoped("worker-2", scoped("worker-2", "t")) == "t"
    assert unscoped("worker-3", scoped("worker-2", "t")) == scoped("worker-2", "t")
    assert scoped("worker-2", scoped("worker-3", "t")) != scoped("worker-3", "t")


@pytest.mark.parametrize(
    ("config", "named"),
    [
        (b"", []),
        (b"null", []),
        (b"[1]", []),
        (
            b'{"condition_function_id":"c","middleware_function_ids":["m",3,"n"],"_condition_path":"d"}',
            ["c", "m", "n", "d"],
        ),
        (b'{"condition\\u005ffunction_id":"c","other":"x","queue":{"function_id":"nested"}}', ["c"]),
        (b'{"condition_function_id":"","middleware_function_ids":"m"}', []),
    ],
)
def test_functions_that_a_config_names(config: bytes, named: list[str]) -> None:
    assert named_functions(config) == named


def test_a_config_that_is_no_json_is_not_looked_over() -> None:
    with pytest.raises(msgspec.DecodeError):
        named_functions(b"{")


def test_ids_that_something_else_calls_are_not_for_workers_under_rules() -> None:
    reserved = Reserved({"gate::auth", ""}, ["state::get", "publish"])
    for id in ("gate::auth", "engine::log::info", "state::mine", "todo.set", "a.b.list_groups"):
        assert ("default", id) in reserved
    for id in ("orders::create", "stateful", "", "todo.setting", "state"):
        assert ("default", id) not in reserved
    assert ("shop", "gate::auth") in reserved
    assert ("shop", "todo.set") not in reserved


def test_every_function_that_decides_on_any_listener_is_known() -> None:
    listeners = [
        WorkerListener(middleware_function_id="m"),
        WorkerListener(rbac=Rbac(auth_function_id="a", on_trigger_registration_function_id="t")),
        WorkerListener(
            rbac=Rbac(on_function_registration_function_id="f", on_trigger_type_registration_function_id="y")
        ),
    ]
    assert deciding_functions(listeners) == {"m", "a", "t", "f", "y"}
