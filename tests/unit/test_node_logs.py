import io
import json
import logging
import sys
from collections.abc import Iterator

import pytest

from iii_cluster.node import logs
from iii_cluster.node.log_limits import LINES, Limit
from iii_cluster.node.logs import OWN_QUOTA, JsonFormatter, LineFormatter, LineHandler
from iii_cluster.telemetry.config import Observability
from iii_cluster.telemetry.redaction import redact_text
from tests.support.eventually import eventually

TRACE = (b'"00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"', b"")


def record(message: str, *args: object, exc_info: object = None) -> logging.LogRecord:
    return logging.LogRecord("role.part", logging.WARNING, "file.py", 1, message, args, exc_info)  # type: ignore[arg-type]


@pytest.fixture
def clean_root() -> Iterator[logging.Logger]:
    """The root logger, as it was afterwards."""
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    yield root
    root.handlers[:] = handlers
    root.setLevel(level)


@pytest.fixture
def written(clean_root: logging.Logger) -> io.StringIO:
    """What a process with settings of its own would write."""
    stream = io.StringIO()
    clean_root.handlers[:] = [LineHandler(stream, LineFormatter("gateway"))]
    clean_root.setLevel(logging.INFO)
    return stream


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("url=redis://user:secret@host:6379/0 x=1", "url=redis://***@host:6379/0 x=1"),
        ("rediss://:secret@host and redis://other:x@two", "rediss://***@host and redis://***@two"),
        ("redis://host/0?db=1&password=secret x", "redis://host/0?db=1&password=*** x"),
        ("open http://localhost:3113/#token=abc now", "open http://localhost:3113/#token=*** now"),
        ("authorization: Bearer abcdefgh.ijk x", "authorization: Bearer *** x"),
        ("redis://host:6379", "redis://host:6379"),
        ("mail=a@b.example", "mail=a@b.example"),
        ("the basic idea", "the basic idea"),
    ],
)
def test_credentials_are_hidden(text: str, expected: str) -> None:
    assert redact_text(text) == expected


def test_a_record_is_one_line_with_level_node_and_logger() -> None:
    line = LineFormatter("shard", "shard-1").format(
        record("action=waiting url=%s x=%s", "redis://:pw@h:1", "a\nb\x1b[2J")
    )
    assert line.endswith(
        "Z level=warning node=shard-1 logger=role.part action=waiting url=redis://***@h:1 x=a\\nb\\x1b[2J"
    )


def test_a_traceback_stays_on_the_line_of_its_record() -> None:
    try:
        raise ValueError("redis://:pw@host")
    except ValueError:
        failed = record("action=failed", exc_info=sys.exc_info())
    line = LineFormatter().format(failed)
    assert "ValueError: redis://***@host" in line
    assert "\n" not in line
    assert "ValueError: redis://***@host" in json.loads(JsonFormatter().format(failed))["error"]


def test_json_has_what_the_line_says_as_fields() -> None:
    line = json.loads(JsonFormatter("gateway", "gateway-1").format(record("action=cut worker=%s n=%d", "a b=c", 3)))
    assert line.pop("time").endswith("Z")
    assert line == {
        "level": "warning",
        "logger": "role.part",
        "node": "gateway-1",
        "role": "gateway",
        "message": "action=cut worker='a b=c' n=3",
        "action": "cut",
        "fields": {"worker": "a b=c", "n": 3},
    }


def test_a_record_that_belongs_to_a_trace_says_so() -> None:
    traced = record("action=failed")
    traced.trace = TRACE
    assert (
        LineFormatter()
        .format(traced)
        .endswith(" action=failed trace_id=0af7651916cd43dd8448eb211c80319c span_id=b7ad6b7169203331")
    )
    line = json.loads(JsonFormatter().format(traced))
    assert (line["trace_id"], line["span_id"]) == ("0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331")
    forged = b'"00-0af7651916cd43dd node=shard-9-b7ad6b7169203331-01"'
    for trace in ((b"", b""), (forged, b""), (b'"00-1-2-01"', b"")):
        traced.trace = trace
        assert "_id" not in LineFormatter().format(traced)


def test_lines_of_one_kind_are_limited_and_what_was_left_out_is_told(written: io.StringIO) -> None:
    flood, other = logging.getLogger("a"), logging.getLogger("b")
    for n in range(LINES + 7):
        flood.warning("action=failed n=%d", n)
    other.warning("action=failed n=%d", 1)
    for n in range(LINES + 7):
        other.info("action=counted n=%d", n, extra=OWN_QUOTA)
    [handler] = logs.line_handlers()
    handler.close()
    lines = written.getvalue().splitlines()
    assert sum("logger=a " in line for line in lines) == LINES
    assert sum("action=counted" in line for line in lines) == LINES + 7
    assert lines[-1].endswith("action=lines_left_out source=a count=7 like='action=failed n=%d'")


async def test_what_was_left_out_is_told_though_nothing_else_is_logged(
    written: io.StringIO, monkeypatch: pytest.MonkeyPatch
) -> None:
    [handler] = logs.line_handlers()
    monkeypatch.setattr(handler, "_limit", Limit(1, 0.01))
    for _ in range(3):
        logging.getLogger("a").warning("action=failed")
    await eventually(lambda: "action=lines_left_out source=a" in written.getvalue())


def test_the_file_decides_on_level_and_format_if_it_says_anything(written: io.StringIO) -> None:
    logs.identify("gateway-1")
    logs.adjust(Observability())
    logging.getLogger("a").info("action=one")
    logs.adjust(Observability(level="WARN", format="json"))
    logging.getLogger("a").info("action=two")
    logging.getLogger("a").warning("action=three")
    first, second = written.getvalue().splitlines()
    assert "action=one" in first
    line = json.loads(second)
    assert (line["action"], line["node"], line["role"]) == ("three", "gateway-1", "gateway")


def test_a_level_that_is_none_changes_nothing(written: io.StringIO) -> None:
    logs.adjust(Observability(level="loud"))
    assert logging.getLogger().level == logging.INFO
    assert "action=level_ignored" in written.getvalue()


def test_a_line_about_its_own_node_names_it_once() -> None:
    own = record("action=fenced node=%s term=%d", "shard-1", 3)
    line = LineFormatter("shard", "shard-1").format(own)
    assert line.endswith("Z level=warning node=shard-1 logger=role.part action=fenced term=3")
    told = json.loads(JsonFormatter("shard", "shard-1").format(own))
    assert (told["node"], told["fields"], told["message"]) == ("shard-1", {"term": 3}, "action=fenced term=3")
    assert LineFormatter("shard", "shard-1").format(record("action=left node=%s", "shard-1")).endswith("action=left")
    for other in ("shard-12", "shard-2"):
        line = LineFormatter("shard", "shard-1").format(record("action=lost node=%s", other))
        assert line.endswith(f" node=shard-1 logger=role.part action=lost node={other}")


def test_actions_of_one_template_and_levels_are_kinds_of_their_own(written: io.StringIO) -> None:
    log = logging.getLogger("a")
    for _ in range(LINES + 1):
        log.info("action=console_%s target=%s", "invoke", "x")
    log.info("action=console_%s target=%s", "logs_clear", "x")
    log.warning("action=console_%s target=%s", "invoke", "x")
    assert written.getvalue().count("console_invoke") == LINES + 1
    assert "console_logs_clear" in written.getvalue()
