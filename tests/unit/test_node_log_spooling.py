import io
import json
import logging
import time
from collections.abc import Iterator
from typing import Any

import pytest

from iii_cluster.config.settings import Settings
from iii_cluster.node import log_spooling
from iii_cluster.node.log_limits import Limit
from iii_cluster.node.log_spooling import KEPT_LINES, WORKER_LINES, LogSpooling, WorkerLines
from iii_cluster.node.logs import NOT_KEPT, JsonFormatter, LineFormatter, LineHandler
from iii_cluster.telemetry.config import Observability
from iii_cluster.telemetry.records import Log
from iii_cluster.telemetry.spool import Batch
from iii_cluster.telemetry.telemetry import Telemetry

TRACE = (b'"00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"', b"")


@pytest.fixture
def root() -> Iterator[logging.Logger]:
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    root.setLevel(logging.INFO)
    yield root
    root.handlers[:] = handlers
    root.setLevel(level)


def spooling(**config: Any) -> tuple[Telemetry, LogSpooling]:
    telemetry = Telemetry(Settings(), Observability(**config))
    made = LogSpooling(telemetry)
    made.rename("gateway-1")
    return telemetry, made


def test_lines_of_the_process_become_log_records(root: logging.Logger) -> None:
    telemetry, made = spooling(service_name="shop")
    logging.getLogger("a").warning("action=cut worker=%s n=%d url=%s", "w", 2, "redis://:x@h", extra={"trace": TRACE})
    logging.getLogger("a").debug("action=detail")
    logging.getLogger("a").info("action=request", extra=NOT_KEPT)
    logging.getLogger("iii_cluster.telemetry.store.writer").warning("action=store_failing")
    made.close()
    logging.getLogger("a").warning("action=late")
    [log] = telemetry.spool.take().logs
    assert (log.severity_number, log.severity_text, log.service_name) == (13, "WARN", "shop")
    assert log.body == "action=cut worker=w n=2 url=redis://***@h"
    assert log.attributes == {"action": "cut", "worker": "w", "n": 2, "url": "redis://***@h"}
    assert (log.trace_id, log.span_id) == ("0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331")
    assert log.resource["service.instance.id"] == "gateway-1"
    assert log.instrumentation_scope_name == "a"


def test_a_traceback_is_an_attribute(root: logging.Logger) -> None:
    telemetry, made = spooling()
    try:
        raise ValueError("no")
    except ValueError:
        logging.getLogger("a").exception("action=failed")
    made.close()
    [log] = telemetry.spool.take().logs
    assert "ValueError: no" in log.attributes["exception.stacktrace"]


def test_a_flood_of_lines_is_no_flood_of_records(root: logging.Logger) -> None:
    telemetry, made = spooling()
    for n in range(KEPT_LINES * 3):
        logging.getLogger("a").warning("action=failed n=%d", n)
    made.close()
    assert len(telemetry.spool.take().logs) == KEPT_LINES


def test_what_a_flood_has_left_out_is_told_with_a_later_line(
    root: logging.Logger, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(log_spooling, "Limit", lambda *_: Limit(1, 0.0001))
    telemetry, made = spooling()
    with monkeypatch.context() as stopped:
        stopped.setattr(time, "monotonic", lambda: 0.0)
        for _ in range(3):
            logging.getLogger("a").warning("action=failed")
    logging.getLogger("a").warning("action=other")
    made.close()
    bodies = [log.body for log in telemetry.spool.take().logs]
    assert bodies == [
        "action=failed",
        "action=records_left_out source=a count=2 like='action=failed'",
        "action=other",
    ]


def test_a_worker_that_logs_without_end_does_not_hide_its_own_errors(root: logging.Logger) -> None:
    stream, lines, _ = console(LineFormatter())
    lines.offer(Batch([], [log("flood")] * (WORKER_LINES * 5) + [log("broken", 17)], []))
    assert "broken" in stream.getvalue()


@pytest.mark.parametrize("config", [{"enabled": False}, {"logs_enabled": False}])
def test_nothing_is_spooled_where_logs_are_off(root: logging.Logger, config: dict[str, bool]) -> None:
    telemetry, made = spooling(**config)
    logging.getLogger("a").warning("action=cut")
    made.close()
    assert not telemetry.spool.take()


def log(body: str, severity: int = 9, **members: Any) -> Log:
    text = {5: "DEBUG", 9: "INFO", 17: "ERROR"}[severity]
    return Log(
        1, 1, severity, text, body, {"n": 1}, None, None, **{"resource": {}, "service_name": "billing", **members}
    )


def console(formatter: LineFormatter) -> tuple[io.StringIO, WorkerLines, dict[str, Any]]:
    stream, own = io.StringIO(), {"service.name": "iii"}
    return stream, WorkerLines(LineHandler(stream, formatter), own), own


def test_workers_lines_look_like_those_of_the_cluster(root: logging.Logger) -> None:
    stream, lines, own = console(LineFormatter("gateway", "gateway-1"))
    ours = log("ours", resource=own)
    lines.offer(Batch([], [log("paid\n2", service_name="a b=c"), log("detail", 5), ours], []))
    assert stream.getvalue() == (
        '1970-01-01T00:00:00.000Z level=info node=gateway-1 service=a_b=c paid\\n2 data={"n":1}\n'
    )


def test_and_as_json_where_that_is_the_format(root: logging.Logger) -> None:
    stream, lines, _ = console(JsonFormatter("gateway", "gateway-1"))
    paid = log("paid", 17, instrumentation_scope_name="app")
    paid.attributes = {"service.name": "", "log.data": {"n": 1}}  # as an SDK's logger has it
    lines.offer(Batch([], [paid], []))
    assert json.loads(stream.getvalue()) == {
        "time": "1970-01-01T00:00:00.000Z",
        "level": "error",
        "node": "gateway-1",
        "service": "billing",
        "logger": "app",
        "message": "paid",
        "attributes": {"n": 1},
    }


def test_a_worker_that_logs_without_end_leaves_room_for_others(root: logging.Logger) -> None:
    stream, lines, _ = console(LineFormatter())
    lines.offer(Batch([], [log("flood")] * (WORKER_LINES * 5) + [log("quiet", service_name="other")], []))
    written = stream.getvalue().splitlines()
    assert sum("flood" in line for line in written) == WORKER_LINES
    assert sum("quiet" in line for line in written) == 1
