"""The scenarios of HTTP, channels and access control. Each returns the rows it adds to the report."""

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from statistics import median

from msgspec import Struct

from bench.cluster import Cluster
from bench.figures import Row, medians
from bench.load import function_names
from bench.modules.suite import CONFIG as QUEUES_CONFIG
from bench.remote import CallReport, LoadProcess
from bench.suite import FUNCTIONS, SCALE_IN_FLIGHT, WARM_UP, loads, window

from .load import Transfer
from .routing import lookup_us

MODULE = "bench.edge.load"
PATH = "/bench/0/17"
BODY = '{"name":"Ada","items":[' + ",".join(f'{{"id":{n},"price":9.5}}' for n in range(40)) + "]}"  # about 1 KB
CONNECTIONS = (1, 16, 64)

# A second port for workers under rules, besides the queues of the other scenarios.
CONFIG = QUEUES_CONFIG + "\n".join(
    [
        "  - name: iii-worker-manager",
        "  - name: iii-worker-manager",
        "    config:",
        "      port: 0",
        "      host: 127.0.0.1",
        "      rbac:",
        '        expose_functions: [match("other::*"), match("bench::*"), match("same::*")]',
        "",
    ]
)


class Plan(Struct, frozen=True):
    """How much is measured."""

    seconds: float
    rounds: int
    routes: tuple[int, ...]  # the first is the base of the ratio
    transfer: int  # bytes through one channel


def full(seconds: float) -> Plan:
    return Plan(seconds, 3, (10, 10_000), 512 * 2**20)


def quick(seconds: float) -> Plan:
    return Plan(seconds, 1, (10, 1000), 64 * 2**20)


@contextmanager
def bare_server() -> Iterator[tuple[int, int]]:
    """Port and process of a bare handler on the same HTTP server."""
    command = [sys.executable, "-m", "bench.edge.bare"]
    child = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert child.stdin is not None
    assert child.stdout is not None
    try:
        yield int(child.stdout.readline()), child.pid
    finally:
        child.stdin.close()
        child.wait(10.0)
        child.stdout.close()


def _requests(
    load: LoadProcess, port: int, connections: int, plan: Plan, watch: dict[str, int], body: str = ""
) -> CallReport:
    arguments = {"port": port, "path": PATH, "body": body, "connections": connections, "seconds": plan.seconds}
    return load.ask(CallReport, "http", **arguments, warm_up=WARM_UP, watch=watch)


def http(plan: Plan, cluster: Cluster) -> list[Row]:
    """Requests per second through one gateway and across two, and of a bare handler, in turns."""
    reports: dict[str, list[CallReport]] = {}
    with LoadProcess(MODULE) as same, LoadProcess(MODULE) as cross, bare_server() as (bare_port, bare_pid):
        port_a, port_b = cluster.gateway_a.ports["http"], cluster.gateway_b.ports["http"]
        # The worker of a case shares its load's process: a request is then two busy processes, as it is for the bare
        # handler, or three across gateways.
        same.run("http_worker", url=cluster.url_a, routes=1)
        same.run("until_routed", port=port_a, path=PATH)
        cases = {"same gateway": (same, port_a, cluster.pids), "bare handler": (same, bare_port, {"bare": bare_pid})}
        _measure(plan, cases, reports)
        same.run("close")
        cross.run("http_worker", url=cluster.url_b, routes=1)
        cross.run("until_routed", port=port_a, path=PATH)
        cross.run("until_routed", port=port_b, path=PATH)
        _measure(plan, {"two gateways": (cross, port_a, cluster.pids)}, reports)
        cross.run("close")
    rows = []
    for case, samples in reports.items():
        figures = medians([_figures(sample) for sample in samples])
        if not case.startswith("bare handler"):
            limit = reports["bare handler" + case.partition(",")[1] + case.partition(",")[2]]
            figures["of_bare_ratio"] = median(s.calls_per_s for s in samples) / median(b.calls_per_s for b in limit)
        rows.append(Row("http", case, figures))
    return rows


def _measure(
    plan: Plan, cases: dict[str, tuple[LoadProcess, int, dict[str, int]]], reports: dict[str, list[CallReport]]
) -> None:
    for _ in range(plan.rounds):
        for body, kind in (("", "GET"), (BODY, "POST 1 KB")):
            for connections in CONNECTIONS:
                for case, (load, port, watch) in cases.items():
                    report = _requests(load, port, connections, plan, watch, body)
                    reports.setdefault(f"{case}, {kind}, {connections} at a time", []).append(report)


def _figures(report: CallReport) -> dict[str, float]:
    figures = {"requests_per_s": report.calls_per_s, "p50_ms": report.p50_ms, "p99_ms": report.p99_ms}
    figures |= {f"{name}_us": report.cpu_us(name) for name in report.cpu_seconds if name not in QUIET}
    return figures | {"errors": report.errors, "unanswered": report.unanswered}


QUIET = ("shard", "coordinator", "valkey", "load")  # processes whose share of a request is of no interest


def routes(plan: Plan, cluster: Cluster) -> list[Row]:
    """What a request costs, and a lookup alone, with few and with many routes."""
    rows = []
    base = 0.0
    with LoadProcess(MODULE) as load:
        first = 0
        for count in plan.routes:
            load.run("http_worker", url=cluster.url_a, routes=count, first=first)
            first = count
            port = cluster.gateway_a.ports["http"]
            load.run("until_routed", port=port, path=f"/bench/{count - 1}/17")
            samples = [_requests(load, port, 16, plan, cluster.pids) for _ in range(plan.rounds)]
            figures = {"gateway_us": median(sample.cpu_us("gateway_a") for sample in samples)}
            base = base or figures["gateway_us"]
            figures |= {"cpu_ratio": figures["gateway_us"] / base, "lookup_us": lookup_us(count)}
            rows.append(Row("routes", f"{count:,} routes", figures))
        load.run("close")
    return rows


def channels(plan: Plan, cluster: Cluster) -> list[Row]:
    """One transfer at a time through a channel made at gateway A, in 64 KiB messages."""
    ways = {
        "same gateway": (cluster.url_a, cluster.url_a),
        "reader at the other gateway": (cluster.url_a, cluster.url_b),
        "writer at the other gateway": (cluster.url_b, cluster.url_a),
    }
    samples: dict[str, list[Transfer]] = {}
    with LoadProcess(MODULE) as load:
        for _ in range(plan.rounds):
            for way, (writer, reader) in ways.items():
                report = load.ask(
                    Transfer,
                    "transfer",
                    url=cluster.url_a,
                    writer_url=writer,
                    reader_url=reader,
                    size=plan.transfer,
                    watch=cluster.pids,
                )
                samples.setdefault(way, []).append(report)
    return [Row("channels", way, medians([_of_transfer(one) for one in some])) for way, some in samples.items()]


def _of_transfer(report: Transfer) -> dict[str, float]:
    per_mb = {f"{name}_us_per_mb": cpu / report.size * 1e12 for name, cpu in report.cpu_seconds.items()}
    shown = {name: per_mb[f"{name}_us_per_mb"] for name in ("gateway_a", "gateway_b", "valkey")}
    return {"mb_per_s": report.mb_per_s, **{f"{name}_cpu_per_mb_us": value for name, value in shown.items()}}


def access(plan: Plan, cluster: Cluster) -> list[Row]:
    """Calls on one gateway by a caller that may do anything, and by one whose port has rules, in turns."""
    ports = {"no rules": cluster.url_a, "rules": f"ws://127.0.0.1:{cluster.gateway_a.ports['worker-2']}/"}
    names = function_names("same::", FUNCTIONS)
    samples: dict[str, list[CallReport]] = {}
    with loads() as (caller, workers):
        workers.run("worker", url=cluster.url_a, prefix="same::", count=FUNCTIONS)
        caller.run("wait_callable", url=cluster.url_a, function=names[-1])
        for _ in range(plan.rounds + 2):
            for case, url in ports.items():
                report = window(caller, url, names, SCALE_IN_FLIGHT, plan.seconds, cluster.pids)
                samples.setdefault(case, []).append(report)
    rows = []
    for case, reports in samples.items():
        figures = medians(
            [{"calls_per_s": r.calls_per_s, "gateway_us": r.cpu_us("gateway_a"), "errors": r.errors} for r in reports]
        )
        rows.append(Row("access", f"{case}, {SCALE_IN_FLIGHT} in flight", figures))
    return rows
