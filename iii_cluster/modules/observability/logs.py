"""Log records: those that functions write, and choosing among all. Pure."""

import re
from collections.abc import Sequence
from typing import Any

from iii_cluster.telemetry.records import Log
from iii_cluster.telemetry.redaction import redact, redact_text

from .inputs import ListLogs, WriteLog
from .times import MILLISECOND
from .turns import Steps, selected

SEVERITIES = {"trace": 1, "debug": 5, "info": 9, "warn": 13, "error": 17}
LEVELS = (*SEVERITIES, "all")

SCOPE = "iii"
UNKNOWN = "unknown"  # service
TOO_DEEP = "[too deep]"  # instead of data that nobody can look through

_COLOURS = re.compile(r"\x1b\[[0-?]*[ -/]*[@-~]")


def written(level: str, said: WriteLog, trace_id: str | None, span_id: str | None, now: int) -> Log:
    """The record of `engine::log::<level>`. The ids are those of the call, for who names none. `now`: ns."""
    attributes: dict[str, Any] = {}
    if said.data is not None:
        attributes["log.data"] = _without_secrets(said.data)
    return Log(
        timestamp_unix_nano=now,
        observed_timestamp_unix_nano=now,
        severity_number=SEVERITIES[level],
        severity_text=level.upper(),
        body=redact_text(_COLOURS.sub("", said.message)),
        attributes=attributes,
        trace_id=said.trace_id or trace_id,
        span_id=said.span_id or (None if said.trace_id else span_id),
        resource={},
        service_name=said.service_name or UNKNOWN,
        instrumentation_scope_name=SCOPE,
    )


def _without_secrets(data: Any) -> Any:
    try:
        return redact({"": data})[""]
    except RecursionError:
        return TOO_DEEP


def level_of(log: Log) -> str:
    """One of SEVERITIES; "" for a record that says nothing of it."""
    number = log.severity_number
    if number <= 0:
        text = log.severity_text.lower()
        return {"warning": "warn", "fatal": "error", "critical": "error"}.get(text, text)
    return list(SEVERITIES)[min((number - 1) // 4, len(SEVERITIES) - 1)]


def time_of(log: Log) -> int:
    """Nanoseconds: when it happened or, if nobody said, when it was heard of."""
    return log.timestamp_unix_nano or log.observed_timestamp_unix_nano


def chosen(logs: Sequence[Log], asked: ListLogs) -> Steps[tuple[list[Log], int]]:
    """One page, the newest first, and how many there are in all."""
    start = (asked.start_time or 0) * MILLISECOND
    end = None if asked.end_time is None else asked.end_time * MILLISECOND
    text = None if asked.severity_text is None else asked.severity_text.lower()

    def wanted(log: Log) -> bool:
        time = time_of(log)
        return (
            time >= start
            and (end is None or time <= end)
            and asked.trace_id in (None, log.trace_id)
            and asked.span_id in (None, log.span_id)
            and (asked.severity_min is None or log.severity_number >= asked.severity_min)
            and (text is None or (log.severity_text.lower() or level_of(log)) == text)
        )

    found = yield from selected(logs, wanted)
    found.reverse()  # of equal times the later one is the newer
    found.sort(key=time_of, reverse=True)
    first = asked.offset or 0
    last = None if asked.limit is None else first + asked.limit
    return found[first:last], len(found)
