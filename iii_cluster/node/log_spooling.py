"""Lines of this process as log records of the cluster, next to those of workers; and those of workers as lines here."""

import logging
import os
import time
from typing import Any

import msgspec

from iii_cluster.telemetry.otlp.resource import own_resource
from iii_cluster.telemetry.records import Log
from iii_cluster.telemetry.redaction import redact_text
from iii_cluster.telemetry.spool import Batch, Spool
from iii_cluster.telemetry.telemetry import Telemetry

from .log_fields import fields_of, message_of
from .log_limits import Limit
from .logs import JsonFormatter, LineHandler, ids_of, kind_of, line_handlers, one_line, utc

KEPT_LINES = 30  # of a kind, in KEPT_WINDOW: the cluster keeps a thousand records
KEPT_WINDOW = 60.0  # s
WORKER_LINES = 100  # of one service and level, in a second
LONGEST_LINE = 4096  # characters of a worker's message
_WAY = ("iii_cluster.telemetry.pipeline", "iii_cluster.telemetry.store", "iii_cluster.telemetry.intake")
_SEVERITIES = {"debug": 5, "info": 9, "warning": 13, "error": 17, "critical": 21}
_TEXTS = {5: "DEBUG", 9: "INFO", 13: "WARN", 17: "ERROR", 21: "FATAL"}
_LOWEST = {logging.DEBUG: 1, logging.INFO: 9, logging.WARNING: 13, logging.ERROR: 17}


class LogSpooling:
    """From when it is made until `close`, as the configuration says."""

    def __init__(self, telemetry: Telemetry) -> None:
        config = telemetry.config
        self._resource = own_resource(config, "", os.environ)
        self._handler: SpoolHandler | None = None
        if not (config.enabled and config.logs_enabled):
            return
        self._handler = SpoolHandler(telemetry.spool, config.service_name, self._resource)
        logging.getLogger().addHandler(self._handler)
        if config.logs_console_output:
            for handler in line_handlers():
                telemetry.pipeline.add(WorkerLines(handler, self._resource))

    def rename(self, node: str) -> None:
        """The process goes on under another node id."""
        self._resource["service.instance.id"] = node

    def close(self) -> None:
        if self._handler is not None:
            logging.getLogger().removeHandler(self._handler)


class SpoolHandler(logging.Handler):
    """Puts records of `info` and above into the spool, but for NOT_KEPT ones, and no flood of one kind.

    What goes wrong on the way from the spool would go wrong for the line about it, too: that stays on the console.
    """

    def __init__(self, spool: Spool, service: str, resource: dict[str, Any]) -> None:
        super().__init__(logging.INFO)
        self._resource = resource  # of every record; who renames the node changes it
        self._spool = spool
        self._service = service
        self._limit = Limit(KEPT_LINES, KEPT_WINDOW)
        self._formatter = logging.Formatter()

    def emit(self, record: logging.LogRecord) -> None:
        now = time.monotonic()
        for (name, _, template), count in self._limit.ended(now):
            self._spool.log(
                self._log(_line("action=records_left_out source=%s count=%d like=%r", name, count, template))
            )
        kept = getattr(record, "kept", True) and not record.name.startswith(_WAY)
        if kept and self._limit.admits(kind_of(record), now):
            self._spool.log(self._log(record))

    def _log(self, record: logging.LogRecord) -> Log:
        attributes = {
            name: redact_text(value) if isinstance(value, str) else value
            for name, value in fields_of(record.msg, record.args).items()
        }
        if record.exc_info:
            attributes["exception.stacktrace"] = redact_text(self._formatter.formatException(record.exc_info))
        severity = _SEVERITIES.get(record.levelname.lower(), 9)
        ids = ids_of(record)
        return Log(
            timestamp_unix_nano=int(record.created * 1e9),
            observed_timestamp_unix_nano=int(record.created * 1e9),
            severity_number=severity,
            severity_text=_TEXTS[severity],
            body=redact_text(message_of(record.msg, record.args)),
            attributes=attributes,
            trace_id=ids.get("trace_id"),
            span_id=ids.get("span_id"),
            resource=self._resource,
            service_name=self._service,
            instrumentation_scope_name=record.name,
        )


class WorkerLines:
    """An outlet: what workers log, on this process's console, as the cluster's own lines are."""

    def __init__(self, handler: LineHandler, own: dict[str, Any]) -> None:
        """`own`: the resource of records that are on the console already."""
        self._handler = handler
        self._own = own
        self._limit = Limit(WORKER_LINES, 1.0)

    def offer(self, batch: Batch) -> None:
        now = time.monotonic()
        lowest = _LOWEST.get(logging.getLogger().level, 9)
        lines = [self._left_out(service, level, count) for (service, level), count in self._limit.ended(now)]
        for log in batch.logs:
            fits = log.resource is not self._own and (log.severity_number or 9) >= lowest
            if fits and self._limit.admits((log.service_name, _level(log.severity_number)), now):
                lines.append(self._line(log))
        if lines:
            self._handler.write("\n".join(lines) + "\n")

    def lost(self, spans: int, logs: int) -> None:
        """Who drops them counts them."""

    async def stop(self) -> None:
        """Nothing waits here."""

    def _line(self, log: Log) -> str:
        formatter = self._handler.lines
        line: dict[str, Any] = {
            "time": utc((log.timestamp_unix_nano or log.observed_timestamp_unix_nano) / 1e9),
            "level": _level(log.severity_number),
            "node": formatter.node,
            "service": log.service_name,
        }
        if log.instrumentation_scope_name:
            line["logger"] = log.instrumentation_scope_name
        ids = {name: value for name, value in (("trace_id", log.trace_id), ("span_id", log.span_id)) if value}
        body = redact_text(log.body)[:LONGEST_LINE]
        attributes = {name: value for name, value in log.attributes.items() if name != "service.name"}
        data = attributes.pop("log.data", None)  # what SDKs call the fields of a line
        attributes |= data if isinstance(data, dict) else {} if data is None else {"data": data}
        if isinstance(formatter, JsonFormatter):
            line |= {"message": body, **({"attributes": attributes} if attributes else {}), **ids}
            return _json(line)
        head = " ".join(f"{name}={_word(value)}" for name, value in list(line.items())[1:])
        more = f" data={_json(attributes)[:LONGEST_LINE]}" if attributes else ""
        tail = "".join(f" {name}={_word(value)}" for name, value in ids.items())
        return one_line(f"{line['time']} {head} {body}{more}{tail}")

    def _left_out(self, service: str, level: str, count: int) -> str:
        line = "action=worker_lines_left_out service=%s level=%s count=%d"
        return self._handler.lines.format(_line(line, _word(service), level, count))


def _line(line: str, *values: object) -> logging.LogRecord:
    """About what was left out."""
    return logging.LogRecord(__name__, logging.WARNING, "", 0, line, values, None)


def _level(severity: int) -> str:
    """As the lines of the cluster call it."""
    names = ("trace", "debug", "info", "warning", "error", "critical")
    return names[min((severity - 1) // 4, 5)] if severity > 0 else "info"


def _json(value: Any) -> str:
    return redact_text(msgspec.json.encode(value, enc_hook=str).decode())


def _word(value: str) -> str:
    """Without spaces: whose name has some cannot make fields of its own."""
    return "_".join(value.split())[:200]
