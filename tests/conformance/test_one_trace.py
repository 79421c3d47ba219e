"""From an HTTP request to a stream event, through gateways, a queue and two clients: one trace, wherever one looks."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.conformance.conftest import Launch
from tests.conformance.known import known
from tests.conformance.web import ask, routed
from tests.support.cluster import Cluster, running_cluster
from tests.support.eventually import eventually
from tests.support.otlp import Collector, collector
from tests.support.sdk_worker import Json, SdkWorker
from tests.support.sdks import NODE_22, PYTHON_25

# Names of the spans, and below which one of them each is; {u} is unique to the test.
EXPECTED = [
    ("POST /{u}/orders/:id", ""),
    ("call {u}::order", "POST /{u}/orders/:id"),
    ("execute {u}::order", "call {u}::order"),
    ("enqueue {u}::job → default", "execute {u}::order"),
    ("fn_queue default", "enqueue {u}::job → default"),
    ("execute {u}::job", "fn_queue default"),
    ("call state::update", "execute {u}::job"),
    ("state_triggers", "call state::update"),
    ("execute {u}::changed", "state_triggers"),
    ("call stream::set", "execute {u}::job"),
    ("stream_triggers", "call stream::set"),
    ("execute {u}::streamed", "stream_triggers"),
]
OURS = ("POST ", "call ", "enqueue ", "fn_queue ", "trigger ", "state_triggers", "stream_triggers")


@pytest.fixture
def there() -> Iterator[Collector]:
    with collector() as running:
        yield running


@pytest.fixture
def traced(there: Collector, tmp_path: Path) -> Iterator[Cluster]:
    """A cluster that tells everything to its store and to the collector, as the environment says."""
    env = {
        "OTEL_EXPORTER_TYPE": "both",
        "OTEL_LOGS_EXPORTER": "both",
        "OTEL_METRICS_EXPORTER": "both",
        "OTEL_LOGS_FLUSH_INTERVAL_MS": "100",
        "OTEL_EXPORTER_OTLP_ENDPOINT": there.grpc_url,
        "OTEL_EXPORTER_OTLP_LOGS_ENDPOINT": f"{there.http_url}/v1/logs",
    }
    with running_cluster(tmp_path, env=env) as cluster:
        yield cluster


async def test_a_request_and_all_it_causes_are_one_trace(
    traced: Cluster, there: Collector, launch: Launch, unique: str
) -> None:
    python = await launch(PYTHON_25, traced.gateways[1].url, telemetry=True)
    node = await launch(NODE_22, traced.gateways[0].url, telemetry=True)
    await _register(python, node, unique)
    await routed(traced, "POST", f"/{unique}/orders/x")
    await eventually(lambda: _is_bound(python, unique))

    answer = await ask(traced, 0, "POST", f"/{unique}/orders/7", json={"n": 1})
    assert answer.status == 202
    for worker, function in ((python, "order"), (node, "job"), (python, "changed"), (python, "streamed")):
        await worker.event("called", function=f"{unique}::{function}")

    arrived = [(name.format(u=unique), above.format(u=unique)) for name, above in EXPECTED]
    await eventually(lambda: {name for name, _ in arrived} <= {span.name for span in there.received.spans})
    [root] = [span for span in there.received.spans if span.name == arrived[0][0]]

    received = [
        {"span_id": span.span_id, "parent_span_id": span.parent, "name": span.name, "kind": span.kind}
        for span in there.received.spans
        if span.trace_id == root.trace_id
    ]
    _assert_one_tree(received, arrived)
    services = {span.name: span.resource["service.name"] for span in there.received.spans}
    assert services[arrived[0][0]] == services[f"call {unique}::order"] == "iii"
    assert len({services[f"execute {unique}::order"], services[f"execute {unique}::job"], "iii"}) == 3
    nodes = {span.resource["service.instance.id"] for span in there.received.spans if span.name.startswith(OURS)}
    assert nodes <= {member.id for member in traced.nodes}
    assert len(nodes) >= 3  # both gateways and at least one shard had to do with it

    async def stored() -> list[Json]:
        tree = await python.call("engine::traces::tree", {"trace_id": root.trace_id})
        return list(_flat(tree["roots"]))

    await eventually(lambda: _all_stored(stored, arrived))
    _assert_one_tree(await stored(), arrived)
    assert any("action=node_joined" in body for body in there.received.log_bodies)

    gateway = traced.gateways[0]
    gateway.terminate()
    gateway.wait()  # it tells its numbers before it goes
    numbers = [
        metric.name for resource, metric in there.received.metrics if resource["service.instance.id"] == gateway.id
    ]
    assert {"iii.invocations.total", "http.server.request.duration"} <= set(numbers)


async def _register(python: SdkWorker, node: SdkWorker, unique: str) -> None:
    """HTTP -> order -> (queue) job -> state -> changed, stream -> streamed."""
    place = {"scope": unique, "key": "order"}
    job = {"function": f"{unique}::job", "data": {"id": 7}, "queue": "default"}
    order = {"steps": [job], "value": {"status_code": 202, "body": {}}}
    update = {"function": "state::update", "data": {**place, "ops": [{"type": "set", "path": "n", "value": 1}]}}
    item = {"stream_name": unique, "group_id": "g", "item_id": "i", "data": {"id": "i"}}
    await node.register(f"{unique}::job", "steps", steps=[update, {"function": "stream::set", "data": item}])
    await python.register(f"{unique}::order", "steps", **order)
    await python.register(f"{unique}::changed", "record")
    await python.register(f"{unique}::streamed", "record")
    http = {"api_path": f"/{unique}/orders/:id", "http_method": "POST"}
    for type_, function, config in (
        ("http", "order", http),
        ("state", "changed", {"scope": unique, "key": "order"}),
        ("stream", "streamed", {"stream_name": unique}),
    ):
        await python.ask("trigger", key=function, type=type_, function=f"{unique}::{function}", config=config)
    await known(python, f"{unique}::job", f"{unique}::order")


async def _is_bound(worker: SdkWorker, unique: str) -> bool:
    """Whether both triggers of writes are told of by their providers' type."""
    rows = (await worker.call("engine::registered-triggers::list", {}))["registered_triggers"]
    return {f"{unique}::changed", f"{unique}::streamed"} <= {row["function_id"] for row in rows}


async def _all_stored(stored: Any, arrived: list[tuple[str, str]]) -> bool:
    return {name for name, _ in arrived} <= {span["name"] for span in await stored()}


def _flat(spans: list[Json]) -> Iterator[Json]:
    for span in spans:
        yield span
        yield from _flat(span["children"])


def _assert_one_tree(spans: list[Json], arrived: list[tuple[str, str]]) -> None:
    """One root, every parent there, and each expected span somewhere below the one it is to be below."""
    by_id = {span["span_id"]: span for span in spans}
    assert [span["name"] for span in spans if not span["parent_span_id"]] == [arrived[0][0]]
    assert [span["name"] for span in spans if span["parent_span_id"] and span["parent_span_id"] not in by_id] == []
    for name, above in arrived:
        [span, *_] = [span for span in spans if span["name"] == name]
        names = []
        while span["parent_span_id"]:
            span = by_id[span["parent_span_id"]]
            names.append(span["name"])
        assert not above or above in names, f"{name} is below {names}"
