"""Responses that go through channels."""

import asyncio
import json
from typing import Any

import pytest

from gateway.channels.ends import ChannelClosed
from gateway.http import streaming
from tests.support.eventually import eventually
from tests.support.http_app import Client, FakeCluster
from tests.support.http_worker import BODY, Worker, control


async def test_status_headers_and_pieces_of_the_body_are_what_is_written() -> None:
    cluster = FakeCluster()
    worker = Worker(cluster)
    async with cluster.asking("GET", "/a") as client:
        writer = await worker.opened()
        await writer.send(control(type="set_status", status_code=206), True)
        headers = {"Content-Type": "text/event-stream", "x-bad": 3, "x y": "1", "content-length": "1"}
        await writer.send(control(type="set_headers", headers=headers), True)
        await writer.send(b"data: 1\n\n", False)
        await eventually(lambda: client.pieces == [b"data: 1\n\n"])
        assert not client.complete
        await writer.send(control(type="set_status", status_code=500), True)  # too late
        await writer.send(b"data: 2\n\n", False)
        writer.close()
        worker.returns()
    assert client.status == 206
    assert client.headers == [
        ("content-type", "text/event-stream"),
        ("access-control-allow-origin", "*"),
        ("access-control-expose-headers", "*"),
    ]
    assert client.complete
    assert client.body == b"data: 1\n\ndata: 2\n\n"
    assert len(cluster.home) == 0


async def written(*messages: tuple[bytes, bool]) -> Client:
    """The response to these, and the end of the stream."""
    cluster = FakeCluster()
    worker = Worker(cluster)
    async with cluster.asking("GET", "/a") as client:
        writer = await worker.opened()
        for data, text in messages:
            await writer.send(data, text)
        writer.close()
    assert client.complete
    return client


@pytest.mark.parametrize(
    ("status", "expected"),
    [(200, 200), (599, 599), (204, 204), (99, 418), (600, 418), ("201", 418), (None, 418), (201.0, 418), (True, 418)],
)
async def test_statuses_out_of_range_are_ignored(status: Any, expected: int) -> None:
    first, second = control(type="set_status", status_code=418), control(type="set_status", status_code=status)
    assert (await written((first, True), (second, True))).status == expected


async def test_an_interim_status_is_taken_but_not_sent() -> None:
    assert (await written((control(type="set_status", status_code=100), True), (b"x", False))).status == 200


async def test_later_headers_replace_earlier_ones_of_the_same_name() -> None:
    client = await written(
        (control(type="set_headers", headers={"X-A": "1", "X-B": "1"}), True),
        (control(type="set_headers", headers={"x-a": "2", "x-b": 3}), True),
        (control(type="set_headers", headers=["x-a: 3"]), True),
    )
    assert (client.header("x-a"), client.header("x-b")) == ("2", "1")


async def test_other_messages_are_ignored() -> None:
    texts = [b"", b"{", b"3", b"null", control(type="set_weather"), control(status_code=500), b"[" * 100_000]
    client = await written(*((text, True) for text in texts), (BODY, False))
    assert (client.status, client.body) == (200, BODY)


async def test_a_stream_that_ends_without_a_body_is_an_empty_body() -> None:
    client = await written((control(type="set_status", status_code=202), True))
    assert (client.status, client.body, client.header("content-length")) == (202, b"", "0")


async def test_what_is_returned_before_the_first_piece_is_the_response() -> None:
    cluster = FakeCluster()
    worker = Worker(cluster)
    async with cluster.asking("GET", "/a") as client:
        writer = await worker.opened()
        await writer.send(control(type="set_status", status_code=500), True)
        worker.returns({"status_code": 201, "body": "mine"})
    assert (client.status, client.json) == (201, "mine")
    with pytest.raises(ChannelClosed):
        await writer.send(b"late", False)


async def test_what_is_in_the_channel_already_comes_before_what_is_returned() -> None:
    cluster = FakeCluster()
    worker = Worker(cluster)
    async with cluster.asking("GET", "/a") as client:
        writer = await worker.opened()
        await writer.send(BODY, False)
        worker.returns({"body": "ignored"})
        writer.close()
    assert client.body == BODY


async def test_an_error_before_the_first_piece_is_500() -> None:
    cluster = FakeCluster()
    worker = Worker(cluster)
    async with cluster.asking("GET", "/a") as client:
        writer = await worker.opened()
        await writer.send(control(type="set_status", status_code=201), True)
        worker.returns(error=b'{"code":"BROKE","message":"m"}')
    assert (client.status, client.json["error"]["code"]) == (500, "BROKE")


@pytest.mark.parametrize("error", ["BROKE", "invocation_stopped"])
@pytest.mark.parametrize(
    ("code", "complete"), [(1000, True), (4001, True), (1011, False), (1012, False), (None, False)]
)
async def test_after_the_first_piece_only_the_end_of_the_channel_tells_whether_the_response_is_complete(
    error: str,
    code: int | None,
    complete: bool,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    monkeypatch.setattr(streaming, "AFTER_FAILURE", 0.0 if code is None else 3600.0)
    cluster = FakeCluster()
    worker = Worker(cluster)
    async with cluster.asking("GET", "/a") as client:
        writer = await worker.opened()
        await writer.send(BODY, False)
        await eventually(lambda: client.pieces)
        worker.returns(error=json.dumps({"code": error, "message": "secret"}).encode())
        if code is not None:
            await writer.send(BODY, False)
            writer.close(code)
    assert (client.status, client.complete) == (200, complete)
    assert client.body == (BODY if code is None else BODY * 2)
    response = "complete" if complete else "cut"
    assert lines(caplog) == [f"action=http_stream_failed code={error} function='GET a' response={response}"]


def lines(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [message for message in caplog.messages if message.startswith("action=http_stream")]


async def test_a_function_that_fails_after_it_has_closed_its_channel_is_logged(
    caplog: pytest.LogCaptureFixture,
) -> None:
    cluster = FakeCluster()
    worker = Worker(cluster)
    async with cluster.asking("GET", "/a") as client:
        writer = await worker.opened()
        await writer.send(BODY, False)
        writer.close()
    worker.returns(error=b'{"code":"BROKE","message":"secret"}')
    assert (client.body, client.complete) == (BODY, True)
    assert lines(caplog) == ["action=http_stream_failed code=BROKE function='GET a' response=complete"]


@pytest.mark.parametrize("code", [b"invocation_stopped", b"BROKE"])
async def test_what_was_written_before_a_failure_is_sent_however_slow_the_client(
    monkeypatch: pytest.MonkeyPatch, code: bytes
) -> None:
    monkeypatch.setattr(streaming, "AFTER_FAILURE", 0.0)
    cluster = FakeCluster()
    worker = Worker(cluster)
    async with cluster.asking("GET", "/a") as client:
        writer = await worker.opened()
        await writer.send(BODY, False)
        await eventually(lambda: client.pieces)
        client.reads.clear()
        for _ in range(10):
            await writer.send(BODY, False)
        writer.close()
        worker.returns(error=b'{"code":"%b","message":"m"}' % code)
        await asyncio.sleep(0.02)
        client.reads.set()
    assert (client.body, client.complete) == (11 * BODY, True)


@pytest.mark.parametrize("value", [None, {"body": "ignored"}])
async def test_a_stream_that_begins_as_its_function_returns_goes_on(value: object) -> None:
    cluster = FakeCluster()
    worker = Worker(cluster)
    async with cluster.asking("GET", "/a") as client:
        writer = await worker.opened()
        for _ in range(10):
            await asyncio.sleep(0)  # the channel is waited for
        worker.returns(value)
        await writer.send(b"1", False)
        await eventually(lambda: client.pieces)
        await writer.send(b"2", False)
        writer.close()
    assert (client.body, client.complete) == (b"12", True)


async def test_a_stream_that_is_cut_is_not_completed(caplog: pytest.LogCaptureFixture) -> None:
    cluster = FakeCluster()
    worker = Worker(cluster)
    async with cluster.asking("GET", "/a") as client:
        writer = await worker.opened()
        await writer.send(BODY, False)
        writer.close(1011, "gateway lost")
    assert (client.status, client.body, client.complete) == (200, BODY, False)
    assert lines(caplog) == ["action=http_stream_cut code=1011 reason='gateway lost' function='GET a'"]


async def test_a_stream_that_is_cut_before_its_head_is_500() -> None:
    for value, status in ((None, 500), ({"status_code": 202}, 202)):
        cluster = FakeCluster()
        worker = Worker(cluster)
        async with cluster.asking("GET", "/a") as client:
            writer = await worker.opened()
            await writer.send(control(type="set_status", status_code=201), True)
            writer.close(1011, "gateway lost")
            worker.returns(value)
        assert client.status == status


async def test_a_head_that_does_not_come_in_time_is_504_and_closes_the_channel() -> None:
    cluster = FakeCluster(default_timeout=50)
    worker = Worker(cluster)
    async with cluster.asking("GET", "/a") as client:
        writer = await worker.opened()
        await eventually(lambda: client.complete)
    assert client.status == 504
    with pytest.raises(ChannelClosed):
        await writer.send(BODY, False)


async def test_a_stream_whose_head_is_sent_has_no_time_limit() -> None:
    cluster = FakeCluster()
    worker = Worker(cluster)
    async with cluster.asking("GET", "/a") as client:
        writer = await worker.opened()
        assert cluster.app._edge.deadlines._entries
        await writer.send(BODY, False)
        await eventually(lambda: client.pieces)
        assert not cluster.app._edge.deadlines._entries
        writer.close()
    assert client.complete


async def test_a_slow_client_makes_the_worker_wait() -> None:
    cluster = FakeCluster()
    worker = Worker(cluster)
    async with cluster.asking("GET", "/a") as client:
        client.reads.clear()
        writer = await worker.opened()
        sent = 0

        async def write() -> None:
            nonlocal sent
            for _ in range(500):
                await writer.send(b"x" * 100, False)
                sent += 1
            writer.close()

        writing = asyncio.create_task(write())
        await eventually(lambda: sent >= 64)
        for _ in range(100):
            await asyncio.sleep(0)
        assert sent < 80
        client.reads.set()
        await writing
    assert len(client.body) == 500 * 100


async def test_a_client_that_goes_closes_the_channel() -> None:
    cluster = FakeCluster()
    worker = Worker(cluster)
    async with cluster.asking("GET", "/a") as client:
        writer = await worker.opened()
        await writer.send(BODY, False)
        await eventually(lambda: client.pieces)
        client.more(None)
    with pytest.raises(ChannelClosed):
        await writer.send(BODY, False)
    assert not client.complete
    assert len(cluster.home) == 0


async def test_a_client_that_goes_before_the_head_is_not_answered() -> None:
    cluster = FakeCluster()
    worker = Worker(cluster)
    async with cluster.asking("GET", "/a") as client:
        await worker.opened()
        client.more(None)
    assert client.head == {}


async def test_head_of_a_stream_has_no_body_and_ends_it() -> None:
    cluster = FakeCluster()
    worker = Worker(cluster)
    async with cluster.asking("HEAD", "/a") as client:
        writer = await worker.opened()
        await writer.send(BODY, False)
    assert (client.status, client.body, client.complete) == (200, b"", True)
    with pytest.raises(ChannelClosed):
        await writer.send(BODY, False)


async def test_several_cookies_can_be_set_by_a_stream() -> None:
    cookies = control(type="set_headers", headers={"Set-Cookie": ["a=1", "b=2"], "x-bad": ["a", 3]})
    client = await written((cookies, True), (BODY, False))
    assert [value for name, value in client.headers if name == "set-cookie"] == ["a=1", "b=2"]
    assert client.header("x-bad") is None
