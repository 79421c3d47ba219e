"""Functions that return nothing: whether, and how long, a stream is waited for."""

import asyncio

import pytest

from gateway.http import patience
from tests.support.http_app import FakeCluster
from tests.support.http_worker import BODY, Worker, read_to_end


async def test_a_channel_that_is_opened_after_the_function_returned_is_waited_for() -> None:
    cluster = FakeCluster()
    worker = Worker(cluster)
    async with cluster.asking("GET", "/a") as client:
        request = await worker.called()
        worker.returns(None)
        await asyncio.sleep(0.01)
        writer = cluster.writer(request)
        await writer.send(BODY, False)
        writer.close()
    assert client.body == BODY


async def test_who_has_streamed_before_has_more_time(monkeypatch: pytest.MonkeyPatch) -> None:
    cluster = FakeCluster()
    worker = Worker(cluster)
    async with cluster.asking("GET", "/a"):
        (await worker.opened()).close()
    monkeypatch.setattr(patience, "GRACE", 0.0)
    monkeypatch.setattr(patience, "GRACE_QUIET", 0.0)
    async with cluster.asking("GET", "/a") as client:
        request = await worker.called()
        worker.returns(None)
        await asyncio.sleep(0.05)
        writer = cluster.writer(request)
        await writer.send(BODY, False)
        writer.close()
    assert client.body == BODY


async def test_who_has_returned_nothing_before_has_less_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(patience, "GRACE", 0.0)
    monkeypatch.setattr(patience, "GRACE_QUIET", 0.0)
    cluster = FakeCluster()
    cluster.route("a", lambda _: None)
    for _ in range(30):
        assert (await cluster.ask("GET", "/a")).json == {}
    monkeypatch.setattr(patience, "GRACE", 3600.0)
    assert (await cluster.ask("GET", "/a")).json == {}


async def test_an_empty_object_is_an_answer_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    for grace in ("GRACE", "GRACE_QUIET", "GRACE_STREAMS"):
        monkeypatch.setattr(patience, grace, 3600.0)
    cluster = FakeCluster()
    cluster.route("a", lambda _: {})
    assert (await cluster.ask("GET", "/a")).json == {}


async def test_who_reads_the_body_has_more_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(patience, "GRACE", 0.0)
    cluster = FakeCluster()
    worker = Worker(cluster, method="POST")
    async with cluster.asking("POST", "/a", body=BODY) as client:
        request = await worker.called()
        reader = cluster.reader(request)
        worker.returns(None)
        await asyncio.sleep(0.05)
        assert await read_to_end(reader.receive) == ([BODY], 1000)
        writer = cluster.writer(request)
        await writer.send(BODY, False)
        writer.close()
    assert client.body == BODY


async def test_who_has_read_the_body_has_no_more_time_than_others(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(patience, "GRACE", 0.0)
    monkeypatch.setattr(patience, "GRACE_STREAMS", 3600.0)
    cluster = FakeCluster()
    worker = Worker(cluster, method="POST")
    async with cluster.asking("POST", "/a", body=BODY) as client:
        await read_to_end(cluster.reader(await worker.called()).receive)
        worker.returns(None)
    assert client.json == {}
