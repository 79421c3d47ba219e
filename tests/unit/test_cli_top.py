"""`iii-cluster top`, and what two looks at the cluster come to."""

from collections.abc import Iterator
from typing import Any

import msgspec
import pytest
from rich.console import Console

from iii_cluster.cli.top import Look, screen
from iii_cluster.telemetry.metrics.changes import Change
from iii_cluster.telemetry.metrics.durations import BUCKETS
from iii_cluster.telemetry.metrics.functions import FunctionNumbers
from iii_cluster.telemetry.metrics.snapshot import QueueNumbers, Snapshot
from tests.support.cli_engine import Engine, answering, run


@pytest.fixture
def engine() -> Iterator[Engine]:
    with answering() as engine:
        yield engine


def numbers(count: int, errors: int = 0) -> FunctionNumbers:
    return FunctionNumbers(count, errors, 0, count * 0.002, [0, 0, count, *[0] * (BUCKETS - 3)])


def node(at: float, pid: int = 1, name: str = "gateway-a", started: float = 0, **functions: int) -> Snapshot:
    """`at` and `started` in seconds."""
    return Snapshot(
        node=name,
        role="gateway",
        host="h",
        pid=pid,
        started_ms=int(started * 1000),
        time_ms=int(at * 1000),
        functions={id: numbers(count) for id, count in functions.items()},
        cpu_seconds=at / 2,
    )


def test_calls_per_second_are_those_between_two_looks() -> None:
    change = Change([node(10, f=100, g=5)], [node(12, f=150, g=5, h=4)])
    assert change.seconds == 2
    assert {id: one.count for id, one in change.by_node["gateway-a"].items()} == {"f": 50, "h": 4}
    assert change.per_second(50) == 25


def test_a_process_that_joined_anew_goes_on_counting_and_a_new_one_begins() -> None:
    before = [node(10, f=100), node(10, pid=2, name="gateway-b", f=7)]
    after = [
        node(11, name="gateway-a.2", f=101),
        node(11, pid=3, name="gateway-b", started=10.5, f=3),
        node(11, pid=4, name="gateway-c", started=1, f=9_000),  # it did not answer the first time
    ]
    change = Change(before, after)
    assert {id: one["f"].count for id, one in change.by_node.items()} == {"gateway-a.2": 1, "gateway-b": 3}


def test_nothing_is_divided_by_no_time() -> None:
    look = [node(10, f=1)]
    assert Change(look, look).per_second(5) == 0


def replies(engine: Engine, *looks: list[Snapshot], **more: Any) -> None:
    answers = iter(looks)
    engine.replies["engine::nodes::list"] = lambda call: {
        "result": {"nodes": msgspec.to_builtins(next(answers)), **more}
    }


def test_without_a_terminal_each_node_and_function_is_a_line(engine: Engine) -> None:
    replies(engine, [node(10, f=100, g=1)], [node(12, f=150, g=91)])
    result = run(engine, "top", "--interval", "0.2", "-n", "1")
    assert [line.split("\t")[:3] for line in result.stdout.splitlines()] == [
        ["", "node", "calls/s"],
        ["node", "gateway-a", "70"],
        ["", "function", "calls/s"],
        ["function", "g", "45.0"],
        ["function", "f", "25.0"],
    ]
    assert result.stdout.splitlines()[1].split("\t")[7] == "50%"


def test_the_screen_names_what_needs_attention() -> None:
    before, now = node(10, f=10), node(11, f=20)
    now.functions["g\x1b"] = numbers(3)
    now.leading = True
    now.loop_lag_ms = 250
    now.queues = {"mail": QueueNumbers(7, 1, 2, 90.0), "idle": QueueNumbers()}
    console = Console(width=140)
    with console.capture() as shown:
        console.print(screen(Look([before]), Look([now], ["shard-x"])))
    text = shown.get()
    assert "no answer from shard-x" in text
    assert "gateway-a *" in text
    assert "250 ms" in text
    assert "mail" in text
    assert "idle" not in text
    assert "\x1b" not in text


def test_a_cluster_that_cannot_say_is_one_line(engine: Engine) -> None:
    engine.replies["engine::nodes::list"] = lambda call: {"error": {"code": "FORBIDDEN", "message": "no"}}
    result = run(engine, "top")
    assert (result.exit_code, result.stderr) == (1, "error: FORBIDDEN: no\n")
