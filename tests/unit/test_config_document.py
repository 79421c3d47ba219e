from pathlib import Path

import pytest

from iii_cluster.config.document import parse_document, read_document
from iii_cluster.config.errors import InvalidConfig


def test_data_is_plain_and_every_place_has_its_line() -> None:
    document = parse_document("a: 1\nlist:\n  - x: yes\n  - y:\n      z: 2.5\n", {}, "c.yaml")
    assert document.root == {"a": 1, "list": [{"x": True}, {"y": {"z": 2.5}}]}
    assert document.line(("a",)) == 1
    assert document.line(("list", 1)) == 4
    assert document.line(("list", 1, "y", "z")) == 5


def test_an_absent_place_has_the_line_around_it() -> None:
    document = parse_document("a: 1\nb:\n  c: 1\n", {}, "c.yaml")
    assert document.line(("b", "missing")) == 2


@pytest.mark.parametrize("text", ["", "\n\n", "# only a comment\n", "---\n"])
def test_an_empty_file_is_an_empty_mapping(text: str) -> None:
    assert parse_document(text, {}, "c.yaml").root == {}


def test_anchors_and_merge_keys_are_followed() -> None:
    document = parse_document("base: &b {x: 1, y: 2}\nmore:\n  <<: *b\n  y: 3\n", {}, "c.yaml")
    assert document.root["more"] == {"x": 1, "y": 3}


@pytest.mark.parametrize(
    ("text", "line", "message"),
    [
        ("- a\n- b\n", 1, "must be a mapping"),
        ("\n\njust text\n", 3, "must be a mapping"),
        ("a: 1\nb: *nowhere\n", 2, "undefined alias"),
        ("a: 1\nb: [1, 2\nc: 3\n", 3, "not valid YAML"),
        ("a: 1\n\tb: 2\n", 2, "not valid YAML"),
        ("a: 1\nb: !unknown x\n", 2, "not valid YAML"),
        ("a: 1\n---\nb: 2\n", 2, "single document"),
        ("a: 1\nb: 2\na: 3\n", 3, "`a` was already given on line 1"),
        ("a: 1\nb: &x [*x]\n", 2, "contains itself"),
        ("? [1, 2]\n: 3\n", 1, "plain text"),
        ("a: 1\nb: \x01\n", 2, "forbids"),
    ],
)
def test_what_is_not_a_yaml_mapping_is_refused_with_its_line(text: str, line: int, message: str) -> None:
    with pytest.raises(InvalidConfig, match=message) as caught:
        parse_document(text, {}, "c.yaml")
    assert [(error.file, error.line) for error in caught.value.errors] == [("c.yaml", line)]


def test_a_broken_line_with_a_password_is_not_quoted() -> None:
    with pytest.raises(InvalidConfig) as caught:
        parse_document("url: [${URL}\nb: 1\n", {"URL": "redis://:hunter2@h"}, "c.yaml")
    assert "hunter2" not in str(caught.value)


def test_a_hundred_thousand_brackets_are_refused() -> None:
    with pytest.raises(InvalidConfig, match="nested too deeply"):
        parse_document("a: " + "[" * 100_000, {}, "c.yaml")


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(InvalidConfig, match=r"none\.yaml: cannot be read: No such file"):
        read_document(tmp_path / "none.yaml", {})


def test_a_file_that_is_not_text_is_refused_with_its_line(tmp_path: Path) -> None:
    path = tmp_path / "c.yaml"
    path.write_bytes(b"a: 1\nb: \xff\xfe\n")
    with pytest.raises(InvalidConfig, match=r"c\.yaml:2: is not UTF-8"):
        read_document(path, {})


def test_a_byte_order_mark_is_skipped(tmp_path: Path) -> None:
    path = tmp_path / "c.yaml"
    path.write_bytes(b"\xef\xbb\xbfa: 1\n")
    assert read_document(path, {}).root == {"a": 1}
