"""Log records as OTLP writes them in JSON. Pure."""

from collections.abc import Iterable, Mapping
from typing import Any

import msgspec

from iii_cluster.telemetry.records import Log

Groups = dict[tuple[bytes, str, str], tuple[dict[str, Any], list[Log]]]


def export_request(logs: Iterable[Log], own: Mapping[str, Any]) -> bytes:
    """Body of a POST to /v1/logs; `own` are attributes of the process that says nothing of itself in its records."""
    groups: Groups = {}
    for log in logs:
        resource = {**(log.resource or own), "service.name": log.service_name}
        scope, version = log.instrumentation_scope_name or "", log.instrumentation_scope_version or ""
        key = (msgspec.json.encode(resource, order="sorted"), scope, version)
        groups.setdefault(key, (resource, []))[1].append(log)
    return msgspec.json.encode(
        {
            "resourceLogs": [
                {
                    "resource": {"attributes": _attributes(resource)},
                    "scopeLogs": [{"scope": {"name": name, "version": version}, "logRecords": _records(found)}],
                }
                for (_, name, version), (resource, found) in groups.items()
            ]
        }
    )


def _records(logs: list[Log]) -> list[dict[str, Any]]:
    return [_record(log) for log in logs]


def _record(log: Log) -> dict[str, Any]:
    record: dict[str, Any] = {
        "timeUnixNano": str(log.timestamp_unix_nano),
        "observedTimeUnixNano": str(log.observed_timestamp_unix_nano),
        "severityNumber": log.severity_number,
        "severityText": log.severity_text,
        "body": {"stringValue": log.body},
        "attributes": _attributes(log.attributes),
    }
    if log.trace_id:
        record["traceId"] = log.trace_id
    if log.span_id:
        record["spanId"] = log.span_id
    return record


def _attributes(attributes: Mapping[str, Any]) -> list[dict[str, Any]]:
    return [{"key": str(key), "value": _value(value)} for key, value in attributes.items()]


def _value(value: Any) -> dict[str, Any]:
    match value:
        case None:
            return {}
        case bool():
            return {"boolValue": value}
        case int():
            return {"intValue": str(value)}
        case float():
            return {"doubleValue": value}
        case list() | tuple():
            return {"arrayValue": {"values": [_value(one) for one in value]}}
        case dict():
            return {"kvlistValue": {"values": _attributes(value)}}
        case _:
            return {"stringValue": str(value)}
