"""What the environment says of telemetry where the configuration file says nothing: the names of OpenTelemetry."""

import logging
from collections.abc import Mapping
from typing import Any

import msgspec

from .config import Observability, from_entry

logger = logging.getLogger(__name__)

VARIABLES = {
    "OTEL_ENABLED": "enabled",
    "OTEL_SERVICE_NAME": "service_name",
    "SERVICE_VERSION": "service_version",
    "SERVICE_NAMESPACE": "service_namespace",
    "OTEL_EXPORTER_TYPE": "exporter",
    "OTEL_EXPORTER_OTLP_ENDPOINT": "endpoint",
    "OTEL_TRACES_SAMPLER_ARG": "sampling_ratio",
    "OTEL_MEMORY_MAX_SPANS": "memory_max_spans",
    "OTEL_LIVE_SPANS": "live_spans",
    "OTEL_METRICS_ENABLED": "metrics_enabled",
    "OTEL_METRICS_EXPORTER": "metrics_exporter",
    "OTEL_METRICS_RETENTION_SECONDS": "metrics_retention_seconds",
    "OTEL_METRICS_MAX_COUNT": "metrics_max_count",
    "OTEL_LOGS_EXPORTER": "logs_exporter",
    "OTEL_LOGS_BATCH_SIZE": "logs_batch_size",
    "OTEL_LOGS_FLUSH_INTERVAL_MS": "logs_flush_interval_ms",
}

_TYPES = {field.name: field.type for field in msgspec.structs.fields(Observability)}
_SWITCHES = dict.fromkeys(("true", "1", "yes", "on"), True) | dict.fromkeys(("false", "0", "no", "off"), False)


def observability(entry: dict[str, Any], environ: Mapping[str, str]) -> Observability:
    """The entry of the file, completed by the environment. Raises BadConfig; a variable that makes no sense is told
    and has no effect.
    """
    found: dict[str, Any] = {}
    for variable, key in VARIABLES.items():
        text = environ.get(variable, "").strip()
        if not text or key in entry:
            continue
        try:
            found[key] = _value(key, text)
        except (msgspec.ValidationError, KeyError) as error:
            reason = "it is neither true nor false" if isinstance(error, KeyError) else error
            logger.warning("action=variable_ignored variable=%s reason=%s", variable, reason)
    return from_entry({**found, **entry})


def _value(key: str, text: str) -> Any:
    if _TYPES[key] is bool:
        return _SWITCHES[text.lower()]
    if key.endswith("exporter"):
        text = text.lower()
    return msgspec.convert(text, _TYPES[key], strict=False)
