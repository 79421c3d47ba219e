import msgspec

from coordinator.console.history import POINTS, History
from coordinator.console.marks import MARKS, Mark, Marks
from coordinator.console.overview import overview
from coordinator.console.reach import Redis
from iii_cluster.cluster.map import ClusterMap, NodeInfo, Role, SlotOwner
from iii_cluster.cluster.slots import SLOTS
from iii_cluster.telemetry.metrics.durations import BUCKETS
from iii_cluster.telemetry.metrics.functions import FunctionNumbers
from iii_cluster.telemetry.metrics.snapshot import Snapshot


def said(time_ms: int, calls: int, errors: int = 0, *, function: str = "a::b", cpu: float = 0.0) -> Snapshot:
    """Of a process whose calls took 0.5 to 1 ms each."""
    buckets = [0, calls, *[0] * (BUCKETS - 2)]
    numbers = FunctionNumbers(calls, errors, 0, calls * 0.001, buckets)
    return Snapshot(time_ms=time_ms, functions={function: numbers}, cpu_seconds=cpu, rss_bytes=7, in_flight=1)


def test_rates_are_differences_by_the_clock_of_each_process() -> None:
    history = History()
    history.add(10_000, {"g1": said(10_000, 100, cpu=1.0), "g2": said(90_000, 5)})
    history.add(12_000, {"g1": said(12_000, 300, 20, cpu=2.0), "g2": said(94_000, 9)})
    series = history.series()
    assert series["t"] == [12_000]
    assert series["per_second"] == [101.0]
    assert series["errors"] == [10.0]
    assert 0.5 < series["p50"][0] < 1.0
    node = history.node_series("g1")
    assert node is not None
    assert (node["per_second"], node["cpu"], node["rss"]) == ([100.0], [0.5], [7])
    assert history.node_series("nobody") is None


def test_calls_of_a_process_that_was_there_before_us_are_not_of_this_moment() -> None:
    history = History()
    history.add(10_000, {"g1": said(10_000, 0)})
    history.add(12_000, {"g1": said(12_000, 0), "old": said(12_000, 1_000_000)})
    assert history.series()["per_second"] == [0.0]


def test_calls_of_a_new_process_are() -> None:
    history = History()
    history.add(10_000, {"g1": said(10_000, 0)})
    young = msgspec.structs.replace(said(12_000, 10), started_ms=11_000)
    history.add(12_000, {"g1": said(12_000, 0), "young": young})
    assert history.series()["per_second"] == [10.0]


def test_while_nobody_answers_nothing_is_known_and_no_peak_follows() -> None:
    history = History()
    history.add(10_000, {"g1": said(10_000, 0)})
    history.add(12_000, {"g1": said(12_000, 200)})
    history.add(14_000, {})
    history.add(16_000, {})
    history.add(18_000, {"g1": said(18_000, 800)})
    assert history.series()["per_second"] == [100.0, None, None, 100.0]
    node = history.node_series("g1")
    assert node is not None
    assert node["rss"] == [7, None, None, 7]
    assert history.lately()["per_second"] is not None


def test_points_are_bounded_and_so_is_what_is_kept_of_nodes() -> None:
    history = History()
    for at in range(POINTS + 50):
        history.add(at * 2000 + 1, {f"g{at}": said(at * 2000 + 1, at)})
        history.keep({f"g{at}": None})
    assert len(history.points) == POINTS
    assert len(history._before) == 1
    assert len(history._counts) < 10


def test_numbers_of_a_function_are_rates_of_the_last_seconds() -> None:
    history = History()
    assert history.numbers("a::b") is None
    for second in range(0, 40, 2):
        history.add(1000 * second + 1, {"g1": said(1000 * second + 1, 10 * second)})
    numbers = history.numbers("a::b")
    assert numbers is not None
    assert (numbers["calls"], numbers["per_second"], numbers["mean_ms"]) == (380, 10.0, 1.0)
    assert history.numbers("never::called") is None


def nodes(*ids: str, leader: str = "", epoch: int = 1, draining: str = "", owner: str = "") -> ClusterMap:
    known = {id: NodeInfo(id=id, role=Role(id.partition("-")[0]), draining=id == draining) for id in ids}
    slots = (SlotOwner(owner, 1),) * SLOTS
    return ClusterMap(term=1, epoch=epoch, leader=leader, nodes=known, slots=slots)


def told(marks: Marks) -> list[tuple[str, str]]:
    return [(mark.kind, mark.node) for mark in marks.marks]


def test_changes_of_the_map_are_marked() -> None:
    marks = Marks()
    marks.see_map(nodes("shard-a", "coordinator-c", leader="coordinator-c", owner="shard-a"), 1)
    assert told(marks) == []
    marks.see_map(nodes("shard-a", "shard-b", "coordinator-c", leader="coordinator-c", owner="shard-b", epoch=2), 2)
    assert told(marks) == [("joined", "shard-b"), ("slots", "")]
    assert marks.marks[1].text == "1024 slots moved to shard-b"
    marks.see_map(nodes("shard-b", "coordinator-c", leader="coordinator-c", owner="shard-b", epoch=3), 3)
    assert told(marks)[2:] == [("lost", "shard-a")]
    marks.see_map(nodes("shard-b", "coordinator-c", draining="coordinator-c", owner="shard-b", epoch=4), 4)
    marks.see_map(nodes("shard-b", owner="shard-b", epoch=5), 5)
    assert told(marks)[3:] == [("leader", ""), ("left", "coordinator-c")]


def test_a_map_seen_before_marks_nothing() -> None:
    marks = Marks()
    marks.see_map(nodes("shard-a", epoch=5), 1)
    marks.see_map(nodes("shard-b", epoch=4), 2)
    marks.see_map(ClusterMap(), 3)  # of a new incarnation that has seen none yet
    assert told(marks) == []


def test_outages_of_redis_are_marked_and_marks_are_bounded() -> None:
    marks = Marks()
    marks.see_redis(True, 1)
    for at in range(MARKS):
        marks.see_redis(at % 2 == 1, at)
    assert len(marks.marks) == MARKS
    assert marks.marks[-1] == Mark(MARKS - 1, "redis", "", "Redis is back")


def test_the_overview_shows_who_did_not_answer() -> None:
    history, marks = History(), Marks()
    history.add(1000, {"gateway-g": said(1000, 10)})
    history.add(3000, {"gateway-g": said(3000, 30)})
    current = nodes("shard-a", "gateway-g", "coordinator-c", leader="coordinator-c", owner="shard-a")
    page = overview("demo", "coordinator-c", current, Redis(True, 5), history, marks, 3)
    rows = {row["id"]: row for row in page["nodes"]}
    assert list(rows) == ["gateway-g", "shard-a", "coordinator-c"]
    assert (rows["gateway-g"]["ready"], rows["gateway-g"]["per_second"]) == (True, 10.0)
    assert (rows["shard-a"]["ready"], rows["shard-a"]["per_second"], rows["shard-a"]["rss"]) == (False, None, None)
    assert rows["shard-a"]["slots"] == SLOTS
    assert rows["coordinator-c"]["leader"]
    assert page["slots"] == {"shard-a": [[0, SLOTS - 1]]}
    assert (page["totals"]["calls"], page["totals"]["functions"]) == (30, 3)
    msgspec.json.encode(page)
