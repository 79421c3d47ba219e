"""What `log` and `trace` triggers ask for. Pure."""

from collections.abc import Mapping
from typing import Any

import msgspec
from msgspec import Raw, Struct

from iii_cluster.bus.envelopes import Trigger
from iii_cluster.protocol import errors
from iii_cluster.protocol.errors import EngineError
from iii_cluster.telemetry.records import Span

from .logs import LEVELS
from .spans import is_internal

LOG = "log"
TRACE = "trace"

ALL = "all"
STATUSES = ("ok", "error", "unset")  # of spans


class LogConfig(Struct):
    level: str | None = None


class TraceConfig(Struct):
    service_name: str | None = None
    status: str | None = None

    def fits(self, span: Span) -> bool:
        """Equal, whatever the case; what is not given fits everything."""
        return _same(self.service_name, span.service_name) and _same(self.status, span.status)


_decode_log = msgspec.json.Decoder(LogConfig).decode
_decode_trace = msgspec.json.Decoder(TraceConfig).decode


def level_wanted(trigger: Trigger) -> str:
    """One of LEVELS. Raises EngineError."""
    level = (_decoded(_decode_log, trigger).level or ALL).lower()
    if level not in LEVELS:
        raise EngineError(errors.TRIGGER_REGISTRATION_FAILED, f"`level` is none of {', '.join(LEVELS)}")
    return level


def trace_wanted(trigger: Trigger) -> TraceConfig:
    """Raises EngineError."""
    config: TraceConfig = _decoded(_decode_trace, trigger)
    if config.status and config.status.lower() not in STATUSES:
        raise EngineError(errors.TRIGGER_REGISTRATION_FAILED, f"`status` is none of {', '.join(STATUSES)}")
    return config


def check_log(trigger: Trigger) -> None:
    level_wanted(trigger)


def check_trace(trigger: Trigger) -> None:
    trace_wanted(trigger)


def of_interest(span: Span) -> bool:
    """Not what the engine does by itself; of what it does for others, not what has only begun."""
    return not ((span.parent_span_id is None or span.pending) and is_internal(span))


def _decoded(decode: Any, trigger: Trigger) -> Any:
    try:
        return decode(trigger.config or b"{}")
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise EngineError(
            errors.TRIGGER_REGISTRATION_FAILED, f"the config of a {trigger.type} trigger: {error}"
        ) from None


def _same(wanted: str | None, own: str) -> bool:
    return not wanted or wanted.lower() == own.lower()


def _schema(properties: Mapping[str, Any]) -> Raw:
    return Raw(msgspec.json.encode({"type": "object", "properties": properties}))


_TEXT = {"type": ["string", "null"]}
_ID = {"type": "string"}
_TIME = {"type": "integer"}

LOG_CONFIG_SCHEMA = _schema(
    {"level": {"type": ["string", "null"], "enum": [*LEVELS, None], "description": "exactly this one; all by default"}}
)
LOG_SCHEMA = _schema(
    {
        "timestamp_unix_nano": _TIME,
        "observed_timestamp_unix_nano": _TIME,
        "severity_number": {"type": "integer"},
        "severity_text": _ID,
        "body": _ID,
        "attributes": {"type": "object"},
        "trace_id": _TEXT,
        "span_id": _TEXT,
        "resource": {"type": "object"},
        "service_name": _ID,
    }
)
TRACE_CONFIG_SCHEMA = _schema({"service_name": _TEXT, "status": {**_TEXT, "enum": [*STATUSES, "", None]}})
TRACE_SCHEMA = _schema({"trace_ids": {"type": "array", "items": _ID}})
