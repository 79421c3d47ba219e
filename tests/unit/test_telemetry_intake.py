"""Frames that wait to be read: taken at once, bounded, gated, and read in slices of a little of the time."""

import asyncio
import logging
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from iii_cluster.telemetry.config import Observability, Sampling, SamplingRule
from iii_cluster.telemetry.fair import FairQueue
from iii_cluster.telemetry.intake import MAX_BYTES, MAX_FRAME, MAX_FRAMES, Intake
from iii_cluster.telemetry.sampling import Sampler, sampler_of
from iii_cluster.telemetry.spool import MAX_SPANS, Spool
from tests.support.eventually import eventually
from tests.support.telemetry import logs_frame, metrics_frame, spans_frame, trace_id, wire_span

METRIC = {"name": "m", "gauge": {"dataPoints": [{"asInt": 1}]}}


def made(
    spool: Spool,
    clock: Callable[[], float] = lambda: 0.0,
    sampler: Sampler | None = None,
    config: Observability | None = None,
) -> Intake:
    return Intake(spool, config or Observability(), sampler, clock)


def many(count: int, start: int = 0, text: str = "") -> bytes:
    return spans_frame(*(wire_span(traceId=trace_id(start + n), name=text) for n in range(count)))


async def taken(intake: Intake, spool: Spool, *frames: bytes) -> tuple[int, int, int]:
    """How many spans, logs and metrics come of them."""
    for frame in frames:
        intake.frame(frame)
    intake.read(1.0)
    await intake.stop()
    batch = spool.take()
    return len(batch.spans), len(batch.logs), len(batch.metrics)


async def test_frames_of_all_kinds_are_read() -> None:
    spool = Spool()
    intake = made(spool)
    assert await taken(intake, spool, many(3), logs_frame({}, {}), metrics_frame(METRIC)) == (3, 2, 1)
    assert (intake.frames, intake.dropped_frames, intake.bad_frames, intake.waiting_bytes) == (3, 0, 0, 0)


@pytest.mark.parametrize(
    ("config", "expected"),
    [
        (Observability(enabled=False), (0, 0, 0)),
        (Observability(logs_enabled=False), (2, 0, 1)),
        (Observability(metrics_enabled=False), (2, 1, 0)),
        (Observability(live_spans=False), (1, 1, 1)),
    ],
)
async def test_what_is_switched_off_is_not_taken(config: Observability, expected: tuple[int, int, int]) -> None:
    spool = Spool()
    spans = spans_frame(wire_span(), wire_span(endTimeUnixNano="0"))
    assert await taken(made(spool, config=config), spool, spans, logs_frame({}), metrics_frame(METRIC)) == expected
    assert spool.dropped() == {"spans": 0, "logs": 0, "metrics": 0}


async def test_spans_are_sampled_by_trace_as_those_of_the_engine_are() -> None:
    spool = Spool()
    intake = made(spool, sampler=sampler_of(Observability(sampling_ratio=0.25)))
    spans = [wire_span(traceId=trace_id(n // 2), spanId=f"{n + 1:016x}") for n in range(2000)]
    intake.frame(spans_frame(*spans))
    intake.read(1.0)
    kept = spool.take().spans
    assert len(kept) == pytest.approx(500, rel=0.2)
    assert len({span.trace_id for span in kept}) * 2 == len(kept)
    await intake.stop()


async def test_rules_look_at_names_of_spans_and_services() -> None:
    spool = Spool()
    rules = Sampling(default=1.0, rules=(SamplingRule(0.0, service="bill*"),))
    intake = made(spool, sampler=sampler_of(Observability(sampling=rules)))
    assert await taken(intake, spool, many(5), spans_frame(wire_span(), service="other")) == (1, 0, 0)


async def test_bad_frames_are_told_of_once_and_nothing_else_is_lost(caplog: pytest.LogCaptureFixture) -> None:
    spool = Spool()
    bad = [b"OTLP", b"LOGS{", b"MTRC\xff", spans_frame(7, wire_span(traceId="no"))] * 50
    intake = made(spool)
    with caplog.at_level(logging.WARNING):
        assert await taken(intake, spool, *bad, many(1)) == (1, 0, 0)
    assert (intake.bad_frames, intake.bad_records) == (150, 100)
    assert len(caplog.messages) == 1


async def test_other_prefixes_are_nobodys() -> None:
    spool = Spool()
    intake = made(spool)
    assert await taken(intake, spool, b"", b"XXXX{}", b"otlp{}") == (0, 0, 0)
    assert intake.waiting_bytes == 0


async def test_a_frame_that_is_too_large_is_dropped_and_counted() -> None:
    spool = Spool()
    intake = made(spool)
    assert await taken(intake, spool, many(2, text="x" * MAX_FRAME)) == (0, 0, 0)
    assert intake.dropped_frames == 1
    assert spool.dropped_spans == 2


async def test_ten_times_the_bytes_leave_the_newest_and_every_loss_is_counted() -> None:
    spool = Spool()
    intake = made(spool)
    size = len(many(10, text="x" * 100_000))
    count = 10 * MAX_BYTES // size
    for number in range(count):
        intake.frame(many(10, 10 * number, "x" * 100_000))
        assert intake.waiting_bytes <= MAX_BYTES
    intake.read(1.0)
    await intake.stop()
    spans = spool.take().spans
    assert len(spans) <= MAX_BYTES // size * 10
    assert spans[-1].trace_id == trace_id(10 * count - 1)
    assert len(spans) + spool.dropped_spans == 10 * count
    assert intake.frames == count


async def test_ten_times_the_frames_leave_the_newest() -> None:
    spool = Spool()
    intake = made(spool)
    for number in range(10 * MAX_FRAMES):
        intake.frame(many(1, number))
    intake.read(1.0)
    await intake.stop()
    assert [span.trace_id for span in spool.take().spans] == [trace_id(9 * MAX_FRAMES + n) for n in range(MAX_FRAMES)]
    assert spool.dropped_spans == 9 * MAX_FRAMES


@pytest.mark.parametrize(("count", "size"), [(1, 20_000), (1, 10), (3, 20_000), (20, 1000)])
async def test_who_floods_pushes_out_no_frames_but_its_own(count: int, size: int) -> None:
    spool = Spool()
    intake = made(spool)
    noise = many(10, 1000, "x" * size)
    for number in range(2 * MAX_FRAMES):
        intake.frame(noise, f"flooding {number % count}")
        if number % 40 == 0:
            intake.frame(many(1, number), f"quiet {number % 3}")
    intake.read(1.0)
    await intake.stop()
    traces = {span.trace_id for span in spool.take().spans}
    assert traces >= {trace_id(number) for number in range(0, 2 * MAX_FRAMES, 40)}
    assert intake.dropped_frames > 0


async def test_senders_are_read_in_turns() -> None:
    spool = Spool()
    intake = made(spool)
    for number in range(3):
        intake.frame(many(1, number), "one")
    for number in range(3, 5):
        intake.frame(many(1, number), "other")
    intake.read(1.0)
    await intake.stop()
    assert [span.trace_id for span in spool.take().spans] == [trace_id(number) for number in (0, 3, 1, 4, 2)]


@given(st.lists(st.tuples(st.integers(0, 5), st.integers(0, 100)) | st.none(), max_size=200))
def test_what_waits_is_what_was_put_and_not_taken(steps: list[tuple[int, int] | None]) -> None:
    queue, left = FairQueue(), {sender: list[bytes]() for sender in range(6)}
    for at, step in enumerate(steps):
        if step is not None:
            sender, size = step
            frame = b"%d " % at + b"x" * size
            queue.put(sender, frame)
            left[sender].append(frame)
            if len(queue) > 20:
                lost = queue.give_up(sender)
                [loser] = [frames for frames in left.values() if frames and frames[0] == lost]
                assert len(loser) * 6 >= 20 / 2
                loser.pop(0)
        elif len(queue):
            taken = queue.take()
            [frames] = [frames for frames in left.values() if frames and frames[0] == taken]
            frames.pop(0)
        assert len(queue) == sum(map(len, left.values()))
        assert queue.bytes == sum(len(frame) for frames in left.values() for frame in frames)


def test_a_spool_that_nobody_empties_is_bounded() -> None:
    spool = Spool()
    intake = made(spool)
    frames = [many(5000, 5000 * number) for number in range(5)]
    for frame in frames:
        intake._waiting.put(None, frame)
    intake.read(1.0)
    assert len(spool.take().spans) == MAX_SPANS
    assert spool.dropped_spans == 5 * 5000 - MAX_SPANS


async def test_a_slice_ends_within_a_frame_and_goes_on_there() -> None:
    spool = Spool()
    time = 0.0

    def clock() -> float:  # ten looks at it are a second
        nonlocal time
        time += 0.1
        return time

    intake = made(spool, clock)
    intake._waiting.put(None, many(100))
    read = []
    for _ in range(20):
        intake.read(1.0)
        read.append(len(spool.take().spans))
    assert sum(read) == 100
    assert max(read) <= 11
    assert read.index(0) <= 12


async def test_reading_takes_a_tenth_of_the_time(monkeypatch: pytest.MonkeyPatch) -> None:
    time, slept, spool = 0.0, 0.0, Spool()
    step = 0.0001  # s that one look at the clock, and so one span, takes
    sleep = asyncio.sleep

    def clock() -> float:
        nonlocal time
        time += step
        return time

    async def pass_time(seconds: float) -> None:
        nonlocal slept
        slept += seconds
        await sleep(0)

    monkeypatch.setattr(asyncio, "sleep", pass_time)
    intake = made(spool, clock)
    intake.frame(many(5000))
    assert intake._task is not None
    await intake._task
    assert len(spool.take().spans) == 5000
    assert slept == pytest.approx(9 * time, rel=0.1)


async def test_it_waits_for_more_when_all_is_read() -> None:
    spool = Spool()
    intake = made(spool)
    for number in range(3):
        intake.frame(many(1, number))
        await eventually(lambda: intake._task is None)
        assert len(spool.take().spans) == 1
    await intake.stop()
