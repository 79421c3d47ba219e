import pytest

from iii_cluster.config.errors import InvalidConfig
from iii_cluster.config.expand import expand

ENVIRON = {"HOST": "10.0.0.1", "EMPTY": "", "TWO_LINES": "a: 1\nb: 2"}


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("host: ${HOST}", "host: 10.0.0.1"),
        ("host: ${HOST:other}", "host: 10.0.0.1"),
        ("host: ${NONE:localhost}", "host: localhost"),
        ("url: ${NONE:redis://h:6379/0}", "url: redis://h:6379/0"),
        ("host: ${NONE:}", "host: "),
        ("host: ${EMPTY:default}", "host: "),
        ("${HOST}-${HOST}", "10.0.0.1-10.0.0.1"),
        ("price: $5 {HOST} $HOST", "price: $5 {HOST} $HOST"),
        ("", ""),
    ],
)
def test_variables_are_replaced_by_value_or_default(text: str, expected: str) -> None:
    assert expand(text, ENVIRON, "config.yaml")[0] == expected


def test_every_unset_variable_is_reported_with_its_line() -> None:
    with pytest.raises(InvalidConfig) as caught:
        expand("a: 1\nb: ${MISSING}\nc: ${HOST}\nd: ${ALSO_MISSING}\n", ENVIRON, "config.yaml")
    assert [(error.file, error.line) for error in caught.value.errors] == [("config.yaml", 2), ("config.yaml", 4)]
    assert "MISSING is not set" in caught.value.errors[0].message
    assert "${ALSO_MISSING:default}" in caught.value.errors[1].hint


def test_lines_are_those_of_the_file_although_a_value_has_several() -> None:
    text, origins = expand("x: 0\n${TWO_LINES}\nlast: ${HOST}\n", ENVIRON, "config.yaml")
    assert text.split("\n") == ["x: 0", "a: 1", "b: 2", "last: 10.0.0.1", ""]
    assert origins == [1, 2, 2, 3, 4]
