"""The scenarios. Each returns the rows it adds to the report."""

import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from statistics import median

from msgspec import Struct

from .cluster import Cluster, Valkey
from .figures import Row, medians
from .load import function_names
from .remote import CallReport, LoadProcess, RegisterReport
from .usage import rss_bytes

IN_FLIGHT = (1, 16, 128)
SCALE_IN_FLIGHT = 128
WARM_UP = 0.3  # seconds of calls before every window
SETTLE = 1.0  # seconds a cluster gets to finish what a scenario started before its memory or the next round is measured
FUNCTIONS = 10  # of an echo worker whose number of functions is not the point
TARGETS = 5  # functions the calls of the scale scenario go round
FLAT_LIMIT = 1.15  # largest ratio at which cost per call counts as independent of size
MIB = 2**20
KIB = 2**10


class Plan(Struct, frozen=True):
    """How much is measured."""

    seconds: float  # length of one window
    rounds: int  # windows per case; medians are reported
    scale_rounds: int
    functions: tuple[int, ...]  # registered in the whole cluster, the first is the base of the ratios
    workers: tuple[int, ...]  # connected to the whole cluster, likewise
    registrations: int
    connections: int  # idle ones of the memory scenario


def full(seconds: float) -> Plan:
    return Plan(seconds, 3, 5, (10, 1000, 100_000), (10, 1000), 10_000, 2000)


def quick(seconds: float) -> Plan:
    return Plan(seconds, 1, 3, (10, 10_000), (10, 200), 2000, 500)


class Target(Struct, frozen=True):
    """A server under test; `second` is another gateway of the same cluster."""

    url: str
    second: str | None = None
    pids: dict[str, int] = {}  # processes to read CPU time of, none for a server somebody else started


@contextmanager
def loads() -> Iterator[tuple[LoadProcess, LoadProcess]]:
    """A process for the caller and one for the workers."""
    with LoadProcess() as caller, LoadProcess() as workers:
        yield caller, workers


def own_target(cluster: Cluster) -> Target:
    return Target(cluster.url_a, cluster.url_b, cluster.pids)


def window(
    caller: LoadProcess,
    url: str,
    functions: Sequence[str],
    in_flight: int,
    seconds: float,
    watch: Mapping[str, int] | None = None,
    inputs: Sequence[str] = (),
) -> CallReport:
    """One measured window of calls."""
    arguments = {"url": url, "functions": functions, "in_flight": in_flight, "seconds": seconds, "inputs": inputs}
    return caller.ask(CallReport, "call", **arguments, warm_up=WARM_UP, watch=watch or {})


def summary(report: CallReport) -> dict[str, float]:
    return {
        "calls_per_s": report.calls_per_s,
        "p50_ms": report.p50_ms,
        "p90_ms": report.p90_ms,
        "p99_ms": report.p99_ms,
        "max_ms": report.max_ms,
        "errors": report.errors,
        "unanswered": report.unanswered,
    }


def cpu_summary(report: CallReport) -> dict[str, float]:
    return {f"{name}_us": report.cpu_us(name) for name in report.cpu_seconds}


def calls(plan: Plan, target: Target) -> list[Row]:
    """Calls per second, latency and CPU per call, on one gateway and across two."""
    routes = {"same gateway": ("same::", target.url)}
    if target.second is not None:
        routes["two gateways"] = ("cross::", target.second)
    reports: dict[str, list[CallReport]] = {}
    with loads() as (caller, workers):
        for prefix, url in routes.values():
            workers.run("worker", url=url, prefix=prefix, count=FUNCTIONS)
            caller.run("wait_callable", url=target.url, function=function_names(prefix, FUNCTIONS)[-1])
        watch = {**target.pids, "worker": workers.pid}
        for _ in range(plan.rounds):
            for in_flight in IN_FLIGHT:
                for route, (prefix, _) in routes.items():
                    names = function_names(prefix, FUNCTIONS)
                    report = window(caller, target.url, names, in_flight, plan.seconds, watch)
                    reports.setdefault(f"{route}, {in_flight} in flight", []).append(report)
    rows = [Row("calls", case, medians([summary(report) for report in some])) for case, some in sorted_cases(reports)]
    if target.pids:
        rows += [
            Row("cpu", case, medians([cpu_summary(report) for report in some])) for case, some in sorted_cases(reports)
        ]
    return rows


def sorted_cases(reports: Mapping[str, list[CallReport]]) -> list[tuple[str, list[CallReport]]]:
    """By route, then in the order measured."""
    return sorted(reports.items(), key=lambda item: item[0].partition(",")[0])


class Variant(Struct, frozen=True):
    label: str
    functions: int
    workers: int

    def half(self, side: str) -> tuple[str, int]:
        """Prefix and number of the functions one gateway's echo worker registers."""
        return f"{side}::", self.functions // 2


def variants(plan: Plan) -> list[Variant]:
    base_functions, base_workers = plan.functions[0], plan.workers[0]
    by_functions = [Variant(f"{count:,} functions", count, base_workers) for count in plan.functions]
    by_workers = [Variant(f"{count:,} workers", base_functions, count) for count in plan.workers[1:]]
    return by_functions + by_workers


def scale(plan: Plan, valkey: Valkey) -> list[Row]:
    """Cost per call as functions and workers grow, each size in a cluster of its own, measured in turns."""
    sizes = variants(plan)
    samples: dict[tuple[str, str], list[dict[str, float]]] = {}
    with ExitStack() as stack:
        clusters = [stack.enter_context(Cluster(valkey, f"bench-scale-{number}")) for number in range(len(sizes))]
        caller, workers = stack.enter_context(loads())
        for size, cluster in zip(sizes, clusters, strict=True):
            populate(size, cluster, caller, workers)
        time.sleep(SETTLE)
        order = list(zip(sizes, clusters, strict=True))
        for _ in range(plan.scale_rounds):
            for size, cluster in order:
                for route, side in (("same gateway", "a"), ("two gateways", "b")):
                    report = call_spread(size, side, cluster, caller, plan.seconds / 2)
                    gateways = ["gateway_a"] if side == "a" else ["gateway_a", "gateway_b"]
                    cost = sum(report.cpu_us(name) for name in gateways)
                    samples.setdefault((route, size.label), []).append(
                        {"gateway_us": cost, "calls_per_s": report.calls_per_s, "errors": report.errors}
                    )
            order.reverse()
    return [
        scale_row(route, label, some, samples[route, sizes[0].label])
        for (route, label), some in sorted(samples.items(), key=lambda item: item[0][0])
    ]


def populate(size: Variant, cluster: Cluster, caller: LoadProcess, workers: LoadProcess) -> None:
    """Half of the functions and workers on each gateway; every crowd worker adds one function that is never called."""
    for side, url in (("a", cluster.url_a), ("b", cluster.url_b)):
        prefix, count = size.half(side)
        workers.run("worker", url=url, prefix=prefix, count=count)
        workers.run("crowd", url=url, prefix=f"crowd-{side}::", count=size.workers // 2)
        for last in (f"{prefix}{count - 1:06d}", f"crowd-{side}::{size.workers // 2 - 1:06d}"):
            caller.run("wait_callable", url=cluster.url_a, function=last)


def call_spread(size: Variant, side: str, cluster: Cluster, caller: LoadProcess, seconds: float) -> CallReport:
    """Calls from gateway A to functions spread evenly over those of one side."""
    prefix, count = size.half(side)
    step = count // TARGETS
    targets = function_names(prefix, count)[::step][:TARGETS]
    return window(caller, cluster.url_a, targets, SCALE_IN_FLIGHT, seconds, cluster.pids)


def scale_row(route: str, label: str, some: list[dict[str, float]], base: list[dict[str, float]]) -> Row:
    """Ratios are medians of the rounds' ratios: both sides of each were measured within seconds of each other."""

    def ratio(name: str) -> float:
        return median(mine[name] / first[name] for mine, first in zip(some, base, strict=True))

    cpu = ratio("gateway_us")
    figures = {**medians(some), "cpu_ratio": cpu, "calls_ratio": ratio("calls_per_s")}
    verdict = "" if some is base else "flat" if cpu <= FLAT_LIMIT else f"grows (limit {FLAT_LIMIT})"
    return Row("scale", f"{route}, {label}", figures, verdict)


def register(plan: Plan, target: Target) -> list[Row]:
    """Time until functions registered through one gateway can be called through the other."""
    other = target.second or target.url
    samples: list[dict[str, float]] = []
    with LoadProcess() as load:
        for number in range(plan.rounds):
            report = load.ask(
                RegisterReport,
                "register",
                url=target.url,
                other=other,
                prefix=f"bulk{number}::",
                count=plan.registrations,
            )
            samples.append(
                {
                    "sent_s": report.sent_s,
                    "last_callable_s": report.last_callable_s,
                    "all_called_s": report.all_called_s,
                    "missing": report.missing,
                    "functions_per_s": report.count / report.last_callable_s,
                }
            )
            time.sleep(SETTLE)
    route = "two gateways" if target.second else "same gateway"
    return [Row("register", f"{route}, {plan.registrations:,} functions", medians(samples))]


def memory(plan: Plan, cluster: Cluster) -> list[Row]:
    """Resident memory of each idle process, and what one idle worker connection adds."""
    time.sleep(SETTLE)
    idle = {name: rss_bytes(pid) for name, pid in cluster.pids.items()}
    with loads() as (caller, workers):
        workers.run("crowd", url=cluster.url_b, prefix="idle::", count=plan.connections)
        last = function_names("idle::", plan.connections)[-1]
        caller.run("wait_callable", url=cluster.url_a, function=last)
        time.sleep(SETTLE)
        grown = {name: rss_bytes(pid) - idle[name] for name, pid in cluster.pids.items()}
    per_worker = {
        f"{name}_kib": grown[name] / plan.connections / KIB for name in ("gateway_b", "shard", "coordinator", "valkey")
    }
    return [
        Row("memory", "idle process", {f"{name}_mib": size / MIB for name, size in idle.items()}),
        Row("memory", f"per idle worker, of {plan.connections:,} on gateway B", per_worker),
    ]


def compare(plan: Plan, ours: Target, other: str) -> list[Row]:
    """Calls on one gateway of either server, in turns. Ratios are other / ours."""
    servers = {"this": ours.url, "other": other}
    names = function_names("compare::", FUNCTIONS)
    samples: dict[tuple[str, int], list[dict[str, float]]] = {}
    with loads() as (caller, workers):
        for url in servers.values():
            workers.run("worker", url=url, prefix="compare::", count=FUNCTIONS)
            caller.run("wait_callable", url=url, function=names[-1])
        for _ in range(plan.rounds):
            for in_flight in IN_FLIGHT:
                for server, url in servers.items():
                    report = window(caller, url, names, in_flight, plan.seconds)
                    samples.setdefault((server, in_flight), []).append(summary(report))
    rows = []
    for in_flight in IN_FLIGHT:
        this, theirs = samples["this", in_flight], samples["other", in_flight]
        ratios = {
            f"{name.partition('_')[0]}_ratio": median(b[name] / a[name] for a, b in zip(this, theirs, strict=True))
            for name in ("calls_per_s", "p50_ms", "p99_ms")
        }
        rows.append(Row("compare", f"this, {in_flight} in flight", medians(this)))
        rows.append(Row("compare", f"other, {in_flight} in flight", medians(theirs)))
        rows.append(Row("compare", f"other / this, {in_flight} in flight", ratios))
    return rows
