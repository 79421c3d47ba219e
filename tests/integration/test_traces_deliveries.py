"""Traces through queues, topics, timers and pub/sub: each delivery has a span, below its cause or as a root."""

import json
from collections.abc import AsyncIterator
from typing import Any

import pytest

from iii_cluster.bus.envelopes import Trigger
from iii_cluster.cluster.map import Role
from iii_cluster.config.settings import ModuleEntry
from iii_cluster.modules.host import ModuleHost
from iii_cluster.modules.load import make
from iii_cluster.modules.module import Request
from iii_cluster.protocol.errors import EngineError
from iii_cluster.telemetry.records import Kind, Span
from tests.support.engine import FakeCluster
from tests.support.eventually import eventually
from tests.support.queues import Gate, Queues, queues, subscriber
from tests.support.recorded import SAMPLED, SPAN_ID, TRACE_ID, TRACEPARENT, UNSAMPLED, Spans, context_of, said
from tests.support.valkey import ValkeyServer

BAGGAGE = {"baggage": "user=ana,iii.function.id=before"}


def recorded(cluster: FakeCluster) -> Spans:
    return Spans(*(node.telemetry.spool for node in cluster.nodes))


class TestJobs:
    async def test_a_job_is_handled_in_the_trace_of_who_sent_it(self, valkey: ValkeyServer) -> None:
        async with queues(valkey.url, {"mail": {}}) as on:
            on.cluster.register("f", lambda _data: None)
            receipt = await on.enqueue("mail", "f", 1, traceparent=TRACEPARENT, **BAGGAGE)
            await on.emptied("mail")
            span = recorded(on.cluster).named("fn_queue mail")
            assert (span.trace_id, span.parent_span_id, span.status) == (TRACE_ID, SPAN_ID, "ok")
            assert span.kind == Kind.CONSUMER
            attributes = said(span)
            delivery = attributes.pop("delivery_id")
            assert delivery.startswith("queue:fn:mail#0:")
            assert attributes == {
                "function_id": "f",
                "queue": "mail",
                "attempt": "1",
                "messaging.system": "iii-queue",
                "messaging.destination.name": "mail",
                "messaging.operation.type": "process",
                "messaging.message.id": receipt,
                "iii.tag.kind": "queue.process",
                "iii.tag.display_name": "mail: f",
                "iii.node.callee": "gateway-1",
            }
            (call,) = on.cluster.calls
            assert (call.traceparent, call.baggage) == (context_of(span), b'"user=ana,iii.function.id=f"')

    async def test_a_job_without_a_context_begins_a_trace(self, valkey: ValkeyServer) -> None:
        async with queues(valkey.url) as on:
            on.cluster.register("f", lambda _data: None)
            await on.enqueue("default", "f", 1)
            await on.emptied("default")
            span = recorded(on.cluster).named("fn_queue default")
            assert span.parent_span_id is None
            assert on.cluster.calls[0].traceparent == context_of(span)

    async def test_attempts_are_spans_of_their_own_also_after_a_redrive(self, valkey: ValkeyServer) -> None:
        async with queues(valkey.url, {"q": {"max_retries": 2, "backoff_ms": 1}}) as on:
            broken = True

            def handle(_data: Any) -> None:
                if broken:
                    raise EngineError("broken", "still")

            on.cluster.register("f", handle)
            receipt = await on.enqueue("q", "f", 1, traceparent=TRACEPARENT)
            await eventually(lambda: on.dead("q"))
            broken = False
            asked = {"queue": "q", "message_id": receipt}
            assert (await on.gateway.call("iii::queue::redrive_message", asked))["redriven"] == 1
            await on.emptied("q")
            spans = recorded(on.cluster).all()
            assert [(span.status, said(span)["attempt"]) for span in spans] == [
                ("error", "1"),
                ("error", "2"),
                ("ok", "1"),
            ]
            assert {(span.trace_id, span.parent_span_id) for span in spans} == {(TRACE_ID, SPAN_ID)}
            assert said(spans[0])["error.type"] == "broken"
            assert len({said(span)["delivery_id"] for span in spans}) == 3
            assert [call.traceparent for call in on.cluster.calls] == [context_of(span) for span in spans]

    async def test_a_job_that_another_shard_takes_over_has_one_span(self, valkey: ValkeyServer) -> None:
        async with queues(valkey.url) as on:
            gate = Gate()
            on.cluster.register("f", gate)
            await on.enqueue("default", "f", 1, traceparent=TRACEPARENT)
            await gate.holds(1)
            on.shards[0].engine.ownership.take_away()
            await on.shard(token=2)
            gate.let_go()
            await on.emptied("default")
            span = recorded(on.cluster).named("fn_queue default")
            assert said(span)["iii.unfinished"] == "true"
            assert on.cluster.calls[0].traceparent == context_of(span)

    async def test_a_job_whose_time_is_up_is_an_error_in_its_trace(self, valkey: ValkeyServer) -> None:
        async with queues(valkey.url, {"q": {"max_retries": 1}}, handler_timeout=0.05) as on:
            gate = Gate()
            on.cluster.register("f", gate)
            await on.enqueue("q", "f", 1, traceparent=TRACEPARENT)
            await eventually(lambda: on.dead("q"))
            span = recorded(on.cluster).named("fn_queue q")
            assert (span.status, said(span)["error.type"]) == ("error", "TIMEOUT")


class TestTopics:
    async def publish(self, on: Queues, trace: tuple[bytes, bytes]) -> None:
        asked = {"topic": "orders", "data": 1}
        traceparent, baggage = trace
        await on.gateway.call("iii::durable::publish", asked, traceparent=traceparent, baggage=baggage)
        await on.emptied("orders")

    async def test_each_group_and_its_condition_are_in_the_trace(self, valkey: ValkeyServer) -> None:
        async with queues(valkey.url) as on:
            for name in ("f", "g", "check"):
                on.cluster.register(name, lambda _data: None)
            await on.subscribe(subscriber("1", "orders", "f", condition_function_id="check"))
            await on.subscribe(subscriber("2", "orders", "g"))
            await self.publish(on, SAMPLED)
            spans = recorded(on.cluster)
            assert spans.under(SPAN_ID) == ["queue orders", "queue orders"]
            by_function = {said(span)["function_id"]: span for span in spans.all()}
            attributes = said(by_function["f"])
            assert attributes["job_id"] == attributes["messaging.message.id"]
            assert (attributes["queue"], attributes["baggage.queue"]) == ("orders", "orders")
            contexts = {call.function: call.traceparent for call in on.cluster.calls}
            assert contexts["f"] == contexts["check"] == context_of(by_function["f"])
            assert contexts["g"] == context_of(by_function["g"])

    async def test_a_condition_that_says_no_is_told_in_the_span(self, valkey: ValkeyServer) -> None:
        async with queues(valkey.url) as on:
            on.cluster.register("f", lambda _data: None)
            on.cluster.register("no", lambda _data: False)
            await on.subscribe(subscriber("1", "orders", "f", condition_function_id="no"))
            await self.publish(on, SAMPLED)
            span = recorded(on.cluster).named("queue orders")
            assert (span.status, said(span)["iii.condition"]) == ("ok", "refused")
            assert on.cluster.called("f") == []

    async def test_what_is_not_sampled_is_passed_on_untouched(self, valkey: ValkeyServer) -> None:
        async with queues(valkey.url) as on:
            for name in ("f", "check"):
                on.cluster.register(name, lambda _data: None)
            await on.subscribe(subscriber("1", "orders", "f", condition_function_id="check"))
            await self.publish(on, UNSAMPLED)
            assert {(call.traceparent, call.baggage) for call in on.cluster.calls} == {UNSAMPLED}
            assert recorded(on.cluster).names() == []


@pytest.fixture
async def cluster() -> AsyncIterator[FakeCluster]:
    cluster = FakeCluster()
    yield cluster
    for host in cluster.hosts:
        await host.shutdown()
    await cluster.close()


async def module(cluster: FakeCluster, name: str, role: Role, url: str = "") -> ModuleHost:
    host = ModuleHost([make(ModuleEntry(name, {}))])
    await host.initialize(cluster.node(url, role))
    cluster.hosts.append(host)
    return host


class TestPublishing:
    async def publish(self, cluster: FakeCluster, trace: tuple[bytes, bytes]) -> None:
        host = await module(cluster, "iii-pubsub", Role.GATEWAY)
        for name in ("f", "g"):
            cluster.register(name, lambda _data: None)
        cluster.register("no", lambda _data: False)
        cluster.put(Trigger("1", "subscribe", "f", b'{"topic":"t"}'))
        config = b'{"topic":"t","condition_function_id":"no"}'
        cluster.put(Trigger("2", "subscribe", "g", config), Trigger("3", "subscribe", "engine::log::info", config))
        traceparent, baggage = trace
        data = json.dumps({"topic": "t", "data": 1}).encode()
        await host.run("publish", Request("publish", data, traceparent=traceparent, baggage=baggage))
        await eventually(lambda: len(cluster.calls) == 3 and not cluster.running)

    async def test_subscribers_hear_it_in_the_trace_of_who_published(self, cluster: FakeCluster) -> None:
        await self.publish(cluster, SAMPLED)
        spans = recorded(cluster)
        await eventually(lambda: spans.under(SPAN_ID) == ["trigger f", "trigger g"])
        f, g = spans.named("trigger f"), spans.named("trigger g")
        assert "iii.condition" not in said(f)
        assert said(g)["iii.condition"] == "refused"
        contexts = [(call.function, call.traceparent) for call in cluster.calls]
        assert ("f", context_of(f)) in contexts
        assert ("no", context_of(g)) in contexts
        assert ("no", SAMPLED[0]) in contexts  # deliveries to functions that look at traces have no spans

    @pytest.mark.parametrize("trace", [UNSAMPLED, (b"", b"")])
    async def test_without_a_recorded_trace_nothing_is_told(
        self, cluster: FakeCluster, trace: tuple[bytes, bytes]
    ) -> None:
        await self.publish(cluster, trace)
        assert recorded(cluster).names() == []
        assert {(call.traceparent, call.baggage) for call in cluster.calls} == {trace}


class TestTimers:
    async def spans_of(self, cluster: FakeCluster, url: str, answer: object) -> list[Span]:
        await module(cluster, "iii-cron", Role.SHARD, url)
        cluster.register("f", lambda _event: None)
        cluster.register("check", lambda _event: answer)
        config = b'{"expression":"* * * * * *","condition_function_id":"check"}'
        cluster.put(Trigger("tick", "cron", "f", config))
        spans = recorded(cluster)
        return await eventually(spans.all)  # type: ignore[no-any-return]

    async def test_each_run_is_the_root_of_a_trace(self, cluster: FakeCluster, valkey: ValkeyServer) -> None:
        span = (await self.spans_of(cluster, valkey.url, True))[0]
        assert (span.name, span.parent_span_id, span.kind) == ("call f", None, Kind.PRODUCER)
        attributes = said(span)
        assert (attributes["job_id"], attributes["faas.trigger"], attributes["function_id"]) == ("tick", "timer", "f")
        check, call = cluster.calls[:2]
        assert check.traceparent == call.traceparent == context_of(span)

    async def test_a_run_that_its_condition_prevents_says_so(self, cluster: FakeCluster, valkey: ValkeyServer) -> None:
        span = (await self.spans_of(cluster, valkey.url, False))[0]
        assert said(span)["iii.condition"] == "refused"
        assert cluster.called("f") == []
