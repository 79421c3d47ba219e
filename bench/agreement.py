"""Whether the metrics of a cluster say what the load saw. Returns the rows it adds to the report."""

import urllib.request
from collections.abc import Sequence

from prometheus_client.parser import text_string_to_metric_families

from iii_cluster.telemetry.metrics.functions import UNKNOWN

from .cluster import Cluster
from .figures import Row
from .load import function_names
from .remote import CallReport, LoadProcess
from .suite import FUNCTIONS, Plan, loads

IN_FLIGHT = 16  # what is out when the window ends is counted, but not by the load
LIMIT = 0.01  # part of the calls by which both may differ
TIMEOUT = 30.0  # s
NOBODY = "nobody::"  # prefix of functions that nobody serves: those count under one id
ROUTES = {"same gateway": "same::", "two gateways": "cross::", "errors": NOBODY}

_DIRECT = urllib.request.build_opener(urllib.request.ProxyHandler({}))


def agreement(plan: Plan, cluster: Cluster) -> list[Row]:
    with loads() as (caller, workers):
        for prefix, url in (("same::", cluster.url_a), ("cross::", cluster.url_b)):
            workers.run("worker", url=url, prefix=prefix, count=FUNCTIONS)
            caller.run("wait_callable", url=cluster.url_a, function=function_names(prefix, FUNCTIONS)[-1])
        return [_row(plan, cluster, caller, route, prefix) for route, prefix in ROUTES.items()]


def _row(plan: Plan, cluster: Cluster, caller: LoadProcess, route: str, prefix: str) -> Row:
    names = function_names(prefix, FUNCTIONS)
    ids = [UNKNOWN] if prefix == NOBODY else names
    before = _counted(cluster, ids)
    report = caller.ask(
        CallReport,
        "call",
        url=cluster.url_a,
        functions=names,
        in_flight=IN_FLIGHT,
        seconds=plan.seconds,
        warm_up=0.0,
        watch={},
    )
    after = _counted(cluster, ids)
    counted = {status: after[status] - before[status] for status in after}
    figures: dict[str, float] = {
        "seen": report.calls,
        "counted": counted["ok"] + counted["error"],
        "seen_errors": report.errors,
        "counted_errors": counted["error"],
    }
    apart = max(abs(figures["counted"] - report.calls), abs(counted["error"] - report.errors)) / report.calls
    return Row(
        "agreement", route, figures, "agrees" if apart <= LIMIT else f"differs by {apart:.1%} (limit {LIMIT:.0%})"
    )


def _counted(cluster: Cluster, ids: Sequence[str]) -> dict[str, int]:
    """Calls that ended, by status, as all processes together tell."""
    total = {"ok": 0, "error": 0}
    wanted = set(ids)
    for node in (cluster.gateway_a, cluster.gateway_b, cluster.shard, cluster.coordinator):
        with _DIRECT.open(f"http://127.0.0.1:{node.ports['metrics']}/metrics", timeout=TIMEOUT) as answer:
            text = answer.read().decode()
        for family in text_string_to_metric_families(text):
            for sample in family.samples if family.name == "iii_invocations" else ():
                if sample.labels["function_id"] in wanted and sample.labels["status"] in total:
                    total[sample.labels["status"]] += int(sample.value)
    return total
