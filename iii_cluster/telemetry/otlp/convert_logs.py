"""Log records as OpenTelemetry's SDK has them, for its exporters. Pure. Imported only where something is exported."""

from opentelemetry._logs import LogRecord, SeverityNumber
from opentelemetry.context import Context
from opentelemetry.sdk._logs import ReadableLogRecord
from opentelemetry.trace import NonRecordingSpan, SpanContext, TraceFlags, set_span_in_context

from iii_cluster.telemetry.records import Log

from .convert import LATEST, Resources, scope_of

HIGHEST = 24  # severity


def readable_log(log: Log, resources: Resources) -> ReadableLogRecord:
    """Raises ValueError for times that are none."""
    if not (0 <= log.timestamp_unix_nano < LATEST and 0 <= log.observed_timestamp_unix_nano < LATEST):
        raise ValueError("no time")
    record = LogRecord(
        timestamp=log.timestamp_unix_nano,
        observed_timestamp=log.observed_timestamp_unix_nano,
        context=_context(log),
        severity_text=log.severity_text,
        severity_number=SeverityNumber(min(max(log.severity_number, 0), HIGHEST)),
        body=log.body,
        attributes=log.attributes,
    )
    scope = scope_of(log.instrumentation_scope_name, log.instrumentation_scope_version)
    return ReadableLogRecord(record, resources.of(log.service_name, log.resource), scope)


def _context(log: Log) -> Context:
    """With the ids, as far as they are some: a log without them is better than none."""
    trace, span = (_number(text, digits) for text, digits in ((log.trace_id, 32), (log.span_id, 16)))
    said = SpanContext(trace, span, is_remote=False, trace_flags=TraceFlags(TraceFlags.DEFAULT))
    return set_span_in_context(NonRecordingSpan(said), Context())


def _number(text: str | None, digits: int) -> int:
    try:
        return int(text, 16) if text is not None and len(text) == digits else 0
    except ValueError:
        return 0
