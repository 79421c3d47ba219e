"""A collector: takes OTLP as official exporters send it, over gRPC and HTTP, and may be told to misbehave."""

import json
import ssl
import threading
from base64 import b64decode
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import grpc
from google.protobuf.json_format import MessageToDict  # type: ignore[import-untyped]
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest, ExportLogsServiceResponse
from opentelemetry.proto.collector.logs.v1.logs_service_pb2_grpc import (
    LogsServiceServicer,
    add_LogsServiceServicer_to_server,
)
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import (
    ExportMetricsServiceRequest,
    ExportMetricsServiceResponse,
)
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2_grpc import (
    MetricsServiceServicer,
    add_MetricsServiceServicer_to_server,
)
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTraceServiceRequest,
    ExportTraceServiceResponse,
)
from opentelemetry.proto.collector.trace.v1.trace_service_pb2_grpc import (
    TraceServiceServicer,
    add_TraceServiceServicer_to_server,
)
from opentelemetry.proto.common.v1.common_pb2 import KeyValue
from opentelemetry.proto.metrics.v1.metrics_pb2 import Metric

from tests.support.certificates import Certificates


@dataclass(frozen=True)
class ReceivedSpan:
    """Ids are hex; `parent` is empty for a root."""

    trace_id: str
    span_id: str
    parent: str
    name: str
    kind: int
    status: int
    attributes: dict[str, Any]
    resource: dict[str, Any]
    events: tuple[str, ...] = ()
    scope: str = ""


@dataclass
class Received:
    """What has arrived; read it from any thread."""

    spans: list[ReceivedSpan] = field(default_factory=list)
    metrics: list[tuple[dict[str, Any], Metric]] = field(default_factory=list)  # with attributes of their resource
    logs: list[dict[str, Any]] = field(default_factory=list)  # resourceLogs, as JSON
    headers: list[dict[str, str]] = field(default_factory=list)  # of every request, lower case
    requests: int = 0  # also of those that were refused

    def take_spans(self, request: ExportTraceServiceRequest) -> None:
        for of_resource in request.resource_spans:
            resource = _values(of_resource.resource.attributes)
            for of_scope in of_resource.scope_spans:
                for span in of_scope.spans:
                    self.spans.append(
                        ReceivedSpan(
                            span.trace_id.hex(),
                            span.span_id.hex(),
                            span.parent_span_id.hex(),
                            span.name,
                            span.kind,
                            span.status.code,
                            _values(span.attributes),
                            resource,
                            tuple(event.name for event in span.events),
                            of_scope.scope.name,
                        )
                    )

    def take_metrics(self, request: ExportMetricsServiceRequest) -> None:
        for of_resource in request.resource_metrics:
            resource = _values(of_resource.resource.attributes)
            for of_scope in of_resource.scope_metrics:
                self.metrics += [(resource, metric) for metric in of_scope.metrics]

    def take_logs(self, request: ExportLogsServiceRequest) -> None:
        """As OTLP has them in JSON: unlike protobuf's JSON, with ids in hex and enumerations as numbers."""
        found = MessageToDict(request, use_integers_for_enums=True).get("resourceLogs", [])
        for of_resource in found:
            for of_scope in of_resource["scopeLogs"]:
                for record in of_scope["logRecords"]:
                    record |= {key: b64decode(record[key]).hex() for key in ("traceId", "spanId") if key in record}
        self.logs.extend(found)

    @property
    def log_bodies(self) -> list[str]:
        scopes = [scope for resource in self.logs for scope in resource["scopeLogs"]]
        return [record["body"]["stringValue"] for scope in scopes for record in scope["logRecords"]]


class Collector:
    """`status` is what HTTP answers and `delay` how long everything takes, in seconds; change them at any time."""

    def __init__(self) -> None:
        self.received = Received()
        self.status = 200
        self.delay = 0.0
        self.grpc_url = ""
        self.http_url = ""
        self.closing = threading.Event()

    def pause(self) -> None:
        """Cut short when the collector is closed."""
        self.received.requests += 1
        self.closing.wait(self.delay)


@contextmanager
def collector(certificates: Certificates | None = None) -> Iterator[Collector]:
    """On free ports; with `certificates`, by TLS."""
    told = Collector()
    http = ThreadingHTTPServer(("127.0.0.1", 0), _handler(told))
    http.daemon_threads = True
    server = grpc.server(ThreadPoolExecutor(4))
    add_TraceServiceServicer_to_server(_Traces(told), server)  # type: ignore[no-untyped-call]
    add_LogsServiceServicer_to_server(_Logs(told), server)  # type: ignore[no-untyped-call]
    add_MetricsServiceServicer_to_server(_Metrics(told), server)  # type: ignore[no-untyped-call]
    if certificates is None:
        port = server.add_insecure_port("127.0.0.1:0")
    else:
        chain, key = certificates.cert_file, certificates.key_file
        credentials = grpc.ssl_server_credentials([(key.read_bytes(), chain.read_bytes())])
        port = server.add_secure_port("localhost:0", credentials)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(chain, key)
        http.socket = context.wrap_socket(http.socket, server_side=True)
    scheme = "http" if certificates is None else "https"
    told.grpc_url = f"{scheme}://localhost:{port}"
    told.http_url = f"{scheme}://localhost:{http.server_address[1]}"
    thread = threading.Thread(target=http.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
    thread.start()
    server.start()
    try:
        yield told
    finally:
        told.closing.set()
        server.stop(0).wait()
        http.shutdown()
        http.server_close()
        thread.join()


class _Traces(TraceServiceServicer):
    def __init__(self, told: Collector) -> None:
        self._told = told

    def Export(self, request: ExportTraceServiceRequest, context: grpc.ServicerContext) -> ExportTraceServiceResponse:
        _grpc(self._told, context)
        self._told.received.take_spans(request)
        return ExportTraceServiceResponse()


class _Logs(LogsServiceServicer):
    def __init__(self, told: Collector) -> None:
        self._told = told

    def Export(self, request: ExportLogsServiceRequest, context: grpc.ServicerContext) -> ExportLogsServiceResponse:
        _grpc(self._told, context)
        self._told.received.take_logs(request)
        return ExportLogsServiceResponse()


class _Metrics(MetricsServiceServicer):
    def __init__(self, told: Collector) -> None:
        self._told = told

    def Export(
        self, request: ExportMetricsServiceRequest, context: grpc.ServicerContext
    ) -> ExportMetricsServiceResponse:
        _grpc(self._told, context)
        self._told.received.take_metrics(request)
        return ExportMetricsServiceResponse()


def _grpc(told: Collector, context: grpc.ServicerContext) -> None:
    told.received.headers.append({key: str(value) for key, value in context.invocation_metadata()})
    told.pause()
    if told.status != 200:
        context.abort(grpc.StatusCode.UNAVAILABLE, "told to")


def _handler(told: Collector) -> type[BaseHTTPRequestHandler]:
    def take_logs(body: bytes) -> None:
        told.received.logs.extend(json.loads(body)["resourceLogs"])

    take: dict[str, Callable[[bytes], None]] = {
        "/v1/traces": lambda body: told.received.take_spans(ExportTraceServiceRequest.FromString(body)),
        "/v1/metrics": lambda body: told.received.take_metrics(ExportMetricsServiceRequest.FromString(body)),
        "/v1/logs": take_logs,
    }

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        timeout = 10.0

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers.get("content-length", 0)))
            told.received.headers.append({key.lower(): value for key, value in self.headers.items()})
            told.pause()
            status = told.status if self.path in take else 404
            if status == 200:
                take[self.path](body)
            self.send_response(status)
            self.send_header("content-length", "2")
            self.end_headers()
            self.wfile.write(b"{}")

        def log_message(self, format: str, *args: object) -> None:
            pass

    return Handler


def _values(pairs: Any) -> dict[str, Any]:
    return {pair.key: _value(pair) for pair in pairs}


def _value(pair: KeyValue) -> Any:
    kind = pair.value.WhichOneof("value")
    return None if kind is None else getattr(pair.value, kind)
