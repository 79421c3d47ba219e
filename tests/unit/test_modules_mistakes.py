"""Everything wrong with a config is found, at its place, with what is allowed there."""

from typing import Annotated, Any, Literal

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import Meta, Struct

from iii_cluster.config.document import parse_document
from iii_cluster.config.errors import Findings
from iii_cluster.config.reference import read_reference
from iii_cluster.modules.mistakes import mistakes, path_of


class Log(Struct, frozen=True, forbid_unknown_fields=True, tag_field="type", tag="log"):
    pass


class Post(Struct, forbid_unknown_fields=True, tag_field="type", tag="post"):
    url: str


class Rule(Struct, forbid_unknown_fields=True):
    name: str
    operator: Literal["<", ">"] = ">"
    action: Log | Post = Log()


class Inner(Struct):
    ratio: Annotated[float, Meta(ge=0, le=1)] | None = None


class Config(Struct, forbid_unknown_fields=True):
    rules: tuple[Rule, ...] = ()
    inner: Inner | None = None
    sizes: dict[str, int] = {}
    colour: Literal["red", "blue"] | None = None


@pytest.mark.parametrize(
    ("config", "found"),
    [
        ({"ruls": []}, [("ruls", "unknown key", "did you mean `rules`?")]),
        ({"rules": [{}]}, [("rules[0]", "`name` is missing", "")]),
        ({"rules": {}}, [("rules", "expected `array`, got `object`", "")]),
        (
            {"rules": [{"name": "a"}, {"name": 1, "operator": "=>", "nam": 1}]},
            [
                ("rules[1].nam", "unknown key", "did you mean `name`?"),
                ("rules[1].name", "expected `str`, got `int`", ""),
                ("rules[1].operator", "invalid enum value '=>'", "one of <, >"),
            ],
        ),
        (
            {"rules": [{"name": "a", "action": {"type": "page"}}]},
            [("rules[0].action.type", "unknown word", "one of log, post")],
        ),
        ({"rules": [{"name": "a", "action": {}}]}, [("rules[0].action", "`type` is missing", "one of log, post")]),
        (
            {"rules": [{"name": "a", "action": {"type": "post", "ur": "x"}}]},
            [
                ("rules[0].action.ur", "unknown key", "did you mean `url`?"),
                ("rules[0].action", "`url` is missing", ""),
            ],
        ),
        ({"inner": {"ratio": 2.0}}, [("inner.ratio", "expected `float` <= 1.0", "")]),
        (
            {"sizes": {"a": 1, "b": "x", "c": None}},
            [("sizes.b", "expected `int`, got `str`", ""), ("sizes.c", "expected `int`, got `null`", "")],
        ),
        ({"colour": "green"}, [("colour", "invalid enum value 'green'", "one of blue, red")]),
    ],
)
def test_each_mistake_has_its_place_and_what_is_allowed(config: Any, found: list[tuple[str, str, str]]) -> None:
    assert [(path_of(each.place), each.message, each.hint) for each in mistakes(config, Config)] == found


_anything = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(max_size=3)
    | st.sampled_from(["<", "red", "log"]),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["rules", "inner", "sizes", "colour", "name", "operator", "action", "type", "url", "x"]),
            inner,
        )
    ),
    max_leaves=12,
)


@given(_anything)
def test_there_is_a_mistake_just_where_a_config_does_not_fit(config: Any) -> None:
    try:
        msgspec.convert(config, Config)
        fits = True
    except msgspec.ValidationError:
        fits = False
    assert fits is not bool(list(mistakes(config, Config)))


def test_all_mistakes_of_a_module_are_told_with_their_lines() -> None:
    findings = Findings("c.yaml")
    text = """\
workers:
  - name: iii-observability
    config:
      exporter: bth
      alerts:
        - {name: a, metric: m, threshold: 1}
        - name: b
          metric: m
          operator: "=>"
          windw_seconds: 5
      sampling:
        rules:
          - rate: 2
"""
    read_reference(parse_document(text, {}, "c.yaml"), findings)
    words = "!=, <, <=, ==, >, >=, equal, greaterthan, greaterthanorequal, lessthan, lessthanorequal, notequal"
    assert sorted(str(error) for error in findings.errors) == [
        "c.yaml:10: iii-observability: unknown key `alerts[1].windw_seconds` (did you mean `window_seconds`?)",
        "c.yaml:13: iii-observability: `sampling.rules[0].rate`: expected `float` <= 1.0",
        "c.yaml:4: iii-observability: `exporter`: invalid enum value 'bth' (one of both, memory, otlp)",
        "c.yaml:7: iii-observability: `alerts[1]`: `threshold` is missing",
        f"c.yaml:9: iii-observability: `alerts[1].operator`: invalid enum value '=>' (one of {words})",
    ]


def test_all_mistakes_of_a_listener_are_told_with_their_lines() -> None:
    findings = Findings("c.yaml")
    text = "workers:\n  - name: iii-worker-manager\n    config:\n      port: x\n      hst: y\n"
    read_reference(parse_document(text, {}, "c.yaml"), findings)
    assert sorted(error.line for error in findings.errors) == [4, 5]


def test_all_mistakes_of_all_queues_are_told() -> None:
    findings = Findings("c.yaml")
    queues = "a: {concurrency: 0, max_retries: -1}\n        b: {type: lifo, bakoff_ms: 1}"
    text = f"workers:\n  - name: iii-queue\n    config:\n      queue_configs:\n        {queues}\n"
    read_reference(parse_document(text, {}, "c.yaml"), findings)
    assert sorted(error.line for error in findings.errors) == [5, 5, 6, 6]
