"""Finding the triggers that an event concerns."""

import json

from hypothesis import given
from hypothesis import strategies as st

from iii_cluster.bus.envelopes import Trigger
from iii_cluster.modules.events.patterns import Patterns
from iii_cluster.modules.state.triggers import STATE_EVENTS


def trigger(id: str, **config: object) -> Trigger:
    return Trigger(id, "state", "f", json.dumps(config).encode())


def patterns(*triggers: Trigger) -> Patterns:
    patterns = Patterns(STATE_EVENTS)
    patterns.load(triggers)
    return patterns


def test_a_trigger_asks_for_a_scope_a_key_both_or_nothing_special() -> None:
    found = patterns(
        trigger("all"),
        trigger("s", scope="s"),
        trigger("k", key="k"),
        trigger("sk", scope="s", key="k"),
        trigger("t", scope="t"),
    )
    assert set(found.matching(("s", "k"))) == {"all", "s", "k", "sk"}
    assert set(found.matching(("s", "x"))) == {"all", "s"}
    assert set(found.matching(("x", "k"))) == {"all", "k"}
    assert set(found.matching(("x", "x"))) == {"all"}


def test_null_asks_for_nothing_and_the_empty_string_for_itself() -> None:
    found = patterns(trigger("null", scope=None), trigger("empty", scope=""))
    assert found.matching(("s", "k")) == ["null"]
    assert set(found.matching(("", "k"))) == {"null", "empty"}


def test_there_are_no_wildcards() -> None:
    assert patterns(trigger("glob", scope="s*"), trigger("prefix", key="k:")).matching(("s1", "k:1")) == []


def test_a_config_that_cannot_be_read_asks_for_nothing_that_can_be() -> None:
    assert patterns(Trigger("odd", "state", "f", b'{"scope":1}')).matching(("1", "k")) == []


def test_what_is_loaded_replaces_what_was_there() -> None:
    found = patterns(trigger("a", scope="s"), trigger("b", scope="s"))
    found.load([trigger("b", scope="t"), trigger("c")])
    assert found.matching(("s", "k")) == ["c"]
    assert set(found.matching(("t", "k"))) == {"b", "c"}
    assert found.get("a") is None
    assert found.get("b") == trigger("b", scope="t")


names = st.sampled_from(["", "a", "b", "a:b", "*", "\0"])


@given(st.lists(st.tuples(st.none() | names, st.none() | names), max_size=12), names, names)
def test_it_finds_what_a_look_at_all_would_find(
    asked: list[tuple[str | None, str | None]], scope: str, key: str
) -> None:
    found = patterns(*(trigger(str(n), scope=s, key=k) for n, (s, k) in enumerate(asked)))
    expected = [str(n) for n, (s, k) in enumerate(asked) if s in (None, scope) and k in (None, key)]
    assert sorted(found.matching((scope, key))) == sorted(expected)
