"""The span of one delivery, however that ends."""

import asyncio
from collections.abc import AsyncIterator

import pytest

from iii_cluster.cluster.map import Role
from iii_cluster.modules.spans import DeliverySpan, FanOut, deliver
from iii_cluster.protocol.errors import EngineError
from iii_cluster.telemetry.context import NO_TRACE, parent_of
from iii_cluster.telemetry.records import Span
from iii_cluster.telemetry.sampling import Sampler
from tests.support.engine import FakeCluster, FakeEngine
from tests.support.recorded import SAMPLED, UNSAMPLED, said


@pytest.fixture
async def cluster() -> AsyncIterator[FakeCluster]:
    cluster = FakeCluster()
    yield cluster
    await cluster.close()


@pytest.fixture
def shard(cluster: FakeCluster) -> FakeEngine:
    return cluster.node()


@pytest.fixture
def gateway(cluster: FakeCluster) -> FakeEngine:
    return cluster.node(role=Role.GATEWAY)


def begun(engine: FakeEngine) -> DeliverySpan:
    return deliver(engine, "trigger f", SAMPLED, function="f")


def spans(engine: FakeEngine) -> list[Span]:
    return engine.telemetry.spool.take().spans


def left(span: DeliverySpan) -> None:
    """As a task does that is cancelled while it waits for the end."""
    with pytest.raises(asyncio.CancelledError), span:
        raise asyncio.CancelledError


def test_what_was_sent_is_told_by_who_sent_it(shard: FakeEngine) -> None:
    span = begun(shard)
    span.sent("gateway-1")
    left(span)
    (told,) = spans(shard)
    assert (said(told)["iii.node.callee"], said(told)["iii.unfinished"]) == ("gateway-1", "true")


@pytest.mark.parametrize("gateways", [[], ["gateway-1", ""]])
def test_what_reached_no_worker_is_told_by_the_next_owner(shard: FakeEngine, gateways: list[str]) -> None:
    span = begun(shard)
    for gateway in gateways:
        span.sent(gateway)
    left(span)
    span.end()
    assert spans(shard) == []


def test_from_a_gateway_nobody_takes_over(gateway: FakeEngine) -> None:
    left(begun(gateway))
    (told,) = spans(gateway)
    assert "iii.node.callee" not in said(told)
    assert said(told)["iii.unfinished"] == "true"


@pytest.mark.parametrize(("error", "code"), [(EngineError("NO", "no"), "NO"), (ZeroDivisionError(), "internal_error")])
def test_errors_end_it(shard: FakeEngine, error: Exception, code: str) -> None:
    with pytest.raises(type(error)), begun(shard):
        raise error
    (told,) = spans(shard)
    assert (told.status, said(told)["error.type"]) == ("error", code)


def test_it_ends_once(shard: FakeEngine) -> None:
    with begun(shard) as span:
        span.refused()
        span.end(b'{"code":"LATE"}')
    (told,) = spans(shard)
    assert (told.status, said(told)["iii.condition"]) == ("ok", "refused")


def test_around_deliveries_there_is_a_span_if_there_are_any_to_tell_of(shard: FakeEngine) -> None:
    with FanOut(shard, "state_triggers", SAMPLED):
        pass
    with FanOut(shard, "state_triggers", SAMPLED) as unsent:
        left(unsent.deliver("f"))
    with FanOut(shard, "state_triggers", UNSAMPLED) as unsampled, unsampled.deliver("f") as span:
        assert span.trace == UNSAMPLED
    with FanOut(shard, "state_triggers", SAMPLED) as unseen, unseen.deliver("engine::log::info"):
        pass
    assert spans(shard) == []
    with FanOut(shard, "state_triggers", SAMPLED) as seen, seen.deliver("f"):
        pass
    delivery, around = spans(shard)
    assert delivery.parent_span_id == around.span_id


def test_a_job_that_is_not_recorded_begins_no_trace_elsewhere(shard: FakeEngine) -> None:
    shard.telemetry.tracer.sampler = Sampler(1e-9)
    job = deliver(shard, "fn_queue q", (b"", b'"k=v"'), function="f", root=True)
    parent = parent_of(job.trace[0])
    assert parent is not None
    assert not parent.sampled
    assert job.trace[1] == b'"k=v"'
    plain = deliver(shard, "trigger f", NO_TRACE, function="f")
    assert plain.trace == NO_TRACE  # whoever has it may begin one
    assert spans(shard) == []
