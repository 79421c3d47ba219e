"""Subscriptions by topic."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from iii_cluster.bus.envelopes import Trigger
from iii_cluster.modules.pubsub.topics import Topics, topic_of


def subscribe(id: str, topic: str, **more: str) -> Trigger:
    pairs = {"topic": topic, **more}
    config = ",".join(f'"{key}":"{value}"' for key, value in pairs.items())
    return Trigger(id, "subscribe", "f", b"{" + config.encode() + b"}")


def ids(topics: Topics, topic: str) -> set[str]:
    return {subscription.trigger.id for subscription in topics.of(topic)}


@pytest.mark.parametrize(
    "config", [b"null", b"{}", b'{"topic":""}', b'{"topic":null}', b'{"topic":7}', b"[]", b'"t"', b'{"topics":"t"}']
)
def test_a_trigger_without_a_topic_subscribes_nothing(config: bytes) -> None:
    topics = Topics()
    trigger = Trigger("t", "subscribe", "f", config)
    topics.update([trigger])
    assert topic_of(trigger) == ""
    assert (len(topics), topics.subscriptions, topics.of("")) == (0, 0, ())


def test_topics_are_plain_names() -> None:
    topics = Topics()
    topics.update([subscribe("a", "orders"), subscribe("b", "orders.*"), subscribe("c", "*"), subscribe("d", "ORDERS")])
    assert ids(topics, "orders") == {"a"}
    assert ids(topics, "orders.*") == {"b"}
    assert ids(topics, "orders.created") == set()


def test_a_trigger_that_moves_to_another_topic_leaves_the_first() -> None:
    topics = Topics()
    topics.update([subscribe("a", "x"), subscribe("b", "x")])
    topics.update([subscribe("a", "y"), subscribe("b", "x")])
    assert (ids(topics, "x"), ids(topics, "y")) == ({"b"}, {"a"})


@pytest.mark.parametrize("key", ["condition_function_id", "_condition_path"])
def test_conditions_are_known_beforehand(key: str) -> None:
    topics = Topics()
    topics.update([subscribe("a", "x", **{key: "check"}), subscribe("b", "x", **{key: ""}), subscribe("c", "x")])
    assert {s.trigger.id: s.conditional for s in topics.of("x")} == {"a": True, "b": False, "c": False}


@given(st.lists(st.dictionaries(st.sampled_from("abcdef"), st.sampled_from(["", "x", "y", "z"])), max_size=8))
def test_after_any_changes_each_topic_has_exactly_its_triggers(steps: list[dict[str, str]]) -> None:
    topics = Topics()
    for step in steps:
        topics.update([subscribe(id, topic) for id, topic in step.items()])
        for topic in "xyz":
            assert ids(topics, topic) == {id for id, at in step.items() if at == topic}
        assert len(topics) == len(set(step.values()) - {""})
