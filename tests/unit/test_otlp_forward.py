import asyncio
import logging
import os
import socket
import sys
import time
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from opentelemetry.sdk.metrics.export import MetricsData

from iii_cluster.telemetry.config import Observability
from iii_cluster.telemetry.otlp import forward, lane
from iii_cluster.telemetry.otlp.convert import Resources, metrics_data
from iii_cluster.telemetry.otlp.destinations import HTTP, Signal
from iii_cluster.telemetry.otlp.forward import Forwarder
from iii_cluster.telemetry.records import Event, HistogramPoint, Kind, Link, Log, Metric, NumberPoint, Span
from iii_cluster.telemetry.spool import Batch
from tests.support.certificates import Certificates
from tests.support.eventually import eventually
from tests.support.otlp import Collector, collector

TRACE = "0af7651916cd43dd8448eb211c80319c"
PROTOCOLS = ["grpc", HTTP]
SECRET = "s3cr3t-of-the-collector"

Make = Callable[..., Forwarder]


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody waits for more items or for a second attempt."""
    monkeypatch.setattr(forward, "SPANS_INTERVAL", 0.0)
    monkeypatch.setattr(forward, "METRICS_INTERVAL", 0.0)
    monkeypatch.setattr(forward, "TICK", 0.02)
    monkeypatch.setattr(forward, "STOP_TIMEOUT", 0.5)
    monkeypatch.setattr(lane, "FIRST_PAUSE", 0.01)
    monkeypatch.setattr(lane, "LONGEST_PAUSE", 0.02)
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_TIMEOUT", "5")


@pytest.fixture
def there() -> Iterator[Collector]:
    with collector() as running:
        yield running


@pytest.fixture
async def make() -> AsyncIterator[Make]:
    """Started forwarders, stopped at the end."""
    made: list[Forwarder] = []

    def make(endpoint: str, protocol: str = HTTP, **options: Any) -> Forwarder:
        settings = {"exporter": "both", "metrics_exporter": "both", "logs_exporter": "both", **options}
        own_metrics = settings.pop("own_metrics", None)
        config = Observability(endpoint=endpoint, logs_batch_size=1, **settings)
        made.append(Forwarder(config, own_metrics, {"OTEL_EXPORTER_OTLP_PROTOCOL": protocol}))
        made[-1].rename("gateway-1")
        made[-1].start()
        return made[-1]

    yield make
    for forwarder in made:
        await forwarder.stop()


def span(n: int = 1, **members: Any) -> Span:
    return Span(TRACE, f"{n:016x}", None, f"work {n}", 1, 2, "ok", [], "iii", **members)


def log(body: str) -> Log:
    return Log(1, 2, 9, "INFO", body, {"n": 1, "deep": {"a": [True, None, 1.5]}}, TRACE, "1" * 16, {}, "iii")


def spans(count: int) -> Batch:
    return Batch([span(n + 1) for n in range(count)], [], [])


def endpoint(there: Collector, protocol: str) -> str:
    return there.grpc_url if protocol == "grpc" else there.http_url


@pytest.mark.parametrize("protocol", PROTOCOLS)
async def test_a_span_arrives_with_all_it_says(there: Collector, make: Make, protocol: str) -> None:
    error = span(
        kind=Kind.SERVER,
        events=[Event("exception", 3, [("exception.type", "x")])],
        links=[Link(TRACE, "3" * 16)],
    )
    error.parent_span_id, error.status, error.status_description = "2" * 16, "error", "it broke"
    error.attributes = [("http.response.status_code", "500"), ("attempt", "x"), ("function_id", "a::b")]
    workers = span(2, resource={"service.name": "billing", "host.name": "there"}, instrumentation_scope_name="app")
    workers.service_name = "billing"
    make(endpoint(there, protocol), protocol).offer(Batch([error, workers], [], []))

    await eventually(lambda: len(there.received.spans) == 2)
    first, second = sorted(there.received.spans, key=lambda found: found.span_id)
    assert (first.trace_id, first.parent, first.kind, first.status) == (TRACE, "2" * 16, 2, 2)
    assert first.attributes == {"http.response.status_code": 500, "attempt": "x", "function_id": "a::b"}
    assert first.events == ("exception",)
    assert first.resource["service.name"] == "iii"
    assert first.resource["service.instance.id"] == "gateway-1"
    assert (second.resource, second.scope) == ({"service.name": "billing", "host.name": "there"}, "app")


@pytest.mark.parametrize("protocol", PROTOCOLS)
async def test_metrics_of_workers_and_of_this_process_arrive(there: Collector, make: Make, protocol: str) -> None:
    def metric(name: str, kind: str, *points: NumberPoint | HistogramPoint) -> Metric:
        return Metric(name, "", "1", kind, list(points), "billing", 5, resource={"service.name": "billing"})

    own = metrics_data([Metric("own", "", "1", "gauge", [NumberPoint(1, [], 5)], "x", 5)], Resources({}))
    told: list[MetricsData] = [own]
    forwarder = make(endpoint(there, protocol), protocol, own_metrics=lambda: told.pop)
    histogram = HistogramPoint(3, 1.5, [1, 2], [0.5], None, 1.0, [("a", "b")], 5)
    forwarder.offer(
        Batch(
            [],
            [],
            [
                metric("orders", "counter", NumberPoint(7, [("shop", "x")], 5)),
                metric("load", "gauge", NumberPoint(0.5, [], 5)),
                metric("open", "updowncounter", NumberPoint(2, [], 5)),
                metric("took", "histogram", histogram),
            ],
        )
    )
    await eventually(lambda: len(there.received.metrics) == 4)
    found = {data.name: (resource["service.name"], data) for resource, data in there.received.metrics}
    assert {service for service, _ in found.values()} == {"billing"}
    assert found["orders"][1].sum.is_monotonic
    assert found["orders"][1].sum.data_points[0].as_double == 7 or found["orders"][1].sum.data_points[0].as_int == 7
    assert found["load"][1].gauge.data_points[0].as_double == 0.5
    assert not found["open"][1].sum.is_monotonic
    assert list(found["took"][1].histogram.data_points[0].bucket_counts) == [1, 2]

    await forwarder.stop()  # its own are told a last time
    [resource] = [resource for resource, data in there.received.metrics if data.name == "own"]
    assert resource["service.instance.id"] == "gateway-1"


@pytest.mark.parametrize("protocol", PROTOCOLS)
async def test_logs_arrive_with_all_they_say(there: Collector, make: Make, protocol: str) -> None:
    """Over HTTP as JSON."""
    make(endpoint(there, protocol), protocol).offer(Batch([], [log("one"), log("two")], []))
    await eventually(lambda: there.received.log_bodies == ["one", "two"])
    [of_resource, *_] = there.received.logs
    attributes = {each["key"]: each["value"] for each in of_resource["resource"]["attributes"]}
    assert attributes["service.instance.id"] == {"stringValue": "gateway-1"}
    record = of_resource["scopeLogs"][0]["logRecords"][0]
    assert (record["traceId"], record["severityNumber"]) == (TRACE, 9)
    values = [{"boolValue": True}, {}, {"doubleValue": 1.5}]
    assert record["attributes"] == [
        {"key": "n", "value": {"intValue": "1"}},
        {
            "key": "deep",
            "value": {"kvlistValue": {"values": [{"key": "a", "value": {"arrayValue": {"values": values}}}]}},
        },
    ]


async def test_a_log_goes_by_grpc_whatever_its_ids_and_severity_and_one_without_a_time_stops_nothing(
    there: Collector, make: Make
) -> None:
    strange, timeless = log("strange"), log("timeless")
    strange.trace_id, strange.span_id, strange.severity_number = "no hex" + "0" * 26, None, 99
    timeless.timestamp_unix_nano = 2**70
    forwarder = make(there.grpc_url, "grpc")
    forwarder.offer(Batch([], [strange, timeless, log("last")], []))
    await eventually(lambda: there.received.log_bodies == ["strange", "last"])
    record = there.received.logs[0]["scopeLogs"][0]["logRecords"][0]
    assert ("traceId" in record, "spanId" in record, record["severityNumber"]) == (False, False, 24)
    assert forwarder.dropped()["logs"] == 1


@pytest.mark.parametrize("signal", ["spans", "logs"])
async def test_http_where_a_collector_speaks_grpc_is_told_without_its_bytes(
    there: Collector, make: Make, caplog: pytest.LogCaptureFixture, signal: str
) -> None:
    batch = spans(1) if signal == "spans" else Batch([], [log("one")], [])
    make(there.grpc_url, HTTP).offer(batch)
    await eventually(lambda: "action=collector_away" in caplog.text)
    line = next(line for line in caplog.messages if "collector_away" in line)
    assert "does not speak HTTP" in line
    assert "\\x" not in line


async def test_where_telemetry_goes_is_told_once_without_secrets(make: Make, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO):
        make(f"http://user:{SECRET}@127.0.0.1:9/{SECRET}", metrics_exporter="memory")
    (line,) = [line for line in caplog.messages if "collector_used" in line]
    assert line == "action=collector_used traces=http://127.0.0.1:9 logs=http://127.0.0.1:9"


async def test_what_still_goes_on_is_not_sent_and_nonsense_stops_nothing(there: Collector, make: Make) -> None:
    going_on, nonsense, late = span(1), span(2), span(3)
    going_on.end_time_unix_nano = 0
    nonsense.trace_id = "no hex" + "0" * 26
    late.end_time_unix_nano = 2**70
    forwarder = make(there.http_url)
    forwarder.offer(Batch([going_on, nonsense, late, span(4)], [], []))
    await eventually(lambda: [found.name for found in there.received.spans] == ["work 4"])
    assert forwarder.dropped()["spans"] == 2


@pytest.mark.parametrize("protocol", PROTOCOLS)
async def test_by_tls_with_headers_from_the_environment(
    make: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, protocol: str
) -> None:
    certificates = Certificates(tmp_path)
    for variable in ("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"):  # the HTTP library prefers them
        monkeypatch.delenv(variable, raising=False)
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_CERTIFICATE", str(certificates.ca_file))
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_HEADERS", f"x-key={SECRET}")
    with collector(certificates) as there:
        forwarder = make(endpoint(there, protocol), protocol, metrics_exporter="memory", logs_exporter="memory")
        forwarder.offer(spans(1))
        await eventually(lambda: there.received.spans)
        make(endpoint(there, protocol), protocol, exporter="memory").offer(Batch([], [log("one")], []))
        await eventually(lambda: there.received.log_bodies)
        assert {headers["x-key"] for headers in there.received.headers} == {SECRET}


@pytest.mark.parametrize("protocol", PROTOCOLS)
async def test_an_outage_is_told_once_and_what_waits_arrives_after_it(
    there: Collector,
    make: Make,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
    protocol: str,
) -> None:
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_HEADERS", f"x-key={SECRET}")
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_TIMEOUT", "0.1")
    monkeypatch.setattr(lane, "ATTEMPTS", 1000)
    there.status = 500
    with caplog.at_level(logging.INFO):
        make(endpoint(there, protocol), protocol).offer(spans(3))
        await eventually(lambda: there.received.requests >= 3)
        there.status = 200
        await eventually(lambda: len(there.received.spans) == 3)
        await eventually(lambda: any("collector_back" in line for line in caplog.messages))
    lines = [line for line in caplog.messages if "collector_away" in line or "collector_back" in line]
    assert [line.partition(" ")[0] for line in lines] == ["action=collector_away", "action=collector_back"]
    assert SECRET not in caplog.text


async def test_headers_are_not_logged_even_if_they_make_no_sense(
    make: Make, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_HEADERS", f"{SECRET} without equals")
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_TIMEOUT", "0.1")
    with caplog.at_level(logging.DEBUG):
        make(f"http://user:{SECRET}@127.0.0.1:{_closed_port()}/{SECRET}").offer(Batch([span()], [log("one")], []))
        await eventually(lambda: sum("collector_away" in line for line in caplog.messages) == 2)
    assert SECRET not in caplog.text


@pytest.fixture(params=["refused", "hanging", "erring", "slow"])
def trouble(request: pytest.FixtureRequest) -> Iterator[str]:
    if request.param == "refused":
        yield f"http://127.0.0.1:{_closed_port()}"
    elif request.param == "hanging":  # connections are made, and nobody reads
        with socket.create_server(("127.0.0.1", 0), backlog=16) as listener:
            yield f"http://127.0.0.1:{listener.getsockname()[1]}"
    else:
        with collector() as there:
            there.status = 500 if request.param == "erring" else 200
            there.delay = 0.0 if request.param == "erring" else 60.0
            yield there.http_url


@pytest.mark.parametrize("protocol", PROTOCOLS)
async def test_a_collector_of_no_use_costs_a_bounded_amount_of_memory_and_no_time(
    make: Make, trouble: str, protocol: str
) -> None:
    forwarder = make(trouble, protocol, own_metrics=lambda: lambda: MetricsData([]))
    batch = Batch([span(n + 1) for n in range(1000)], [log(str(n)) for n in range(1000)], [])
    for _ in range(15):
        before = time.thread_time()
        forwarder.offer(batch)
        assert time.thread_time() - before < 1.0  # of computing: it never waits
        await asyncio.sleep(0)
    dropped = forwarder.dropped()
    assert dropped["spans"] >= 10_000
    assert dropped["logs"] >= 15_000 - lane.MAX_ITEMS - 1000
    assert forwarder.sent().get(Signal.TRACES, 0) == 0

    async with asyncio.timeout(forward.STOP_TIMEOUT + 10):  # this machine may be busy
        await forwarder.stop()


PROGRAM = """
import asyncio, sys
from iii_cluster.telemetry.config import Observability
from iii_cluster.telemetry.otlp.forward import Forwarder
from iii_cluster.telemetry.records import Span
from iii_cluster.telemetry.spool import Batch

async def main():
    forwarder = Forwarder(Observability(exporter="otlp", endpoint=sys.argv[1]))
    forwarder.start()
    forwarder.offer(Batch([Span("1" * 32, "2" * 16, None, "work", 1, 2, "ok", [], "iii")], [], []))
    await asyncio.to_thread(sys.stdin.read)
    await forwarder.stop()

asyncio.run(main())
"""


@pytest.mark.parametrize("protocol", PROTOCOLS)
async def test_a_process_ends_though_a_request_hangs(protocol: str) -> None:
    environ = {**os.environ, "OTEL_EXPORTER_OTLP_PROTOCOL": protocol, "OTEL_EXPORTER_OTLP_TIMEOUT": "250"}
    loop = asyncio.get_running_loop()
    with socket.create_server(("127.0.0.1", 0), backlog=16) as listener:
        listener.setblocking(False)
        argv = [sys.executable, "-c", PROGRAM, f"http://127.0.0.1:{listener.getsockname()[1]}"]
        process = await asyncio.create_subprocess_exec(*argv, env=environ, stdin=asyncio.subprocess.PIPE)
        connection, _ = await loop.sock_accept(listener)
        with connection:  # it sends, and will never hear anything
            await loop.sock_recv(connection, 1)
            await process.communicate(b"")
    assert process.returncode == 0


async def test_nothing_is_started_where_nothing_is_to_be_sent() -> None:
    forwarder = Forwarder(Observability(), None, {})
    forwarder.start()
    forwarder.offer(spans(3))
    assert (forwarder.active, forwarder.dropped()) == (False, {})
    await forwarder.stop()


async def test_an_endpoint_that_is_none_is_told_and_does_no_harm(caplog: pytest.LogCaptureFixture) -> None:
    forwarder = Forwarder(Observability(exporter="both", endpoint="ftp://x"), None, {})
    forwarder.start()
    forwarder.offer(spans(3))
    await forwarder.stop()
    assert "action=collector_unusable" in caplog.text


def _closed_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return int(listener.getsockname()[1])
