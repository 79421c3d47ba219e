"""One trace through real processes, whatever it comes through: what functions are given, and what is kept of it."""

import secrets
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from typing import Any

import pytest

from tests.support.cluster import Cluster
from tests.support.eventually import eventually
from tests.support.http_peer import HttpPeer, http_peer, request
from tests.support.raw import Frame, RawWorker, known, raw_worker

NAMES = ("first", "job", "changed", "streamed", "heard", "check")


class Line:
    """Workers at both gateways, and functions that tests answer by hand: the next step is taken in between."""

    def __init__(self, here: RawWorker, there: RawWorker, client: HttpPeer, unique: str) -> None:
        self.here = here
        self.there = there
        self.client = client
        self.unique = unique
        self.trace_id = secrets.token_hex(16)
        self.origin = f"00-{self.trace_id}-{secrets.token_hex(8)}-01"

    def name(self, function: str) -> str:
        return f"{self.unique}::{function}"

    async def prepare(self) -> None:
        """All functions at the second gateway, but the condition; triggers of every kind there, too."""
        await self.here.register(self.name("check"), lambda _frame: True)
        for function in NAMES[:-1]:
            await self.there.register(self.name(function))
        path = {"api_path": self.unique, "http_method": "GET"}
        await self.trigger("http", "first", path)
        await self.trigger("state", "changed", {"scope": self.unique, "condition_function_id": self.name("check")})
        await self.trigger("stream", "streamed", {"stream_name": self.unique})
        await self.trigger("subscribe", "heard", {"topic": self.unique})
        for worker in (self.here, self.there):
            await known(worker, *map(self.name, NAMES))

    async def trigger(self, type: str, function: str, config: dict[str, Any]) -> None:
        id = f"{self.unique}-{type}"
        await self.there.send(
            "registertrigger", id=id, trigger_type=type, function_id=self.name(function), config=config
        )

    async def called(self, function: str) -> Frame:
        return await self.there.expect("invokefunction", function_id=self.name(function))

    async def until_heard(self) -> None:
        """Gateways learn of subscriptions a moment later than they are registered."""

        async def heard() -> bool:
            await self.there.call("publish", {"topic": self.unique, "data": "probe"})
            return any(frame.get("function_id") == self.name("heard") for frame in self.there.frames)

        await eventually(heard)
        self.there.frames.clear()

    async def kept(self, *names: str, trace_id: str = "") -> dict[str, dict[str, Any]]:
        """Spans of the trace by id, as soon as there are these."""

        async def all_there() -> dict[str, dict[str, Any]]:
            tree = await self.here.call("engine::traces::tree", {"trace_id": trace_id or self.trace_id})
            spans: dict[str, dict[str, Any]] = {}
            waiting = list(tree["roots"])
            while waiting:
                span = waiting.pop()
                waiting += span.pop("children")
                spans[span["span_id"]] = span
            missing = set(names) - {span["name"] for span in spans.values()}
            assert not missing, f"{missing} are not among {sorted(span['name'] for span in spans.values())}"
            return spans

        found: dict[str, dict[str, Any]] = await eventually(all_there)
        return found


def trace_of(frame: Frame) -> dict[str, Any]:
    """What a worker's calls pass on of the call that they are made in."""
    return {"traceparent": frame["traceparent"]}


def above(spans: dict[str, dict[str, Any]], frame: Frame) -> list[str]:
    """Names of the spans that a call was made in, the innermost first."""
    names, id = [], frame["traceparent"].split("-")[2]
    while id in spans:
        names.append(spans[id]["name"])
        id = spans[id]["parent_span_id"]
    return names


@pytest.fixture
async def line(shared_cluster: Cluster, unique: str) -> AsyncIterator[Line]:
    first, second = shared_cluster.gateways
    async with AsyncExitStack() as stack:
        here = await stack.enter_async_context(raw_worker(first.url))
        there = await stack.enter_async_context(raw_worker(second.url))
        client = await stack.enter_async_context(http_peer(first.ports["http"]))
        line = Line(here, there, client, unique)
        await line.prepare()
        yield line


async def test_a_request_is_one_trace_through_queue_state_stream_and_topic(line: Line) -> None:
    unique, name, there = line.unique, line.name, line.there
    await line.until_heard()

    async def served() -> bool:
        return (await line.client.ask("OPTIONS", f"/{unique}")).status != 404

    await eventually(served)
    await line.client.send(request("GET", f"/{unique}", traceparent=line.origin))
    first = await line.called("first")
    queue = {"type": "enqueue", "queue": "default"}
    await there.call(name("job"), {"n": 1}, action=queue, **trace_of(first))
    await there.answer(first, {"status_code": 202})
    assert (await line.client.answer()).status == 202

    job = await line.called("job")
    await there.call("state::set", {"scope": unique, "key": "k", "value": 1}, **trace_of(job))
    await there.answer(job)
    changed = await line.called("changed")
    where = {"stream_name": unique, "group_id": "g", "item_id": "1", "data": 1}
    await there.call("stream::set", where, **trace_of(changed))
    streamed = await line.called("streamed")
    await there.call("publish", {"topic": unique, "data": 1}, **trace_of(streamed))
    heard = await line.called("heard")
    for frame in (changed, streamed, heard):
        await there.answer(frame)

    frames = [first, job, changed, streamed, heard]
    assert {frame["traceparent"].split("-")[1] for frame in frames} == {line.trace_id}
    assert len({frame["traceparent"] for frame in frames}) == len(frames)
    around = ("state_triggers", "stream_triggers", f"GET /{unique}", f"trigger {name('heard')}", "fn_queue default")
    spans = await line.kept(*around)
    chain = [name_ for name_ in above(spans, heard) if not name_.startswith("call ")]
    assert chain == [
        f"trigger {name('heard')}",
        f"trigger {name('streamed')}",
        "stream_triggers",
        f"trigger {name('changed')}",
        "state_triggers",
        "fn_queue default",
        f"enqueue {name('job')} → default",
        f"GET /{unique}",
    ]
    calls = [name_ for name_ in above(spans, heard) if name_.startswith("call ")]
    assert [call for call in calls if unique not in call] == ["call publish", "call stream::set", "call state::set"]
    assert f"call {name('check')}" in {span["name"] for span in spans.values()}
    whole = above(spans, heard)
    for frame in frames:
        names = above(spans, frame)
        assert names
        assert names == whole[-len(names) :]


async def test_what_is_not_sampled_arrives_as_it_was_sent(line: Line) -> None:
    unique, there = line.unique, line.there
    context: dict[str, Any] = {"traceparent": line.origin[:-2] + "00", "baggage": "user=ana"}
    await there.call(line.name("job"), 1, action={"type": "enqueue", "queue": "default"}, **context)
    await there.call("state::set", {"scope": unique, "key": "k", "value": 1}, **context)
    await there.call("stream::set", {"stream_name": unique, "group_id": "g", "item_id": "1", "data": 1}, **context)
    for function in ("job", "changed", "streamed"):
        frame = await line.called(function)
        assert {key: frame[key] for key in context} == context
        await there.answer(frame)


async def test_each_run_of_a_timer_is_a_trace_of_its_own(line: Line) -> None:
    await line.trigger("cron", "first", {"expression": "* * * * * *"})
    frames: list[Frame] = []
    while len(frames) < 2:
        frames.append(await line.called("first"))
        await line.there.answer(frames[-1])
    ids = {frame["traceparent"].split("-")[1] for frame in frames}
    assert len(ids) == 2
    run = f"call {line.name('first')}"
    for frame in frames:
        spans = await line.kept(run, trace_id=frame["traceparent"].split("-")[1])
        assert above(spans, frame) == [run]
        (span,) = spans.values()
        assert dict(span["attributes"])["job_id"] == f"{line.unique}-cron"
