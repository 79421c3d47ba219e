"""Metrics as Prometheus and as collectors are told of them."""

import asyncio
from collections.abc import Callable

import pytest
from opentelemetry.exporter.otlp.proto.common.metrics_encoder import encode_metrics
from opentelemetry.sdk.metrics.export import Histogram, Metric, Sum
from prometheus_client import Metric as Family
from prometheus_client.openmetrics.parser import text_string_to_metric_families as openmetrics
from prometheus_client.parser import text_string_to_metric_families as plain

from iii_cluster.telemetry.metrics.durations import BOUNDS
from iii_cluster.telemetry.metrics.exposition import HISTOGRAMS, POINTS, Exposition
from iii_cluster.telemetry.metrics.families import FAMILIES, Kind
from iii_cluster.telemetry.metrics.metrics import Metrics
from iii_cluster.telemetry.metrics.otel import otel_metrics
from iii_cluster.telemetry.metrics.snapshot import QueueNumbers, Snapshot

OPENMETRICS = "application/openmetrics-text;version=1.0.0,text/plain;version=0.0.4;q=0.5"
STRANGE = 'a\\b"c\nd: {é,}'


def busy(role: str = "gateway") -> Metrics:
    """One with something to tell of everything."""
    metrics = Metrics()
    for seconds in (0.0004, 0.003, 700.0):
        metrics.functions.ended(STRANGE, seconds, b"")
    metrics.functions.ended(STRANGE, 0.02, b'{"code": "no \\" luck"}')
    metrics.functions.exemplar(STRANGE, 0.003, "ab" * 16)
    metrics.functions.deferred("later")
    metrics.requests.ended("GET", "/a/:id", 200, 0.001)
    metrics.requests.ended("BREW", "", 404, 0.001)
    metrics.watch_drops("store", lambda: {"spans": 3})

    def tell(snapshot: Snapshot) -> None:
        snapshot.role, snapshot.leading, snapshot.members = role, True, {"gateway": 2}
        snapshot.started_ms = snapshot.time_ms - 1000
        snapshot.refused = {"calls": 1}
        snapshot.queues = {"mail": QueueNumbers(4, 3, 2, 1.5)}

    metrics.of_node(tell)
    return metrics


async def told(metrics: Metrics, accept: str = "") -> dict[str, Family]:
    kind, text = await Exposition(metrics).text(accept)
    parse = openmetrics if kind.startswith("application/openmetrics") else plain
    return {family.name: family for family in parse(text.decode())}


def values(family: Family) -> dict[tuple[str, ...], float]:
    """By name and the values of the labels, these in the order of their names."""
    return {(one.name, *(one.labels[name] for name in sorted(one.labels))): one.value for one in family.samples}


@pytest.mark.parametrize("accept", ["", OPENMETRICS])
async def test_prometheus_reads_what_was_counted(accept: str) -> None:
    found = await told(busy(), accept)
    assert values(found["iii_invocations"]) == {
        ("iii_invocations_total", STRANGE, "ok"): 3,
        ("iii_invocations_total", STRANGE, "error"): 1,
        ("iii_invocations_total", "later", "ok"): 0,
        ("iii_invocations_total", "later", "deferred"): 1,
    }
    errors = [(sample.labels, sample.value) for sample in found["iii_invocation_errors"].samples]
    assert errors == [({"function_id": STRANGE, "error_code": 'no " luck'}, 1)]
    durations = values(found["iii_invocation_duration_seconds"])
    name = "iii_invocation_duration_seconds"
    assert durations[(f"{name}_count", STRANGE, "ok")] == durations[(f"{name}_bucket", STRANGE, "+Inf", "ok")] == 3
    assert durations[(f"{name}_bucket", STRANGE, "0.0005", "ok")] == 1
    assert durations[(f"{name}_bucket", STRANGE, "60", "ok")] == 2
    assert durations[(f"{name}_sum", STRANGE, "ok")] == pytest.approx(700.0034)
    assert durations[(f"{name}_sum", STRANGE, "error")] == pytest.approx(0.02)
    assert values(found["iii_http_requests"]) == {
        ("iii_http_requests_total", "GET", "/a/:id", "200"): 1,
        ("iii_http_requests_total", "_OTHER", "", "404"): 1,
    }
    assert values(found["iii_queue_oldest_job_age_seconds"]) == {("iii_queue_oldest_job_age_seconds", "mail"): 1.5}
    assert values(found["iii_telemetry_dropped"])[("iii_telemetry_dropped_total", "spans", "store")] == 3


async def test_a_bucket_leads_to_a_trace_of_a_call_in_it() -> None:
    found = await told(busy(), OPENMETRICS)
    samples = found["iii_invocation_duration_seconds"].samples
    [exemplar] = [sample.exemplar for sample in samples if sample.exemplar]
    assert (exemplar.labels, exemplar.value) == ({"trace_id": "ab" * 16}, 0.003)


@pytest.mark.parametrize("role", ["gateway", "shard", "coordinator"])
async def test_a_family_is_told_as_one_however_many_slices_it_took(role: str) -> None:
    metrics = busy(role)
    for number in range(2 * POINTS + HISTOGRAMS // 2):
        metrics.functions.ended(f"f{number}", 0.001, b"")
    _, text = await Exposition(metrics).text("")
    heads = [line.split()[2] for line in text.decode().splitlines() if line.startswith("# TYPE ")]
    assert len(heads) == len(set(heads))
    assert set(heads) <= {family.exposed for family in FAMILIES} | {family.name for family in FAMILIES}


async def test_others_have_their_turn_while_a_long_text_is_made() -> None:
    metrics = Metrics()
    for number in range(300):
        metrics.functions.ended(f"f{number}", 0.001, b"")
    turns = 0

    async def others() -> None:
        nonlocal turns
        while True:
            turns += 1
            await asyncio.sleep(0)

    counting = asyncio.create_task(others())
    await Exposition(metrics).text("")
    counting.cancel()
    assert turns >= 300 // HISTOGRAMS


async def test_those_who_ask_at_the_same_time_get_the_same_text() -> None:
    metrics = busy()
    exposition = Exposition(metrics)
    first, second = await asyncio.gather(exposition.text(""), exposition.text(""))
    assert first is second or first == second


def of_otel(metrics: Metrics) -> dict[str, Metric]:
    [resource] = metrics.for_collectors()().resource_metrics
    [scope] = resource.scope_metrics
    return {metric.name: metric for metric in scope.metrics}


def test_collectors_are_told_the_same_by_opentelemetrys_names() -> None:
    found = of_otel(busy())
    total = found["iii.invocations.total"].data
    assert isinstance(total, Sum)
    assert total.is_monotonic
    assert {tuple(dict(point.attributes or {}).values()): point.value for point in total.data_points} == {
        (STRANGE, "ok"): 3,
        (STRANGE, "error"): 1,
        ("later", "ok"): 0,
        ("later", "deferred"): 1,
    }
    duration = found["iii.invocation.duration"].data
    assert isinstance(duration, Histogram)
    ok = next(point for point in duration.data_points if point.attributes == {"function_id": STRANGE, "status": "ok"})
    assert (ok.count, sum(ok.bucket_counts), len(ok.bucket_counts)) == (3, 3, len(BOUNDS) + 1)
    assert found["iii.invocation.duration"].unit == "s"
    points = found["iii.http.requests.total"].data.data_points
    requests = [tuple(sorted(dict(point.attributes or {}).items())) for point in points]
    assert (("http.request.method", "GET"), ("http.response.status_code", 200), ("http.route", "/a/:id")) in requests
    assert (("http.request.method", "_OTHER"), ("http.response.status_code", 404)) in requests


@pytest.mark.parametrize("make", [Metrics, busy])
def test_the_official_encoder_takes_it(make: Callable[[], Metrics]) -> None:
    assert encode_metrics(otel_metrics(make().snapshot())).ByteSize() > 100


def test_names_follow_the_conventions() -> None:
    for family in FAMILIES:
        assert not family.name.endswith("_total")
        assert family.help.endswith(".")
        if family.unit in ("s", "By"):
            assert family.name.endswith({"s": "_seconds", "By": "_bytes"}[family.unit])
        assert (family.otel == "") == (family.kind is Kind.INFO)
    assert len({family.name for family in FAMILIES}) == len({family.otel or family.name for family in FAMILIES})
