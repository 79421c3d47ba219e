"""Logging of every process: one line per record on stderr, without secrets, and no flood of lines of one kind."""

import asyncio
import logging
import re
import sys
import time
from typing import Any, TextIO

import msgspec

from iii_cluster.telemetry.config import Observability
from iii_cluster.telemetry.redaction import redact_text

from .log_fields import Fields, fields_of, message_of
from .log_limits import Kind, Limit

# `extra` of records whose writer counts them itself, and of routine, such as clients that come and go: lines of their
# process only, for the cluster keeps few records, and whoever writes most would push out the others.
OWN_QUOTA = {"own_quota": True}
NOT_KEPT = {"kept": False}

LEVELS = {"trace": "debug", "debug": "debug", "info": "info", "warn": "warning", "warning": "warning", "error": "error"}

# Libraries that narrate, or that tell of each attempt what is told once here.
_QUIET = ("uvicorn", "uvicorn.error", "uvicorn.access", "websockets", "asyncio")
_SILENT = ("urllib3", "grpc")

_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]")
_TRACEPARENT = re.compile(rb'"?[0-9a-f]{2}-([0-9a-f]{32})-([0-9a-f]{16})-[0-9a-f]{2}')
_ACTION_GIVEN = re.compile(r"action=\w*%")
_ESCAPES = {"\n": "\\n", "\r": "\\r", "\t": "\\t"}

logger = logging.getLogger(__name__)


def one_line(text: str) -> str:
    """Line breaks, as in tracebacks, and whatever else a terminal would act upon are escaped."""
    return _CONTROL.sub(lambda match: _ESCAPES.get(match[0], f"\\x{ord(match[0]):02x}"), text)


def utc(seconds: float) -> str:
    """ISO 8601, milliseconds."""
    moment = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(seconds))
    return f"{moment}.{int(seconds % 1 * 1000):03d}Z"


class LineFormatter(logging.Formatter):
    """`<UTC time> level=info node=<id> logger=<name> <message>`."""

    def __init__(self, role: str = "", node: str = "") -> None:
        super().__init__()
        self.role = role
        self.node = node

    def format(self, record: logging.LogRecord) -> str:
        level = record.levelname.lower()
        node = f" node={self.node}" if self.node else ""
        text = one_line(redact_text(self._text(record)))
        trace = "".join(f" {name}={value}" for name, value in ids_of(record).items())
        return f"{utc(record.created)} level={level}{node} logger={record.name} {text}{trace}"

    def _text(self, record: logging.LogRecord) -> str:
        parts = [self._message(record, fields_of(record.msg, record.args))]
        if record.exc_info:
            parts.append(self.formatException(record.exc_info))
        if record.stack_info:
            parts.append(record.stack_info)
        return "\n".join(parts)

    def _message(self, record: logging.LogRecord, fields: Fields) -> str:
        """Without the node, if it is the one that says it."""
        message = message_of(record.msg, record.args)
        if self.node and fields.get("node") == self.node:
            return f"{message} ".replace(f" node={self.node} ", " ", 1)[:-1]
        return message


class JsonFormatter(LineFormatter):
    """The same as an object; what the message says as name=value is in `fields`, too."""

    def format(self, record: logging.LogRecord) -> str:
        fields = {name: _clean(value) for name, value in fields_of(record.msg, record.args).items()}
        message = redact_text(self._message(record, fields))
        if fields.get("node") == self.node:
            del fields["node"]
        line: dict[str, Any] = {
            "time": utc(record.created),
            "level": record.levelname.lower(),
            "logger": record.name,
            "node": self.node,
            "role": self.role,
            "message": message,
        }
        if "action" in fields:
            line["action"] = fields.pop("action")
        if fields:
            line["fields"] = fields
        line |= ids_of(record)
        if record.exc_info:
            line["error"] = redact_text(self.formatException(record.exc_info))
        return msgspec.json.encode(line).decode()


FORMATTERS = {"default": LineFormatter, "json": JsonFormatter}


def kind_of(record: logging.LogRecord) -> Kind:
    """Lines of one kind are limited together: a logger's, of one level and template, and of one action."""
    template = str(record.msg)[:100]
    if _ACTION_GIVEN.match(template):
        template = f"action={str(fields_of(record.msg, record.args).get('action', '')).partition(' ')[0]}"
    return record.name, record.levelname, template


def ids_of(record: logging.LogRecord) -> dict[str, str]:
    """Trace and span id of what the record belongs to: `extra={"trace": trace}`."""
    trace = getattr(record, "trace", None)
    found = _TRACEPARENT.match(trace[0]) if trace else None  # workers may send anything
    return {"trace_id": found[1].decode(), "span_id": found[2].decode()} if found else {}


def _clean(value: str | int | float | bool) -> str | int | float | bool:
    return redact_text(value) if isinstance(value, str) else value


class LineHandler(logging.StreamHandler[TextIO]):
    """Writes lines, and later how many of a kind it has not written."""

    def __init__(self, stream: TextIO, lines: LineFormatter) -> None:
        super().__init__(stream)
        self.lines = lines
        self.setFormatter(lines)
        self._limit = Limit()
        self._timer: asyncio.TimerHandle | None = None

    def emit(self, record: logging.LogRecord) -> None:
        now = time.monotonic()
        self._tell(self._limit.ended(now))
        if getattr(record, "own_quota", False) or self._limit.admits(kind_of(record), now):
            super().emit(record)
        elif self._timer is None:
            self._tell_later(now)

    def close(self) -> None:
        self._tell(self._limit.ended(float("inf")))
        super().close()

    def write(self, lines: str) -> None:
        """Text of somebody else, whole lines."""
        with self.lock:  # type: ignore[union-attr]  # every handler has one
            self.stream.write(lines)
            self.flush()

    def _tell_later(self, now: float) -> None:
        """Somebody may never log again."""
        try:
            loop = asyncio.get_running_loop()
        except RuntimeError:
            return  # another thread: told with the next line
        self._timer = loop.call_later(self._limit.next - now, self._time)

    def _time(self) -> None:
        self._timer = None
        with self.lock:  # type: ignore[union-attr]
            now = time.monotonic()
            self._tell(self._limit.ended(now))
            if self._limit.next < float("inf"):
                self._tell_later(now)

    def _tell(self, left_out: list[tuple[Kind, int]]) -> None:
        line = "action=lines_left_out source=%s count=%d like=%r"
        for (name, _, template), count in left_out:
            super().emit(logger.makeRecord(logger.name, logging.WARNING, "", 0, line, (name, count, template), None))


def set_up(level: str, format: str = "default", role: str = "") -> None:
    """Send records of `level` ("debug", "info", "warning", "error") and above to stderr."""
    root = logging.getLogger()
    root.handlers[:] = [LineHandler(sys.stderr, FORMATTERS[format](role))]
    root.setLevel(level.upper())
    for name in _QUIET:
        logging.getLogger(name).setLevel(logging.WARNING)
    for name in _SILENT:
        logging.getLogger(name).setLevel(logging.CRITICAL)


def adjust(config: Observability) -> None:
    """What the configuration file says of lines wins over the settings."""
    if config.level is not None:
        level = LEVELS.get(config.level.strip().lower())
        if level is None:
            logger.warning("action=level_ignored level=%.20r known=%s", config.level, ",".join(LEVELS))
        else:
            logging.getLogger().setLevel(level.upper())
    if config.format is not None:
        for handler in line_handlers():
            handler.lines = FORMATTERS[config.format](handler.lines.role, handler.lines.node)
            handler.setFormatter(handler.lines)


def identify(node: str) -> None:
    """Lines are of this node from now on."""
    for handler in line_handlers():
        handler.lines.node = node


def line_handlers() -> list[LineHandler]:
    """Of this process: one, where `set_up` was called."""
    return [handler for handler in logging.getLogger().handlers if isinstance(handler, LineHandler)]
