"""The store of telemetry on a real server: what it keeps, that its limits hold, and what becomes of it with Redis."""

import asyncio
import os
import time
from collections.abc import AsyncIterator, Iterator
from itertools import pairwise
from typing import Any

import pytest

from iii_cluster.redis.commands import Commands
from iii_cluster.telemetry.config import Observability, TraceStorage
from iii_cluster.telemetry.records import Log, Metric, Span
from iii_cluster.telemetry.spool import Batch
from iii_cluster.telemetry.store import writer as writers
from iii_cluster.telemetry.store.room import make_room
from iii_cluster.telemetry.store.store import Store
from iii_cluster.telemetry.store.sweep import sweep
from iii_cluster.telemetry.store.writer import StoreWriter
from tests.support.eventually import eventually
from tests.support.telemetry import log, metric, span, trace_id
from tests.support.valkey import ValkeyServer

PATIENCE = 0.5  # s
HOUR = 3600 * 10**9  # ns


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ValkeyServer]:
    """Of all tests here that do not harm it."""
    server = ValkeyServer(tmp_path_factory.mktemp("valkey"))
    server.start()
    yield server
    server.close()


class World:
    """A cluster's store, and processes that write to it."""

    def __init__(self, server: ValkeyServer) -> None:
        self.server = server
        self.prefix = f"{{{os.urandom(4).hex()}}}"
        self._all: list[Commands] = []
        self._writers: list[StoreWriter] = []
        self.store = Store(self._commands(), self.prefix)

    def _commands(self) -> Commands:
        self._all.append(Commands(self.server.url, "test", PATIENCE, "telemetry_store"))
        return self._all[-1]

    def writer(self, **config: Any) -> StoreWriter:
        self._writers.append(StoreWriter(self._commands(), self.prefix, Observability(**config), self.store))
        return self._writers[-1]

    async def write(self, writer: StoreWriter, *records: Span | Log | Metric) -> None:
        """Returns when they are in the store, or dropped."""
        spans = [record for record in records if isinstance(record, Span)]
        logs = [record for record in records if isinstance(record, Log)]
        metrics = [record for record in records if isinstance(record, Metric)]
        buffers = writer.spans, writer.logs, writer.metrics
        aim = sum(each.written + each.dropped for each in buffers) + len(records)
        writer.offer(Batch(spans, logs, metrics))
        await eventually(lambda: sum(each.written + each.dropped for each in buffers) >= aim)

    def indexed(self) -> set[str]:
        """Traces that the index knows."""
        found: list[str] = self.server.execute("KEYS", f"{self.prefix}:otel:trace:*")
        return {key.rpartition(":")[2] for key in found}

    async def close(self) -> None:
        for writer in self._writers:
            await writer.stop()
        for commands in self._all:
            await commands.close()


@pytest.fixture
async def world(server: ValkeyServer) -> AsyncIterator[World]:
    world = World(server)
    yield world
    await world.close()


@pytest.fixture
async def own_world(valkey: ValkeyServer) -> AsyncIterator[World]:
    """Whose server may be broken."""
    world = World(valkey)
    yield world
    await world.close()


# -- what is kept


async def test_what_was_written_is_read_by_everybody_oldest_first(world: World) -> None:
    first, second, other = span(0), span(1), span(2, trace_id(7))
    await world.write(world.writer(), first, other)
    await world.write(world.writer(), second)

    spans = await world.store.spans()
    assert [each.span_id for each in spans] == [first.span_id, other.span_id, second.span_id]
    assert spans[0].attributes == first.attributes
    assert [each.span_id for each in await world.store.trace(first.trace_id)] == [first.span_id, second.span_id]
    assert await world.store.trace("f" * 32) == []


async def test_logs_and_metrics_are_read_as_they_were_written(world: World) -> None:
    said, measured = log("said"), metric(3)
    await world.write(world.writer(), said, measured)
    assert await world.store.logs() == [said]
    assert [each.data_points for each in await world.store.metrics()] == [measured.data_points]
    status = await world.store.status()
    assert (status.logs, status.metric_points) == (1, 3)


async def test_spans_are_read_that_were_going_on_at_the_time(world: World) -> None:
    now = time.time_ns()
    old, long, open_, new = span(0), span(1), span(2, pending=True), span(3)
    for each, start, end in ((old, -9, -8), (long, -9, -1), (open_, -0.5, None), (new, -1, 0)):
        each.start_time_unix_nano = now + int(start * HOUR)
        each.end_time_unix_nano = 0 if end is None else now + end * HOUR
    await world.write(world.writer(), old, long, open_, new)

    async def at(start: int, end: int) -> list[str]:
        return [each.span_id for each in await world.store.spans(now + start * HOUR, now + end * HOUR)]

    assert await at(-3, -2) == [long.span_id]
    assert await at(-2, 1) == [long.span_id, open_.span_id, new.span_id]
    assert await at(-20, -10) == []
    assert len(await world.store.spans()) == 4


async def test_a_span_that_ended_replaces_what_was_known_while_it_went_on(world: World) -> None:
    writer = world.writer()
    await world.write(writer, span(pending=True), span(1))
    await world.write(writer, span())
    await world.write(writer, span(pending=True))  # late: it has ended
    await world.write(writer, span())  # said twice

    assert [(each.span_id[-1], each.pending) for each in await world.store.spans()] == [("2", False), ("1", False)]
    assert len(await world.store.trace(span().trace_id)) == 2
    assert (await world.store.status()).spans == 2


async def test_spans_of_which_nobody_tells_the_end_are_not_read_for_ever(world: World) -> None:
    lost, new = span(pending=True), span(1, pending=True)
    lost.start_time_unix_nano -= 2 * HOUR
    await world.write(world.writer(), lost, new)
    assert [each.span_id for each in await world.store.spans()] == [new.span_id]
    assert [each.span_id for each in await world.store.trace(new.trace_id)] == [new.span_id]


async def test_a_span_of_any_size_fits(world: World) -> None:
    await world.write(world.writer(), span(text="x" * 10**6))
    [kept] = await world.store.spans()
    assert len(kept.attributes[1][1]) <= 64 * 2**10
    assert (await world.store.status()).span_bytes < 66 * 2**10


async def test_all_of_many_are_read_page_by_page(world: World) -> None:
    writer = world.writer()
    await world.write(writer, *(span(number, text="x" * 2000) for number in range(1300)))
    assert len(await world.store.spans()) == len(await world.store.trace(span().trace_id)) == 1300


async def test_where_nothing_goes_to_the_store_nothing_is_there(world: World) -> None:
    writer = world.writer(exporter="otlp", logs_exporter="otlp", metrics_exporter="otlp")
    writer.offer(Batch([span()], [log()], [metric()]))
    await world.write(world.writer(), span(1))
    assert len(await world.store.spans()) == 1
    assert await world.store.logs() == []
    assert await world.store.metrics() == []


# -- limits


async def test_ten_times_as_many_spans_as_may_be_from_several_processes_leave_the_newest(world: World) -> None:
    most, count, processes = 200, 500, 4
    writers_ = [world.writer(memory_max_spans=most) for _ in range(processes)]
    await asyncio.gather(
        *(
            world.write(writer, *(span(n, trace_id(n // 7 + 1000 * at), text="x" * 200) for n in range(count)))
            for at, writer in enumerate(writers_)
        )
    )
    spans = await world.store.spans()
    assert len(spans) == most == (await world.store.status()).spans
    for each in writers_:  # the newest of all include somebody's last
        assert each.spans.dropped == 0
    assert any(each.span_id == f"{count:016x}" for each in spans)
    # The index is exactly what is kept, for whole traces and parts of them.
    traces = {each.trace_id for each in spans}
    assert world.indexed() == traces
    assert sum([len(await world.store.trace(each)) for each in traces]) == most


@pytest.mark.parametrize(("count", "text"), [(100, 30_000), (400, 5_000)])
async def test_bytes_are_bounded_and_go_down_to_the_watermark(
    world: World, monkeypatch: pytest.MonkeyPatch, count: int, text: int
) -> None:
    monkeypatch.setattr(writers, "SPANS_PER_SECOND", 10**6)
    size, low = 16 * 2**20, 0.5
    writer = world.writer(trace_storage=TraceStorage(memory_max_bytes=size, memory_low_watermark_ratio=low))
    sizes = [0]
    for part in range(10):
        await world.write(writer, *(span(n + part * count, trace_id(n), text="x" * text) for n in range(count)))
        status = await world.store.status()
        assert status.span_bytes <= size
        sizes.append(status.span_bytes)
    used = world.server.execute("MEMORY", "USAGE", f"{world.prefix}:otel:spans", "SAMPLES", "0")
    fell = [after for before, after in pairwise(sizes) if after < before]
    assert fell
    assert min(fell) <= size * low + count * (text + 1000)  # and grew again since
    assert used < size * 1.1
    assert (await world.store.status()).span_bytes == pytest.approx(used, rel=0.2)


async def test_logs_are_bounded_by_number_and_metrics_by_points(world: World) -> None:
    writer = world.writer(logs_max_count=50, metrics_max_count=100)
    await world.write(writer, *(log(f"{n}") for n in range(500)), *(metric(7, f"m{n}") for n in range(150)))
    assert [each.body for each in await world.store.logs()] == [f"{n}" for n in range(450, 500)]
    metrics = await world.store.metrics()
    assert [each.name for each in metrics] == [f"m{n}" for n in range(136, 150)]
    assert (await world.store.status()).metric_points == 98


async def test_limits_that_became_lower_are_reached_by_the_sweep(world: World) -> None:
    many = [span(n, trace_id(n)) for n in range(1200)]
    await world.write(world.writer(), *many, *(log(f"{n}") for n in range(700)), metric(3), metric(3))
    await sweep(world.store, Observability(memory_max_spans=10, logs_max_count=10, metrics_max_count=4))
    assert [each.body for each in await world.store.logs()] == [f"{n}" for n in range(690, 700)]
    assert (await world.store.status()).metric_points == 3
    assert [each.span_id for each in await world.store.spans()] == [f"{n:016x}" for n in range(1191, 1201)]


async def test_what_is_too_old_goes(world: World) -> None:
    now = time.time_ns()
    late, unknown = log("late", now - 2 * HOUR), log("without a time", 0)
    await world.write(world.writer(), log("new"), late, unknown, metric(at=now - 2 * HOUR), metric(name="new"), span())
    await sweep(world.store, Observability())
    assert [each.body for each in await world.store.logs()] == ["new", "without a time"]
    assert [each.name for each in await world.store.metrics()] == ["new"]
    assert (await world.store.status()).logs == 2
    assert len(await world.store.spans()) == 1

    await asyncio.sleep(1.1)  # by the server's clock
    await sweep(world.store, Observability(trace_storage=TraceStorage(retention_seconds=1)))
    assert await world.store.spans() == []
    assert world.indexed() == set()


async def test_one_process_sweeps_at_a_time(world: World) -> None:
    assert [await world.store.turn_to("sweep", 60) for _ in range(3)] == [True, False, False]


async def test_clearing_removes_what_is_there_and_nothing_else(world: World) -> None:
    writer = world.writer()
    await world.write(writer, *(span(n, trace_id(n)) for n in range(1100)), log(), metric())
    await world.store.clear_spans()
    await world.store.clear_logs()
    await world.store.clear_metrics()
    assert await world.store.spans() == []
    assert await world.store.logs() == []
    assert await world.store.metrics() == []
    status = await world.store.status()
    assert (status.spans, status.span_bytes, status.log_bytes, status.metric_points) == (0, 0, 0, 0)
    assert world.indexed() == set()
    await world.write(writer, span(), log("after"))
    assert len(await world.store.spans()) == len(await world.store.logs()) == 1


async def test_no_reply_is_larger_than_a_page_and_a_span(world: World) -> None:
    await world.write(world.writer(), *(span(n, text="x" * 60_000) for n in range(60)))
    _, _, *bodies = await world.store._read(f"{world.prefix}:otel:spans", "-", "+", 500)
    assert sum(map(len, bodies)) < 512 * 2**10
    assert len(await world.store.spans()) == 60


# -- following


async def test_a_tail_hears_of_everything_once(world: World) -> None:
    writer = world.writer()
    await world.write(writer, span(0), log("old"))
    place, nothing = await world.store.tail_spans("", 10)
    assert nothing == []
    assert await world.store.tail_spans(place, 10) == (place, [])
    await world.write(writer, *(span(n) for n in range(1, 26)))
    heard: list[str] = []
    for _ in range(4):
        place, spans = await world.store.tail_spans(place, 10)
        heard += [each.span_id for each in spans]
    assert heard == [f"{n + 1:016x}" for n in range(1, 26)]

    place, logs = await world.store.tail_logs("0", 10)
    assert [each.body for each in logs] == ["old"]
    assert (await world.store.tail_logs(place, 10))[1] == []


async def test_a_tail_goes_on_after_the_store_was_cleared(world: World) -> None:
    writer = world.writer()
    await world.write(writer, log("a"))
    place, _ = await world.store.tail_logs("0")
    await world.store.clear_logs()
    assert (await world.store.tail_logs(place))[1] == []
    await world.write(writer, log("b"))
    assert [each.body for each in (await world.store.tail_logs(place))[1]] == ["b"]


async def test_a_tail_goes_on_when_redis_knows_nothing_of_its_place(world: World) -> None:
    writer = world.writer()
    ahead = f"{int(time.time() * 1000) + 10**9}-0"
    await world.write(writer, log("a"))
    place, logs = await world.store.tail_logs(ahead)
    assert logs == []
    await world.write(writer, log("b"))
    assert [each.body for each in (await world.store.tail_logs(place))[1]] == ["b"]
    assert await world.store.tail_spans(ahead) == ("0-0", [])


# -- losses, and Redis


async def test_what_is_lost_anywhere_is_counted_for_the_cluster(world: World) -> None:
    first, second = world.writer(), world.writer()
    first.lost(3, 1)
    second.lost(4, 0)
    await world.write(first, span(0))
    await world.write(second, span(1))
    status = await world.store.status()
    assert (status.known_dropped_spans, status.known_dropped_logs) == (7, 1)


async def test_more_than_the_budget_is_shed_by_trace(world: World) -> None:
    writer = world.writer(memory_max_spans=10**6)
    traces = 10 * writers.SPANS_PER_SECOND // 5
    writer.offer(Batch([span(n, trace_id(trace)) for trace in range(traces) for n in range(5)], [], []))
    await eventually(lambda: not writer.spans.pending)
    spans = await world.store.spans()
    assert writers.SPANS_PER_SECOND / 2 < len(spans) <= writers.SPANS_PER_SECOND
    assert len({each.trace_id for each in spans}) == pytest.approx(len(spans) / 5, abs=1)
    assert (await world.store.status()).known_dropped_spans == traces * 5 - len(spans)


async def test_while_redis_is_away_a_bounded_part_waits_and_is_written_later(
    own_world: World, caplog: pytest.LogCaptureFixture
) -> None:
    world, writer = own_world, own_world.writer()
    await world.write(writer, span())
    world.server.kill()
    for part in range(20):
        writer.offer(Batch([span(n, trace_id(n + 1000 * part)) for n in range(1000)], [log()] * 1000, []))
    await eventually(lambda: bool(world.store.last_error))
    assert len(writer.spans) <= 4100
    world.server.start()

    async def written() -> bool:
        return not writer.spans.pending and (await world.store.status()).spans > 1000

    await eventually(written)
    status = await world.store.status()
    assert status.last_error == ""
    assert status.known_dropped_spans == writer.spans.dropped == 20_000 - status.spans
    assert len([each for each in caplog.messages if "_failing" in each]) == 1


async def test_redis_without_memory_for_more_is_no_trouble_for_long(own_world: World) -> None:
    world, writer = own_world, own_world.writer()
    await world.write(writer, span(0), log())
    world.server.execute("CONFIG", "SET", "maxmemory", "1")
    await world.write(writer, span(1))
    assert "memory" in world.store.last_error
    assert writer.spans.dropped == 1
    await world.store.clear_spans()  # gives memory back
    world.server.execute("CONFIG", "SET", "maxmemory", "0")
    await world.write(writer, span(2))
    assert [each.span_id for each in await world.store.spans()] == [span(2).span_id]


async def test_where_memory_is_short_telemetry_leaves_it_to_others(
    own_world: World, caplog: pytest.LogCaptureFixture
) -> None:
    world, writer = own_world, own_world.writer()
    store, execute = world.store, world.server.execute
    await make_room(store)
    assert not store.short
    await world.write(writer, *(span(n) for n in range(100)), *(log(f"{n}") for n in range(100)), metric(8))
    execute("CONFIG", "SET", "maxmemory", int(execute("INFO", "memory")["used_memory"] * 1.1))
    await make_room(store)
    assert store.short
    status = await store.status()
    assert (status.spans, status.logs) == (75, 75)
    await world.write(writer, span(100), log(), metric())
    await world.write(writer, span(101))
    assert (writer.spans.dropped, writer.logs.dropped, writer.metrics.dropped) == (2, 1, 1)
    assert len([line for line in caplog.messages if "telemetry_store_write_failing" in line]) == 1
    execute("DEL", f"{world.prefix}:otel:turn:room")
    execute("CONFIG", "SET", "maxmemory", 1)  # others have taken the rest
    await make_room(store)
    assert (await store.status()).logs == int(75 * 0.75)
    execute("CONFIG", "SET", "maxmemory", 0)
    await make_room(store)
    await world.write(writer, span(102))
    assert (await store.spans())[-1].span_id == span(102).span_id
    assert store.last_error == ""


async def test_a_server_that_forgot_everything_is_written_to_anew(own_world: World) -> None:
    world, writer = own_world, own_world.writer()
    await world.write(writer, *(span(n) for n in range(50)), log())
    world.server.execute("FLUSHALL")
    world.server.execute("SCRIPT", "FLUSH")
    assert (await world.store.status()).spans == 0
    await world.write(writer, span(), log())
    status = await world.store.status()
    assert (status.spans, status.logs) == (1, 1)
    assert status.span_bytes < 1000


async def test_a_stream_that_somebody_deleted_is_counted_anew(own_world: World) -> None:
    world, writer = own_world, own_world.writer()
    await world.write(writer, *(span(n) for n in range(50)), *(log() for _ in range(50)))
    world.server.execute("DEL", f"{world.prefix}:otel:spans", f"{world.prefix}:otel:logs")
    assert await world.store.trace(span().trace_id) == []
    await world.write(writer, span(99), log())
    status = await world.store.status()
    assert (status.spans, status.logs) == (1, 1)
    assert status.span_bytes < 1000
    assert status.log_bytes < 1000


async def test_a_writer_that_stops_writes_what_is_left(world: World) -> None:
    writer = world.writer()
    writer.offer(Batch([span(n) for n in range(500)], [log()], []))
    await writer.stop()
    assert len(await world.store.spans()) == 500
    assert len(await world.store.logs()) == 1
