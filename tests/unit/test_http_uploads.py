"""Bodies of requests that are read through channels."""

import asyncio

import pytest

from tests.support.eventually import eventually
from tests.support.http_app import FakeCluster
from tests.support.http_worker import BODY, Worker, read_to_end


@pytest.mark.parametrize("body", [b'{"a" : 1}', b"{broken"])
async def test_a_json_body_can_be_read_as_it_came_in_one_piece(body: bytes) -> None:
    cluster = FakeCluster()
    worker = Worker(cluster, method="POST")
    async with cluster.asking("POST", "/a", [("content-type", "application/json")], body):
        reader = cluster.reader(await worker.called())
        assert await read_to_end(reader.receive) == ([body], 1000)
        worker.returns({})


async def test_an_empty_json_body_ends_without_a_piece() -> None:
    cluster = FakeCluster()
    worker = Worker(cluster, method="POST")
    async with cluster.asking("POST", "/a", [("content-type", "application/json")]):
        reader = cluster.reader(await worker.called())
        assert await read_to_end(reader.receive) == ([], 1000)
        worker.returns({})


async def test_a_json_body_that_no_client_would_take_whole_comes_in_pieces() -> None:
    cluster = FakeCluster()
    worker = Worker(cluster, method="POST")
    body = b'"' + b"x" * 3 * 2**20 + b'"'
    async with cluster.asking("POST", "/a", [("content-type", "application/json")], body):
        reader = cluster.reader(await worker.called())
        pieces, code = await read_to_end(reader.receive)
        assert (b"".join(pieces) == body, code, max(map(len, pieces))) == (True, 1000, 2**16)
        worker.returns({})


async def test_other_bodies_are_streamed_in_pieces_and_answered_through_the_channel() -> None:
    cluster = FakeCluster()
    worker = Worker(cluster, method="POST")
    async with cluster.asking("POST", "/a", [], b"first", complete=False) as client:
        request = await worker.called()
        reader = cluster.reader(request)
        assert await reader.receive() == (b"first", False)
        client.more(b"x" * 100_000)
        assert await reader.receive() == (b"x" * 2**16, False)
        assert await reader.receive() == (b"x" * (100_000 - 2**16), False)
        client.more(b"last", last=True)
        assert await read_to_end(reader.receive) == ([b"last"], 1000)
        writer = cluster.writer(request)
        await writer.send(b"done", False)
        writer.close()
    assert client.body == b"done"


async def test_nothing_is_read_before_somebody_wants_it_and_no_more_than_fits() -> None:
    cluster = FakeCluster()
    worker = Worker(cluster, method="POST")
    async with cluster.asking("POST", "/a", [], b"x", complete=False) as client:
        request = await worker.called()
        for _ in range(500):
            client.more(b"x" * 2**15)
        client.more(b"", last=True)
        assert client.received == 0
        reader = cluster.reader(request)
        await eventually(lambda: client.received >= 30)
        for _ in range(100):
            await asyncio.sleep(0)
        assert client.received < 70
        pieces, code = await read_to_end(reader.receive)
        assert (len(b"".join(pieces)), code) == (1 + 500 * 2**15, 1000)
        worker.returns({})


async def test_a_body_that_grows_too_large_is_413_and_cut_for_its_reader() -> None:
    cluster = FakeCluster(upload_limit=20)
    worker = Worker(cluster, method="POST")
    async with cluster.asking("POST", "/a", [], BODY, complete=False) as client:
        reader = cluster.reader(await worker.called())
        client.more(BODY)
        client.more(b"!")
        pieces, code = await read_to_end(reader.receive)
    assert (b"".join(pieces), code) == (BODY * 2, 1011)
    assert (client.status, client.json["error"]["code"]) == (413, "PAYLOAD_TOO_LARGE")


async def test_a_client_that_goes_during_its_upload_cuts_it() -> None:
    cluster = FakeCluster()
    worker = Worker(cluster, method="POST")
    async with cluster.asking("POST", "/a", [], BODY, complete=False) as client:
        reader = cluster.reader(await worker.called())
        client.more(None)
        assert await read_to_end(reader.receive) == ([BODY], 1011)
    assert client.head == {}


async def test_a_body_that_nobody_finishes_reading_is_cut_by_the_answer() -> None:
    cluster = FakeCluster()
    worker = Worker(cluster, method="POST")
    async with cluster.asking("POST", "/a", [], BODY, complete=False) as client:
        reader = cluster.reader(await worker.called())
        assert await reader.receive() == (BODY, False)
        worker.returns({"status_code": 202})
        assert await read_to_end(reader.receive) == ([], 1011)
    assert client.status == 202


async def test_a_reader_that_goes_does_not_keep_the_function_from_answering() -> None:
    cluster = FakeCluster()
    worker = Worker(cluster, method="POST")
    async with cluster.asking("POST", "/a", [], BODY, complete=False) as client:
        reader = cluster.reader(await worker.called())
        reader.close()
        client.more(BODY)
        worker.returns({"body": 1})
    assert client.json == 1


async def test_an_empty_body_may_be_read_even_after_the_response_has_begun() -> None:
    cluster = FakeCluster()
    worker = Worker(cluster)
    async with cluster.asking("GET", "/a") as client:
        request = await worker.called()
        writer = cluster.writer(request)
        await writer.send(BODY, False)
        await eventually(lambda: client.received == 1)
        reader = cluster.reader(request)
        assert await read_to_end(reader.receive) == ([], 1000)
        writer.close()
    assert client.complete
