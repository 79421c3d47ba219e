"""Settings of telemetry: the `iii-observability` entry of the file. Every process reads it, of whatever role."""

from typing import Annotated, Any, Literal

from msgspec import Meta, Struct

from iii_cluster.config.settings import Count, Limit

OBSERVABILITY = "iii-observability"

Ratio = Annotated[float, Meta(ge=0, le=1)]
Exporter = Literal["memory", "otlp", "both"]


class SamplingRule(Struct, frozen=True, forbid_unknown_fields=True):
    """Of traces whose first span fits both patterns (`*` and `?`); what is not given fits everything."""

    rate: Ratio
    operation: str | None = None
    service: str | None = None


class RateLimit(Struct, frozen=True, forbid_unknown_fields=True):
    max_traces_per_second: Annotated[float, Meta(gt=0)]  # that one process begins


class Sampling(Struct, frozen=True, forbid_unknown_fields=True):
    """None: as `sampling_ratio` says."""

    default: Ratio | None = None
    rules: tuple[SamplingRule, ...] = ()
    parent_based: bool = True
    rate_limit: RateLimit | None = None


class TraceStorage(Struct, frozen=True, forbid_unknown_fields=True):
    """Of the reference engine, which keeps traces in a file. Here Redis keeps them."""

    enabled: bool = True
    directory: str = ""  # has no meaning here
    max_disk_bytes: Limit = 2**30  # likewise
    retention_seconds: Limit = 2_592_000
    memory_max_bytes: Annotated[int, Meta(ge=16 * 2**20)] = 256 * 2**20  # of all spans in the store
    memory_low_watermark_ratio: Annotated[float, Meta(ge=0.5, le=0.95)] = 0.75
    pending_max_age_seconds: Limit = 3600


class LogAction(Struct, frozen=True, forbid_unknown_fields=True, tag_field="type", tag="log"):
    """A log line."""


class WebhookAction(Struct, frozen=True, forbid_unknown_fields=True, tag_field="type", tag="webhook"):
    url: str


class FunctionAction(Struct, frozen=True, forbid_unknown_fields=True, tag_field="type", tag="function"):
    path: str  # id of the function


Operator = Literal[
    "greaterthan", "greaterthanorequal", "lessthan", "lessthanorequal", "equal", "notequal", ">", ">=", "<", "<=", "==",
    "!=",
]  # fmt: skip


class AlertRule(Struct, frozen=True, forbid_unknown_fields=True):
    name: str
    metric: str
    threshold: float
    operator: Operator = ">"
    window_seconds: Limit = 60
    cooldown_seconds: Count = 60
    enabled: bool = True
    action: LogAction | WebhookAction | FunctionAction = LogAction()


class CollapseRule(Struct, frozen=True, forbid_unknown_fields=True):
    """Spans that trees leave out, with their children one level up."""

    name: str
    service: str | None = None


class Observability(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What is collected, how much of it is kept for the whole cluster, and where else it goes."""

    enabled: bool = True
    service_name: str = "iii"
    service_version: str | None = None
    service_namespace: str | None = None
    exporter: Exporter = "memory"  # of traces: the cluster's own store, a collector, or both
    endpoint: str = "http://localhost:4317"
    sampling_ratio: Ratio | None = None  # None: all, but no more than 100 traces per second begun by one process
    sampling: Sampling | None = None
    memory_max_spans: Limit = 10_000
    live_spans: bool = True
    trace_storage: TraceStorage | None = None
    metrics_enabled: bool = True
    metrics_exporter: Exporter = "memory"
    metrics_retention_seconds: Limit = 3600
    metrics_max_count: Limit = 10_000
    logs_enabled: bool = True
    logs_exporter: Exporter = "memory"
    logs_max_count: Limit = 1000
    logs_retention_seconds: Limit = 3600
    logs_batch_size: Annotated[int, Meta(ge=1, le=10_000)] = 100
    logs_flush_interval_ms: Annotated[int, Meta(ge=100, le=3_600_000)] = 5000
    logs_sampling_ratio: Ratio = 1.0  # of what comes by `engine::log::*`
    logs_console_output: bool = True
    level: str | None = None  # None: as the setting `log_level`
    format: Literal["default", "json"] | None = None  # None: as the setting `log_format`
    alerts: tuple[AlertRule, ...] = ()
    collapse_spans: tuple[CollapseRule, ...] = ()

    @property
    def span_retention(self) -> int:
        """Seconds spans are kept."""
        return (self.trace_storage or TraceStorage()).retention_seconds

    @property
    def span_bytes(self) -> int:
        """Of all spans that are kept."""
        return (self.trace_storage or TraceStorage()).memory_max_bytes


def from_entry(config: dict[str, Any]) -> Observability:
    """Raises BadConfig."""
    from iii_cluster.modules.imports import convert

    return convert(config, Observability)  # type: ignore[no-any-return]
