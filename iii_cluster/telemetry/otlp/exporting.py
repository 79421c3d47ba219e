"""Requests to a collector, by the official exporters. Imported, which takes a while, only by the thread that sends."""

import logging
import os
import re
import ssl
import urllib.error
import urllib.request
from collections.abc import Callable, Mapping, Sequence
from http.client import HTTPException
from typing import Any, Protocol
from urllib.parse import urlsplit

from opentelemetry.exporter.otlp.proto.grpc import _log_exporter as grpc_logs
from opentelemetry.exporter.otlp.proto.grpc import metric_exporter as grpc_metrics
from opentelemetry.exporter.otlp.proto.grpc import trace_exporter as grpc_traces
from opentelemetry.exporter.otlp.proto.http import metric_exporter as http_metrics
from opentelemetry.exporter.otlp.proto.http import trace_exporter as http_traces
from opentelemetry.sdk._logs.export import LogRecordExportResult
from opentelemetry.sdk.metrics.export import MetricExporter, MetricExportResult, MetricsData
from opentelemetry.sdk.trace.export import SpanExporter, SpanExportResult
from opentelemetry.util.re import parse_env_headers

from iii_cluster.telemetry import records

from . import convert
from .convert_logs import readable_log
from .destinations import GRPC, Destination, Signal
from .log_json import export_request

DEFAULT_TIMEOUT = 5.0  # s for a request
LONGEST_REASON = 200  # characters
NO_HTTP = "what listens there does not speak HTTP; for gRPC let OTEL_EXPORTER_OTLP_PROTOCOL be grpc"
_BYTES = re.compile(r"(?:\\x[0-9a-f]{2}|[\x00-\x08\x0e-\x1f\x7f-\x9f])+")  # as they are, or as Python shows them
_LIBRARIES = logging.getLogger("opentelemetry")  # their lines name headers, and every attempt


class NotSent(Exception):
    """The collector did not take it; the text says why."""


class Send(Protocol):
    """One signal. `own` are attributes of this process."""

    def __call__(self, items: Sequence[Any], own: Mapping[str, Any]) -> int:
        """Returns how many of the items were nothing that can be sent. Raises NotSent."""

    def close(self) -> None:
        """What waits for an answer is given up, if the protocol allows."""


class Reason(logging.Handler):
    """Keeps what an exporter told first of a request, instead of a log line for each attempt."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self.text = ""

    def emit(self, record: logging.LogRecord) -> None:
        self.text = self.text or record.getMessage()


def listen() -> Reason:
    """From now on the exporters are heard here and nowhere else."""
    reason = Reason()
    _LIBRARIES.handlers[:] = [reason]
    _LIBRARIES.propagate = False
    _LIBRARIES.setLevel(logging.WARNING)
    return reason


def sender(to: Destination, reason: Reason) -> Send:
    """Headers, certificates and compression are as the variables of OpenTelemetry say."""
    timeout = _timeout()
    if to.signal is Signal.LOGS:
        if to.protocol == GRPC:
            return Logs(grpc_logs.OTLPLogExporter(endpoint=to.endpoint, timeout=timeout), reason)
        return JsonLogs(to.endpoint, timeout)
    if to.signal is Signal.TRACES:
        spans = grpc_traces.OTLPSpanExporter if to.protocol == GRPC else http_traces.OTLPSpanExporter
        return Spans(spans(endpoint=to.endpoint, timeout=timeout), reason)
    metrics = grpc_metrics.OTLPMetricExporter if to.protocol == GRPC else http_metrics.OTLPMetricExporter
    return Metrics(metrics(endpoint=to.endpoint, timeout=timeout), reason)


class Spans:
    def __init__(self, exporter: SpanExporter, reason: Reason) -> None:
        self._exporter = exporter
        self._reason = reason
        self._resources = convert.Resources({})

    def __call__(self, items: Sequence[records.Span], own: Mapping[str, Any]) -> int:
        if self._resources.own != own:
            self._resources = convert.Resources(own)
        spans = []
        for item in items:
            try:
                spans.append(convert.readable_span(item, self._resources))
            except (ValueError, TypeError):
                continue
        if spans and self._exporter.export(spans) is not SpanExportResult.SUCCESS:
            raise NotSent(self._reason.text)
        return len(items) - len(spans)

    def close(self) -> None:
        self._exporter.shutdown()


class Metrics:
    """Takes records of workers' metrics, and functions that return those of this process."""

    def __init__(self, exporter: MetricExporter, reason: Reason) -> None:
        self._exporter = exporter
        self._reason = reason

    def __call__(self, items: Sequence[records.Metric | Callable[[], Any]], own: Mapping[str, Any]) -> int:
        workers = [item for item in items if isinstance(item, records.Metric)]
        data = convert.metrics_data(workers, convert.Resources(own)) if workers else MetricsData([])
        resource = convert.KeptResource(own)
        for item in items:
            if not isinstance(item, records.Metric):
                data = MetricsData([*data.resource_metrics, *convert.told_by(resource, item())])
        if data.resource_metrics and self._exporter.export(data) is not MetricExportResult.SUCCESS:
            raise NotSent(self._reason.text)
        return 0

    def close(self) -> None:
        self._exporter.shutdown()


class Logs:
    def __init__(self, exporter: grpc_logs.OTLPLogExporter, reason: Reason) -> None:
        self._exporter = exporter
        self._reason = reason
        self._resources = convert.Resources({})

    def __call__(self, items: Sequence[records.Log], own: Mapping[str, Any]) -> int:
        if self._resources.own != own:
            self._resources = convert.Resources(own)
        logs = []
        for item in items:
            try:
                logs.append(readable_log(item, self._resources))
            except (ValueError, TypeError):
                continue
        if logs and self._exporter.export(logs) is not LogRecordExportResult.SUCCESS:
            raise NotSent(self._reason.text)
        return len(items) - len(logs)

    def close(self) -> None:
        self._exporter.shutdown()


class JsonLogs:
    """JSON over HTTP, where the others are protobuf."""

    def __init__(self, endpoint: str, timeout: float) -> None:
        self._endpoint = endpoint
        self._timeout = timeout
        found = os.environ.get("OTEL_EXPORTER_OTLP_LOGS_HEADERS") or os.environ.get("OTEL_EXPORTER_OTLP_HEADERS", "")
        self._headers = {**parse_env_headers(found, liberal=True), "content-type": "application/json"}
        handlers: list[urllib.request.BaseHandler] = [_NoRedirects()]
        if endpoint.startswith("https:"):
            handlers.append(urllib.request.HTTPSHandler(context=_tls()))
        self._opener = urllib.request.build_opener(*handlers)

    def __call__(self, items: Sequence[records.Log], own: Mapping[str, Any]) -> int:
        request = urllib.request.Request(self._endpoint, export_request(items, own), self._headers, method="POST")
        try:
            with self._opener.open(request, timeout=self._timeout) as response:
                response.read(4096)
        except (OSError, HTTPException) as error:  # a status of 400 and more is an OSError, too
            if isinstance(error, urllib.error.HTTPError):
                error.close()
            raise NotSent(str(error) or type(error).__name__) from None
        return 0

    def close(self) -> None:
        """A request that goes on ends by its timeout."""


class _NoRedirects(urllib.request.HTTPRedirectHandler):
    """Headers may hold secrets: they go to nobody else."""

    def redirect_request(self, *_: Any) -> None:
        return None


def _tls() -> ssl.SSLContext:
    def variable(name: str) -> str | None:
        return os.environ.get(f"OTEL_EXPORTER_OTLP_LOGS_{name}") or os.environ.get(f"OTEL_EXPORTER_OTLP_{name}")

    context = ssl.create_default_context(cafile=variable("CERTIFICATE"))
    if certificate := variable("CLIENT_CERTIFICATE"):
        context.load_cert_chain(certificate, variable("CLIENT_KEY"))
    return context


def _timeout() -> float:
    try:
        seconds = float(os.environ.get("OTEL_EXPORTER_OTLP_TIMEOUT", ""))
    except ValueError:
        return DEFAULT_TIMEOUT
    return seconds if 0 < seconds < 300 else DEFAULT_TIMEOUT


def plain(reason: str, to: Destination) -> str:
    """What may be logged of a failure: short, without any value of a header, and without the path of the URL."""
    secrets = [urlsplit(to.endpoint).path.strip("/")]
    for variable, text in os.environ.items():
        if variable.startswith("OTEL_EXPORTER_OTLP_") and variable.endswith("HEADERS"):
            secrets += [text, *parse_env_headers(text, liberal=True).values()]
    for secret in sorted(filter(None, secrets), key=len, reverse=True):
        reason = reason.replace(secret, "***")
    if to.protocol != GRPC and _BYTES.search(reason):
        return NO_HTTP
    return _BYTES.sub("?", reason)[:LONGEST_REASON]
