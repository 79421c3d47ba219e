"""Calls with and without traces. Returns the rows it adds to the report."""

import tempfile
import time
from contextlib import ExitStack
from pathlib import Path
from statistics import median

from bench.cluster import Cluster, Valkey
from bench.figures import Row, medians
from bench.load import function_names
from bench.remote import CallReport, LoadProcess
from bench.suite import FUNCTIONS, IN_FLIGHT, SETTLE, Plan, loads, window

OFF = "off"
# What the file says of telemetry; the first is the base of the ratios.
CASES = {
    OFF: "enabled: false",
    "0 %": "sampling_ratio: 0",
    "1 %": "sampling_ratio: 0.01",
    "as it comes": "",
    "100 %": "sampling_ratio: 1",
}
FREE = "0 %"  # the case that must not cost more than the base,
LIMIT = 1.05  # by this ratio of CPU
ROUTES = {"same gateway": "same::", "two gateways": "cross::"}


def telemetry(plan: Plan, valkey: Valkey) -> list[Row]:
    """Cost per call by how many are recorded, each case in a cluster of its own, measured in turns."""
    samples: dict[tuple[str, int, str], list[dict[str, float]]] = {}
    with ExitStack() as stack:
        directory = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="iii-bench-")))
        clusters = {
            case: stack.enter_context(Cluster(valkey, f"bench-telemetry-{number}", _config(directory, number, said)))
            for number, (case, said) in enumerate(CASES.items())
        }
        caller, workers = stack.enter_context(loads())
        for cluster in clusters.values():
            _populate(cluster, caller, workers)
        time.sleep(SETTLE)
        order = list(CASES)
        for _ in range(plan.scale_rounds):
            for in_flight in IN_FLIGHT:
                for route in ROUTES:
                    for case in order:
                        names = function_names(ROUTES[route], FUNCTIONS)
                        cluster = clusters[case]
                        report = window(caller, cluster.url_a, names, in_flight, plan.seconds, cluster.pids)
                        samples.setdefault((route, in_flight, case), []).append(_figures(report))
            order.reverse()
    return [_row(route, in_flight, case, samples) for route in ROUTES for in_flight in IN_FLIGHT for case in CASES]


def _config(directory: Path, number: int, said: str) -> Path:
    path = directory / f"{number}.yaml"
    path.write_text(f"workers:\n  - name: iii-observability\n    config: {{{said}}}\n")
    return path


def _populate(cluster: Cluster, caller: LoadProcess, workers: LoadProcess) -> None:
    for prefix, url in zip(ROUTES.values(), (cluster.url_a, cluster.url_b), strict=True):
        workers.run("worker", url=url, prefix=prefix, count=FUNCTIONS)
        caller.run("wait_callable", url=cluster.url_a, function=function_names(prefix, FUNCTIONS)[-1])


def _figures(report: CallReport) -> dict[str, float]:
    return {
        "calls_per_s": report.calls_per_s,
        "gateways_us": report.cpu_us("gateway_a") + report.cpu_us("gateway_b"),
        "valkey_us": report.cpu_us("valkey"),
        "errors": report.errors,
    }


def _row(route: str, in_flight: int, case: str, samples: dict[tuple[str, int, str], list[dict[str, float]]]) -> Row:
    """Ratios are medians of the rounds' ratios: both sides of each were measured within seconds of each other."""
    mine, base = samples[route, in_flight, case], samples[route, in_flight, OFF]
    figures = medians(mine)
    ratio = median(one["gateways_us"] / off["gateways_us"] for one, off in zip(mine, base, strict=True))
    verdict = ""
    if case != OFF:
        figures["cpu_ratio"] = ratio
    if case == FREE:
        verdict = "free" if ratio <= LIMIT else f"costs (limit {LIMIT})"
    return Row("telemetry", f"{route}, {in_flight} in flight, {case}", figures, verdict)
