import logging
import sys

import pytest

from iii_cluster.node.logs import LineFormatter, redact


def record(message: str, *args: object, exc_info: object = None) -> logging.LogRecord:
    return logging.LogRecord("role.part", logging.WARNING, "file.py", 1, message, args, exc_info)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("url=redis://user:secret@host:6379/0 x=1", "url=redis://***@host:6379/0 x=1"),
        ("rediss://:secret@host and redis://other:x@two", "rediss://***@host and redis://***@two"),
        ("redis://host/0?db=1&password=secret x", "redis://host/0?db=1&password=*** x"),
        ("redis://host:6379", "redis://host:6379"),
        ("mail=a@b.example", "mail=a@b.example"),
    ],
)
def test_credentials_in_urls_are_hidden(text: str, expected: str) -> None:
    assert redact(text) == expected


def test_a_record_is_one_line_with_level_and_logger() -> None:
    line = LineFormatter().format(record("action=waiting url=%s detail=%s", "redis://:pw@h:1", "a\nb"))
    assert line.endswith("Z level=warning logger=role.part action=waiting url=redis://***@h:1 detail=a\\nb")
    assert "\n" not in line


def test_a_traceback_stays_on_the_line_of_its_record() -> None:
    try:
        raise ValueError("redis://:pw@host")
    except ValueError:
        line = LineFormatter().format(record("action=failed", exc_info=sys.exc_info()))
    assert "ValueError: redis://***@host" in line
    assert "\n" not in line
