"""Where telemetry goes, and how a collector is spoken to there. Pure."""

import logging
from collections.abc import Mapping
from enum import StrEnum
from urllib.parse import urlsplit

from msgspec import Struct

from iii_cluster.telemetry.config import Observability

logger = logging.getLogger(__name__)

GRPC = "grpc"
HTTP = "http/protobuf"  # logs go as JSON then
HTTP_JSON = "http/json"  # known of logs only
GRPC_PORT = 4317  # as collectors have them
HTTP_PORT = 4318


class Signal(StrEnum):
    TRACES = "traces"
    METRICS = "metrics"
    LOGS = "logs"


class Destination(Struct, frozen=True):
    """`endpoint` is an http or https URL: the whole of it, or for gRPC host and port."""

    signal: Signal
    protocol: str
    endpoint: str

    @property
    def shown(self) -> str:
        """As it may be logged: without user, path and query, which may be secret."""
        parts = urlsplit(self.endpoint)
        return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}"


class BadEndpoint(ValueError):
    """What the settings say is no address of a collector."""


def destinations(config: Observability, environ: Mapping[str, str]) -> list[Destination]:
    """One for each signal that goes to a collector. Raises BadEndpoint."""
    exporters = {
        Signal.TRACES: config.exporter if config.enabled else "memory",
        Signal.METRICS: config.metrics_exporter if config.enabled and config.metrics_enabled else "memory",
        Signal.LOGS: config.logs_exporter if config.logs_enabled else "memory",
    }
    return [_destination(signal, config, environ) for signal, exporter in exporters.items() if exporter != "memory"]


def _destination(signal: Signal, config: Observability, environ: Mapping[str, str]) -> Destination:
    own = environ.get(f"OTEL_EXPORTER_OTLP_{signal.upper()}_ENDPOINT", "").strip()
    endpoint = _url(own or config.endpoint)
    protocol = _protocol(signal, environ)
    if signal is Signal.LOGS and urlsplit(endpoint).path:
        protocol = HTTP  # what gRPC goes to has no path
    if protocol == GRPC or own:
        return Destination(signal, protocol, endpoint)
    return Destination(signal, protocol, f"{_to_http(endpoint)}/v1/{signal}")


def _protocol(signal: Signal, environ: Mapping[str, str]) -> str:
    for variable in (f"OTEL_EXPORTER_OTLP_{signal.upper()}_PROTOCOL", "OTEL_EXPORTER_OTLP_PROTOCOL"):
        named = environ.get(variable, "").strip().lower()
        if named in (GRPC, HTTP):
            return named
        if named == HTTP_JSON and signal is Signal.LOGS:
            return HTTP
        if named:
            logger.warning("action=variable_ignored variable=%s reason=neither %s nor %s", variable, GRPC, HTTP)
    return GRPC


def _url(text: str) -> str:
    url = text.rstrip("/") if "://" in text else f"http://{text.rstrip('/')}"
    try:
        parts = urlsplit(url)
        fit = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        fit = False
    if not fit:
        raise BadEndpoint("the endpoint is no http or https URL")
    return url


def _to_http(endpoint: str) -> str:
    """One endpoint is given for all signals: who listens for gRPC where all do so, listens for HTTP next to it."""
    parts = urlsplit(endpoint)
    if parts.port != GRPC_PORT:
        return endpoint
    return parts._replace(netloc=parts.netloc.removesuffix(str(GRPC_PORT)) + str(HTTP_PORT)).geturl()
