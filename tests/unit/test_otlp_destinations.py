import pytest

from iii_cluster.telemetry.config import Observability
from iii_cluster.telemetry.otlp.destinations import GRPC, HTTP, BadEndpoint, Destination, Signal, destinations

ALL = Observability(exporter="both", metrics_exporter="otlp", logs_exporter="both")
HTTP_FOR_ALL = {"OTEL_EXPORTER_OTLP_PROTOCOL": HTTP}


def test_nothing_goes_anywhere_unless_somebody_says_so() -> None:
    assert destinations(Observability(), {}) == []


def test_each_signal_goes_where_its_exporter_says() -> None:
    config = Observability(exporter="otlp", endpoint="http://collector:4317")
    assert destinations(config, {}) == [Destination(Signal.TRACES, GRPC, "http://collector:4317")]


def test_what_is_switched_off_is_not_sent() -> None:
    config = Observability(
        enabled=False, exporter="otlp", metrics_exporter="otlp", logs_exporter="otlp", logs_enabled=False
    )
    assert destinations(config, {}) == []


def test_grpc_is_the_default_of_all_signals() -> None:
    assert destinations(ALL, {}) == [
        Destination(Signal.TRACES, GRPC, "http://localhost:4317"),
        Destination(Signal.METRICS, GRPC, "http://localhost:4317"),
        Destination(Signal.LOGS, GRPC, "http://localhost:4317"),
    ]


def test_over_http_the_port_is_that_next_to_grpc() -> None:
    found = destinations(ALL, {"OTEL_EXPORTER_OTLP_LOGS_PROTOCOL": HTTP})
    assert found[2] == Destination(Signal.LOGS, HTTP, "http://localhost:4318/v1/logs")


@pytest.mark.parametrize(
    "environ",
    [
        {"OTEL_EXPORTER_OTLP_LOGS_ENDPOINT": "http://c:5000/v1/logs"},
        {"OTEL_EXPORTER_OTLP_LOGS_ENDPOINT": "http://c:5000/v1/logs", "OTEL_EXPORTER_OTLP_PROTOCOL": GRPC},
        {"OTEL_EXPORTER_OTLP_ENDPOINT": "ignored", "OTEL_EXPORTER_OTLP_LOGS_ENDPOINT": "http://c:5000/v1/logs/"},
        {"OTEL_EXPORTER_OTLP_LOGS_PROTOCOL": "http/json", "OTEL_EXPORTER_OTLP_LOGS_ENDPOINT": "http://c:5000/v1/logs"},
    ],
)
def test_logs_go_by_http_where_their_endpoint_has_a_path(environ: dict[str, str]) -> None:
    assert destinations(ALL, environ)[2] == Destination(Signal.LOGS, HTTP, "http://c:5000/v1/logs")


def test_http_has_a_path_for_each_signal() -> None:
    config = Observability(
        exporter="otlp", metrics_exporter="otlp", logs_exporter="otlp", endpoint="https://c:443/otlp/"
    )
    assert [where.endpoint for where in destinations(config, HTTP_FOR_ALL)] == [
        "https://c:443/otlp/v1/traces",
        "https://c:443/otlp/v1/metrics",
        "https://c:443/otlp/v1/logs",
    ]


def test_a_signal_may_have_a_protocol_and_an_endpoint_of_its_own() -> None:
    environ = {
        "OTEL_EXPORTER_OTLP_METRICS_PROTOCOL": HTTP,
        "OTEL_EXPORTER_OTLP_METRICS_ENDPOINT": "https://metrics.example/write",
    }
    traces, metrics, _ = destinations(ALL, environ)
    assert traces.protocol == GRPC
    assert metrics == Destination(Signal.METRICS, HTTP, "https://metrics.example/write")


def test_an_address_without_scheme_is_plain_text() -> None:
    config = Observability(exporter="otlp", endpoint="collector:4317")
    assert destinations(config, {})[0].endpoint == "http://collector:4317"


@pytest.mark.parametrize("endpoint", ["ftp://collector", "http://", "http://host:port", "http://[::1"])
def test_what_is_no_address_is_refused_without_being_repeated(endpoint: str) -> None:
    with pytest.raises(BadEndpoint) as refused:
        destinations(Observability(exporter="otlp", endpoint=endpoint), {})
    assert endpoint not in str(refused.value)
