"""What a busy cluster would answer, made up."""

import math
from typing import Any

Json = dict[str, Any]

NOW = 1_760_000_000_000  # ms
TRACE = "0af7651916cd43dd8448eb211c80319c"


def overview(nodes: int = 3, now: int = NOW) -> Json:
    times = list(range(now - 890_000, now + 1, 2000))
    rate = [200 + 60 * math.sin(index / 20) for index in range(len(times))]
    return {
        "cluster": "sample",
        "version": "0.1.0",
        "term": 7,
        "epoch": 12,
        "leader": "coordinator-a1b2",
        "node": "coordinator-a1b2",
        "time_ms": now,
        "redis": {"up": True, "since_ms": now - 3_600_000},
        "nodes": [
            *(_node(f"gateway-{index:04x}", "gateway", now) for index in range(nodes)),
            *(_node(f"shard-{index:04x}", "shard", now, slots=512) for index in range(2)),
            _node("coordinator-a1b2", "coordinator", now, leader=True),
        ],
        "slots": {"shard-0000": [[0, 511]], "shard-0001": [[512, 767], [800, 1023]]},
        "totals": {
            "per_second": rate[-1],
            "errors_per_second": 0.4,
            "in_flight": 12,
            "p50_ms": 2.1,
            "p95_ms": 9.4,
            "p99_ms": 31.0,
            "calls": 123_456,
            "errors": 17,
            "workers": 6,
            "functions": 42,
            "connections": 6,
        },
        "series": {
            "t": times,
            "per_second": rate,
            "errors": [0.0 if index % 40 else 2.0 for index in range(len(times))],
            "p50": [2.0 + math.sin(index / 9) for index in range(len(times))],
            "p95": [9.0 + 2 * math.sin(index / 7) for index in range(len(times))],
            "p99": [None if 80 < index < 90 else 30.0 + 8 * math.sin(index / 5) for index in range(len(times))],
        },
        "marks": [
            _mark(now - 200_000, "lost", "shard-0002", "shard-0002 was declared dead"),
            _mark(now - 199_000, "slots", "", "341 slots moved to shard-0000 and shard-0001"),
            _mark(now - 120_000, "leader", "coordinator-a1b2", "coordinator-a1b2 leads in term 7"),
            _mark(now - 60_000, "redis", "", "Redis away for 4 s"),
            _mark(now - 20_000, "joined", "gateway-0002", "gateway-0002 joined"),
        ],
    }


def _node(id: str, role: str, now: int, **more: Any) -> Json:
    numbers: Json = {"cpu": 0.31, "rss": 84_000_000, "lag_ms": 1.7, "connections": 2, "workers": 2, "in_flight": 4}
    return {
        "id": id,
        "role": role,
        "host": "10.0.0.7",
        "pid": 4711,
        "version": "0.1.0",
        "started_ms": now - 5_000_000,
        "ports": {},
        "ready": True,
        "draining": False,
        "leader": False,
        "slots": 0,
        "per_second": 66.0,
        "errors_per_second": 0.1,
        "bus": {"resends": 0, "queued": 3},
        "gauges": {},
        **numbers,
        **more,
    }


def _mark(time_ms: int, kind: str, node: str, text: str) -> Json:
    return {"time_ms": time_ms, "kind": kind, "node": node, "text": text}


def function(id: str, calls: int = 0, **more: Any) -> Json:
    numbers = {
        "calls": calls,
        "errors": calls // 50,
        "deferred": 0,
        "per_second": calls / 900,
        "errors_per_second": 0.0,
        "mean_ms": 4.0,
        "p50_ms": 3.0,
        "p95_ms": 12.0,
        "p99_ms": 40.0,
    }
    return {
        "function_id": id,
        "namespace": "default",
        "worker_name": "sample",
        "description": "A sample",
        "request_format": None,
        "response_format": None,
        "metadata": None,
        "worker_ids": ["w1"],
        "numbers": numbers if calls else None,
        **more,
    }


def long_trace(spans: int, now: int = NOW) -> Json:
    """One root; each tenth span has a chain of nine below it; every 97th failed."""
    start = now * 1_000_000
    length = 4_000_000_000
    root = _span(0, None, "POST /orders", start, start + length)
    parent = root
    for index in range(1, spans):
        if index % 10 == 1:
            parent = root
        begin = start + index * (length // spans)
        child = _span(index, parent["span_id"], f"call step::{index}", begin, begin + length // spans)
        parent["children"].append(child)
        parent = child
    return {"roots": [root]}


def _span(index: int, parent: str | None, name: str, start: int, end: int) -> Json:
    failed = index % 97 == 96
    return {
        "trace_id": TRACE,
        "span_id": f"{index + 1:016x}",
        "parent_span_id": parent,
        "name": name,
        "start_time_unix_nano": start,
        "end_time_unix_nano": end,
        "status": "error" if failed else "ok",
        "status_description": "it broke" if failed else None,
        "attributes": [["function_id", f"step::{index}"], ["iii.node", "gateway-0000"]],
        "service_name": "iii" if index % 2 else "orders",
        "events": [],
        "links": [],
        "children": [],
    }


def summary(index: int, now: int = NOW) -> Json:
    """A trace as lists have it; every fifth failed behind its first span."""
    failed = index % 5 == 4
    return {
        "trace_id": f"{index + 1:032x}",
        "name": "POST /orders",
        "service_name": "iii",
        "status": "error" if failed else "ok",
        "status_description": "it broke" if failed else None,
        "start_time_unix_nano": (now - index * 900) * 1_000_000,
        "end_time_unix_nano": (now - index * 900 + 3000) * 1_000_000,
        "duration_ns": 3_000_000_000,
        "first_duration_ns": 154_000_000,
        "span_count": 11,
        "error_count": int(failed),
        "services": ["iii", "prices", "shop"],
    }


def log(index: int, now: int = NOW, **more: Any) -> Json:
    return {
        "timestamp_unix_nano": (now - index * 700) * 1_000_000,
        "observed_timestamp_unix_nano": (now - index * 700) * 1_000_000,
        "severity_number": (9, 9, 9, 13, 17)[index % 5],
        "severity_text": ("INFO", "INFO", "INFO", "WARN", "ERROR")[index % 5],
        "body": f"order {index} was paid",
        "attributes": {"order": index},
        "trace_id": TRACE,
        "span_id": "b7ad6b7169203331",
        "resource": {"service.instance.id": f"gateway-{index % 3:04x}"},
        "service_name": "orders",
        **more,
    }


def worker(id: str, now: int = NOW) -> Json:
    return {
        "id": id,
        "name": f"orders-{id}",
        "description": None,
        "namespace": "default",
        "runtime": "python",
        "version": "0.25.0",
        "os": "Linux",
        "pid": 4711,
        "isolation": None,
        "ip_address": "10.1.1.3",
        "status": "connected",
        "connected_at_ms": now - 100_000,
        "function_count": 2,
        "functions": ["orders::create", "orders::paid"],
        "active_invocations": 1,
        "latest_metrics": None,
        "gateway": "gateway-0001",
    }
