"""What points of metrics count from, from a worker's frame to what a collector gets."""

import pytest
from opentelemetry.sdk.metrics.export import AggregationTemporality

from iii_cluster.telemetry.otlp.convert import Resources, metrics_data
from iii_cluster.telemetry.otlp.decode import metric_of, records
from tests.support.telemetry import NOW, metrics_frame


@pytest.mark.parametrize("said", [AggregationTemporality.DELTA, AggregationTemporality.CUMULATIVE])
@pytest.mark.parametrize("kind", ["sum", "histogram"])
def test_collectors_are_told_what_the_worker_said(said: AggregationTemporality, kind: str) -> None:
    point = {"asInt": "7", "count": 0, "startTimeUnixNano": str(NOW - 5), "timeUnixNano": str(NOW)}
    data = {"dataPoints": [point], "isMonotonic": True, "aggregationTemporality": said.value}
    [(record, source)] = records(metrics_frame({"name": "m", kind: data}))
    metric = metric_of(record, source, NOW)
    assert metric is not None
    made = metrics_data([metric], Resources({})).resource_metrics[0].scope_metrics[0].metrics[0].data
    assert made.aggregation_temporality is said  # type: ignore[union-attr]
    assert made.data_points[0].start_time_unix_nano == NOW - 5
