"""Traces through the modules: what a handler gets, and the spans between the cause and it."""

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any

import pytest

from iii_cluster.bus.envelopes import Trigger
from iii_cluster.cluster.slots import SLOTS
from iii_cluster.modules.events.outbox import stream_of
from iii_cluster.protocol.errors import EngineError
from tests.support.engine import FakeCall, FakeCluster
from tests.support.eventually import eventually
from tests.support.recorded import SAMPLED, SPAN_ID, TRACE_ID, UNSAMPLED, Spans, context_of, said, traces
from tests.support.state import StateGateway, StateStage, trigger
from tests.support.stream_client import stream_client
from tests.support.streams import StreamCluster, streams
from tests.support.valkey import ValkeyServer


@pytest.fixture
async def stage(valkey: ValkeyServer) -> AsyncIterator[StateStage]:
    stage = StateStage(valkey.url)
    yield stage
    await stage.close()


async def write(gateway: StateGateway, function: str, trace: tuple[bytes, bytes], **data: Any) -> None:
    await gateway.raw(f"state::{function}", json.dumps(data).encode(), trace)


def recorded(cluster: FakeCluster) -> Spans:
    return Spans(*(node.telemetry.spool for node in cluster.nodes))


def trace_of(call: FakeCall) -> tuple[bytes, bytes]:
    return call.traceparent, call.baggage


class TestState:
    @pytest.mark.parametrize("adapter", ["redis", "memory"])
    async def test_targets_are_called_in_the_trace_of_the_write(self, valkey: ValkeyServer, adapter: str) -> None:
        stage = StateStage(valkey.url, {"adapter": {"name": adapter}})
        await stage.shard()
        gateway = await stage.gateway()
        for name in ("f", "g", "check"):
            stage.cluster.register(name, lambda _event: None)
        stage.cluster.put(trigger("1", "f", condition_function_id="check"), trigger("2", "g", scope="s"))
        await write(gateway, "set", SAMPLED, scope="s", key="k", value=1)
        await eventually(lambda: len(stage.cluster.calls) == 3)
        spans = recorded(stage.cluster)
        await eventually(lambda: "state_triggers" in spans.names())
        around = spans.named("state_triggers")
        f, g = spans.named("trigger f"), spans.named("trigger g")
        assert (around.trace_id, around.parent_span_id) == (TRACE_ID, SPAN_ID)
        assert f.parent_span_id == g.parent_span_id == around.span_id
        assert len(spans.all()) == 3
        assert said(f)["function_id"] == "f"
        assert said(f)["iii.node.callee"] == "gateway-1"
        by_function = {call.function: call for call in stage.cluster.calls}
        assert trace_of(by_function["f"]) == (context_of(f), b'"user=ana,iii.function.id=f"')
        assert trace_of(by_function["g"]) == (context_of(g), b'"user=ana,iii.function.id=g"')
        assert by_function["check"].traceparent == context_of(f)
        assert {span.status for span in spans.all()} == {"ok"}
        await stage.close()

    async def test_every_kind_of_write_brings_its_context(self, stage: StateStage) -> None:
        await stage.shard()
        gateway = await stage.gateway()
        stage.cluster.register("f", lambda _event: None)
        stage.cluster.put(trigger("1", "f"))
        ops = [{"type": "increment", "path": "n", "by": 1}]
        await write(gateway, "set", UNSAMPLED, scope="s", key="k", value={"n": 1})
        await write(gateway, "update", UNSAMPLED, scope="s", key="k", ops=ops)
        await write(gateway, "delete", UNSAMPLED, scope="s", key="k")
        await write(gateway, "update", UNSAMPLED, scope="s", key="k", ops=ops)
        await write(gateway, "clear", UNSAMPLED, scope="s")
        await eventually(lambda: len(stage.cluster.calls) == 5)
        assert {trace_of(call) for call in stage.cluster.calls} == {UNSAMPLED}
        assert recorded(stage.cluster).names() == []

    async def test_what_is_written_without_a_context_has_no_spans(
        self, stage: StateStage, valkey: ValkeyServer
    ) -> None:
        await stage.shard()
        gateway = await stage.gateway()
        stage.cluster.register("f", lambda _event: None)
        stage.cluster.put(trigger("1", "f"))
        await gateway.set("s", "k", 1)
        await eventually(lambda: stage.cluster.calls)
        assert trace_of(stage.cluster.calls[0]) == (b"", b"")
        assert recorded(stage.cluster).names() == []

    async def test_a_condition_that_says_no_leaves_a_span_that_says_so(self, stage: StateStage) -> None:
        await stage.shard()
        gateway = await stage.gateway()
        stage.cluster.register("f", lambda _event: None)
        stage.cluster.register("no", lambda _event: False)
        stage.cluster.put(trigger("1", "f", condition_function_id="no"))
        await write(gateway, "set", SAMPLED, scope="s", key="k", value=1)
        spans = recorded(stage.cluster)
        await eventually(lambda: "state_triggers" in spans.names())
        assert said(spans.named("trigger f"))["iii.condition"] == "refused"
        assert stage.cluster.called("f") == []

    async def test_a_target_that_fails_is_an_error_in_the_trace(self, stage: StateStage) -> None:
        def fail(_event: Any) -> None:
            raise EngineError("NO", "not today")

        await stage.shard()
        gateway = await stage.gateway()
        stage.cluster.register("f", fail)
        stage.cluster.put(trigger("1", "f"))
        await write(gateway, "set", SAMPLED, scope="s", key="k", value=1)
        spans = recorded(stage.cluster)
        await eventually(lambda: "state_triggers" in spans.names())
        failed = spans.named("trigger f")
        assert (failed.status, said(failed)["error.type"]) == ("error", "NO")

    async def test_nobody_to_call_is_nothing_to_tell(self, stage: StateStage) -> None:
        await stage.shard()
        gateway = await stage.gateway()
        stage.cluster.register("f", lambda _event: None)
        stage.cluster.put(trigger("1", "f", scope="s"), trigger("2", "f", scope="other"))
        stage.cluster.drop("1")
        await write(gateway, "set", SAMPLED, scope="s", key="k", value=1)
        await write(gateway, "set", SAMPLED, scope="other", key="k", value=1)
        spans = recorded(stage.cluster)
        await eventually(lambda: spans.names() == ["trigger f", "state_triggers"])

    async def test_events_of_a_former_version_are_called_without_a_trace(
        self, stage: StateStage, valkey: ValkeyServer
    ) -> None:
        await stage.shard()
        stage.cluster.register("f", lambda _event: None)
        stage.cluster.put(trigger("1", "f"))
        event = '{"type":"state","event_type":"state:created","scope":"s","key":"k","old_value":null,"new_value":1}'
        stream = stream_of("{iii}", "state:7")
        valkey.execute("XADD", stream, "*", "k", "7", "t", '["1"]', "e", event)
        await eventually(lambda: stage.cluster.called("f"))
        assert trace_of(stage.cluster.calls[0]) == (b"", b"")

    async def test_a_former_version_finds_the_fields_it_knows_where_they_were(
        self, stage: StateStage, valkey: ValkeyServer
    ) -> None:
        await stage.shard(owner=False)
        gateway = await stage.gateway()
        stage.cluster.put(trigger("1", "f"))
        await write(gateway, "set", SAMPLED, scope="s", key="k", value=1)
        (stream,) = valkey.execute("KEYS", "{iii}:events:state:*")
        ((_id, fields),) = valkey.execute("XRANGE", stream, "-", "+")
        assert list(fields) == ["k", "t", "e", "c"]

    async def test_a_delivery_that_another_shard_takes_over_has_one_span(self, stage: StateStage) -> None:
        first = await stage.shard()
        gateway = await stage.gateway()
        free = asyncio.Event()

        async def slow(_event: Any) -> None:
            await free.wait()

        stage.cluster.register("f", slow)
        stage.cluster.register("g", lambda _event: None)
        stage.cluster.put(trigger("1", "f"), trigger("2", "g"))
        await write(gateway, "set", SAMPLED, scope="s", key="k", value=1)
        await eventually(lambda: stage.cluster.called("f"))
        second = await stage.shard(owner=False)
        first.ownership.take_away()
        second.ownership.give(range(SLOTS), 2)
        free.set()
        await eventually(lambda: stage.cluster.called("g"))
        spans = recorded(stage.cluster)
        await eventually(lambda: spans.names().count("state_triggers") == 2)
        assert said(spans.named("trigger f"))["iii.unfinished"] == "true"
        assert sorted(spans.names()) == ["state_triggers", "state_triggers", "trigger f", "trigger g"]
        assert traces(spans.all()) == {TRACE_ID}


class TestStreams:
    @pytest.fixture
    async def cluster(self, valkey: ValkeyServer) -> AsyncIterator[StreamCluster]:
        async with streams(valkey.url) as cluster:
            yield cluster

    @pytest.mark.parametrize("adapter", ["redis", "memory"])
    async def test_all_that_is_told_of_a_stream_is_in_the_trace_of_its_cause(
        self, cluster: StreamCluster, adapter: str
    ) -> None:
        config = {"adapter": {"name": adapter}}
        await cluster.shard(config)
        gateway = await cluster.gateway(config)
        cluster.cluster.register("f", lambda _event: None)
        cluster.cluster.put(Trigger("1", "stream", "f", b'{"stream_name":"chat"}'))
        where = {"stream_name": "chat", "group_id": "room", "item_id": "1"}
        ops = [{"type": "set", "path": "n", "value": 2}]
        for function, more in (("set", {"data": {"n": 1}}), ("update", {"ops": ops}), ("delete", {})):
            await gateway.call(f"stream::{function}", where | more, SAMPLED)
        sending = {"stream_name": "chat", "group_id": "room", "type": "wave", "data": 1}
        await gateway.call("stream::send", sending, SAMPLED)
        await eventually(lambda: len(cluster.cluster.calls) == 4)
        spans = recorded(cluster.cluster)
        await eventually(lambda: len(spans.all()) == 8)
        assert spans.under(SPAN_ID) == ["stream_triggers"] * 4
        told = {context_of(span) for span in spans.all() if span.name == "trigger f"}
        assert {call.traceparent for call in cluster.cluster.calls} == told

    async def test_hooks_are_called_in_the_trace_of_the_client(self, cluster: StreamCluster) -> None:
        gateway = await cluster.gateway({"auth_function": "auth"})
        for name in ("auth", "joined", "left"):
            cluster.cluster.register(name, lambda _event: None)
        cluster.cluster.put(Trigger("1", "stream:join", "joined"), Trigger("2", "stream:leave", "left"))
        headers = {"traceparent": f"00-{TRACE_ID}-{SPAN_ID}-01", "baggage": "user=ana"}
        async with stream_client(gateway.port, additional_headers=headers) as client:
            await client.follow("chat", "room")
        await eventually(lambda: cluster.cluster.called("left"))
        spans = recorded(cluster.cluster)
        await eventually(lambda: spans.under(SPAN_ID) == ["trigger joined", "trigger left"])
        calls = {call.function: call for call in cluster.cluster.calls}
        assert trace_of(calls["auth"]) == (SAMPLED[0], b'"user=ana"')
        assert calls["joined"].traceparent == context_of(spans.named("trigger joined"))
        assert calls["left"].traceparent == context_of(spans.named("trigger left"))

    @pytest.mark.parametrize("traceparent", ["", "nonsense", f"00-{TRACE_ID}-0000000000000000-01"])
    async def test_a_client_without_a_valid_context_begins_no_trace(
        self, cluster: StreamCluster, traceparent: str
    ) -> None:
        gateway = await cluster.gateway()
        cluster.cluster.register("joined", lambda _event: None)
        cluster.cluster.put(Trigger("1", "stream:join", "joined"))
        headers = {"traceparent": traceparent, "baggage": "user=ana"}
        async with stream_client(gateway.port, additional_headers=headers) as client:
            await client.follow("chat", "room")
        assert trace_of(cluster.cluster.calls[0]) == (b"", b"")
        assert recorded(cluster.cluster).names() == []
