"""The scenarios of the modules. Each returns the rows it adds to the report."""

from collections.abc import Iterator
from contextlib import contextmanager
from statistics import median

from msgspec import Struct

from bench.cluster import Cluster, Valkey
from bench.figures import Row, medians
from bench.remote import CallReport, LoadProcess
from bench.suite import window

from .load import Rate

MODULE = "bench.modules.load"
KEYS = 100
IN_FLIGHT = (1, 64)
VALUE = '{"name":"Ada","count":17}'
QUEUES = 16
GROUPS = 100
STREAM_PACE = 20.0  # updates per second to all clients: a load that leaves room, for the delay
TOPIC_PACE = 10.0
OUTSTANDING = 256  # jobs enqueued and not handled yet

# Queues as a deployment would have them: enough handlers at once that they are not what limits.
CONFIG = "\n".join(
    [
        "workers:",
        "  - name: iii-queue",
        "    config:",
        "      queue_configs:",
        *(f"        q{number}: {{concurrency: 200}}" for number in range(QUEUES)),
        "        fifo: {type: fifo, message_group_field: group, concurrency: 200}",
        "",
    ]
)


class Plan(Struct, frozen=True):
    """How much is measured."""

    seconds: float
    rounds: int
    clients: int  # of the stream scenario
    subscribers: int
    ticks: float  # seconds of cron


def full(seconds: float) -> Plan:
    return Plan(seconds, 3, 1000, 1000, 15.0)


def quick(seconds: float) -> Plan:
    return Plan(seconds, 1, 100, 100, 4.0)


@contextmanager
def loads(count: int = 2) -> Iterator[list[LoadProcess]]:
    processes = [LoadProcess(MODULE) for _ in range(count)]
    try:
        yield processes
    finally:
        for process in processes:
            process.__exit__()


def rates(samples: list[Rate]) -> dict[str, float]:
    return medians(
        [
            {
                "events_per_s": sample.per_s,
                "p50_ms": sample.p50_ms,
                "p99_ms": sample.p99_ms,
                "max_ms": sample.max_ms,
                "missing": sample.missing,
            }
            for sample in samples
        ]
    )


def _pace(pace: float, what: str) -> str:
    return f"{pace:g} {what}/s" if pace else f"{what} one after the other"


def state(plan: Plan, cluster: Cluster, valkey: Valkey) -> list[Row]:
    """Calls of a worker, and redis-py's own commands, in turns on one server."""
    keys = [f"k{number}" for number in range(KEYS)]
    calls = {
        "set": [f'{{"scope":"bench","key":"{key}","value":{VALUE}}}' for key in keys],
        "get": [f'{{"scope":"bench","key":"{key}"}}' for key in keys],
        "update": [
            f'{{"scope":"bench","key":"{key}","ops":[{{"type":"increment","path":"count","by":1}}]}}' for key in keys
        ],
    }
    raw = {"set": [["HSET", "raw", key, VALUE] for key in keys], "get": [["HGET", "raw", key] for key in keys]}
    measured: dict[tuple[str, int], list[CallReport]] = {}
    limits: dict[tuple[str, int], list[Rate]] = {}
    with loads(1) as [load]:
        for _ in range(plan.rounds):
            for in_flight in IN_FLIGHT:
                for name, inputs in calls.items():
                    report = window(
                        load, cluster.url_a, [f"state::{name}"], in_flight, plan.seconds, cluster.pids, inputs
                    )
                    measured.setdefault((name, in_flight), []).append(report)
                for name, commands in raw.items():
                    limit = load.ask(
                        Rate, "raw", url=valkey.url, commands=commands, in_flight=in_flight, seconds=plan.seconds
                    )
                    limits.setdefault((name, in_flight), []).append(limit)
    rows = []
    for (name, in_flight), reports in measured.items():
        figures = medians(
            [
                {
                    "calls_per_s": r.calls_per_s,
                    "p50_ms": r.p50_ms,
                    "p99_ms": r.p99_ms,
                    "gateway_us": r.cpu_us("gateway_a"),
                    "errors": r.errors,
                }
                for r in reports
            ]
        )
        if raws := limits.get((name, in_flight)):
            figures["of_raw_ratio"] = median(r.calls_per_s / raw.per_s for r, raw in zip(reports, raws, strict=True))
        rows.append(Row("state", f"{name}, {in_flight} in flight", figures))
    rows += [
        Row("state", f"redis-py H{name.upper()}, {in_flight} in flight", rates(samples))
        for (name, in_flight), samples in limits.items()
    ]
    return rows


def streams(plan: Plan, cluster: Cluster) -> list[Row]:
    """One group, clients on two gateways: events delivered, and how long after the update was sent."""
    rows = []
    with loads() as [updater, clients]:
        urls = [cluster.streams_a, cluster.streams_b]
        clients.run("stream_clients", urls=urls, count=plan.clients, stream="bench", group="g")
        for pace in (0, STREAM_PACE):
            samples = []
            for _ in range(plan.rounds):
                made = updater.ask(
                    int,
                    "updates",
                    url=cluster.url_a,
                    stream="bench",
                    group="g",
                    pace=pace,
                    seconds=plan.seconds,
                )
                samples.append(clients.ask(Rate, "seen", expected=made * plan.clients))
            rows.append(Row("streams", f"{plan.clients:,} clients, {_pace(pace, 'updates')}", rates(samples)))
        clients.run("close")
    return rows


def queues(plan: Plan, cluster: Cluster) -> list[Row]:
    """Enqueueing alone, and jobs from the call that enqueues them to their handler on the other gateway."""
    rows = []
    with loads(1) as [load]:
        cases = {
            "1 queue": (["q0"], 1),
            f"{QUEUES} queues": ([f"q{number}" for number in range(QUEUES)], 1),
            f"fifo, {GROUPS} groups": (["fifo"], GROUPS),
        }
        for case, (names, groups) in cases.items():
            samples = [
                load.ask(
                    Rate,
                    "jobs",
                    url=cluster.url_a,
                    worker_url=cluster.url_b,
                    queues=names,
                    groups=groups,
                    outstanding=OUTSTANDING,
                    seconds=plan.seconds,
                )
                for _ in range(plan.rounds)
            ]
            rows.append(Row("queues", f"{case}, end to end", rates(samples)))
        topic = '{"topic":"bench-nobody","data":{"n":1}}'
        reports = [
            window(load, cluster.url_a, ["enqueue"], 64, plan.seconds, cluster.pids, [topic])
            for _ in range(plan.rounds)
        ]
        figures = medians(
            [
                {"calls_per_s": r.calls_per_s, "p50_ms": r.p50_ms, "p99_ms": r.p99_ms, "errors": r.errors}
                for r in reports
            ]
        )
        rows.append(Row("queues", "enqueue alone, 64 in flight", figures))
    return rows


def pubsub(plan: Plan, cluster: Cluster) -> list[Row]:
    """One topic, many functions on both gateways."""
    with loads() as [publisher, subscribers]:
        urls = [cluster.url_a, cluster.url_b]
        subscribers.run("subscribers", urls=urls, count=plan.subscribers, topic="bench")
        subscribers.run("until_subscribed", url=cluster.url_a, topic="bench", expected=plan.subscribers)
        rows = []
        for pace in (0, TOPIC_PACE):
            samples = []
            for _ in range(plan.rounds):
                made = publisher.ask(int, "publish", url=cluster.url_a, topic="bench", pace=pace, seconds=plan.seconds)
                samples.append(subscribers.ask(Rate, "seen", expected=made * plan.subscribers))
            case = f"{plan.subscribers:,} functions, {_pace(pace, 'messages')}"
            rows.append(Row("pubsub", case, rates(samples)))
        subscribers.run("close")
    return rows


def cron(plan: Plan, cluster: Cluster) -> list[Row]:
    """A job per second on an idle cluster."""
    with loads(1) as [load]:
        late = load.ask(Rate, "cron", url=cluster.url_a, seconds=plan.ticks)
    figures = {"ticks": late.count, "p50_ms": late.p50_ms, "p99_ms": late.p99_ms, "max_ms": late.max_ms}
    return [Row("cron", f"every second for {plan.ticks:.0f} s, lateness", figures)]
