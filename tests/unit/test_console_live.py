"""Live sockets, without a cluster."""

import asyncio
import json
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidStatus

from coordinator.console import live
from coordinator.console.failure import Failure
from tests.support.console import TOKEN, Standing, bearer, standing
from tests.support.eventually import eventually


@asynccontextmanager
async def socket(one: Standing, path: str = "/live", **options: Any) -> AsyncIterator[ClientConnection]:
    async with connect(f"ws://127.0.0.1:{one.port.port}{path}", proxy=None, ping_interval=None, **options) as opened:
        yield opened


async def say(opened: ClientConnection, **said: Any) -> None:
    await opened.send(json.dumps(said))


async def hear(opened: ClientConnection) -> dict[str, Any]:
    heard: dict[str, Any] = json.loads(await asyncio.wait_for(opened.recv(), 20))
    return heard


async def test_what_is_watched_is_sent_at_once_and_when_it_has_changed() -> None:
    async with standing() as one, socket(one) as opened:
        await say(opened, watch=["news"])
        assert await hear(opened) == {"topic": "news", "data": {"count": 0}}
        looks = one.looks
        await eventually(lambda: one.looks > looks + 3)  # nothing has changed, nothing is sent
        one.news = {"count": 1}
        assert await hear(opened) == {"topic": "news", "data": {"count": 1}}


async def test_each_version_is_sent_with_the_filter_it_is_of_as_its_viewer_said_it() -> None:
    async with standing() as one, socket(one) as first, socket(one) as second:
        filters = {"limit": "5", "name": ""}, {"limit": 5}
        for opened, said in zip((first, second), filters, strict=True):
            await say(opened, watch=["paged"], filters={"paged": said})
            assert await hear(opened) == {"topic": "paged", "data": {"count": 0}, "filter": said}
        assert len(one.live._feeds) == 1
        await say(first, watch=["paged"], filters={"paged": {"limit": 6}})
        assert (await hear(first))["filter"] == {"limit": 6}
        await say(first, watch=["paged"])
        assert "filter" not in await hear(first)


async def test_what_only_the_clock_has_changed_is_not_sent_again() -> None:
    async with standing() as one, socket(one) as opened:
        one.news = {"count": 1, "timestamp": 1}
        await say(opened, watch=["news"])
        await hear(opened)
        one.news = {"count": 1, "timestamp": 2}
        looks = one.looks
        await eventually(lambda: one.looks > looks + 3)
        one.news = {"count": 2, "timestamp": 3}
        assert (await hear(opened))["data"] == {"count": 2, "timestamp": 3}


async def test_several_who_watch_the_same_cost_one_look_and_nobody_none() -> None:
    async with standing() as one:
        async with socket(one) as first, socket(one) as second:
            for opened in (first, second):
                await say(opened, watch=["news"])
                await hear(opened)
            assert len(one.live._feeds) == 1
            await say(first, watch=[])
            await first.send("not json")  # answered when the frame before was read
            assert (await hear(first))["error"]["code"] == "bad_request"
            assert len(one.live._feeds) == 1
        await eventually(lambda: len(one.live) == 0)
        assert len(one.live._feeds) == 0
        looks = one.looks
        await asyncio.sleep(0)
        assert one.looks == looks


async def test_failures_are_told_once_until_they_change() -> None:
    async def away() -> bytes:
        one.looks += 1
        raise Failure(503, "unavailable", "Redis is away")

    async with standing() as one, socket(one) as opened:
        works, one.fetch = one.fetch, away
        await say(opened, watch=["news"])
        assert await hear(opened) == {"topic": "news", "error": {"code": "unavailable", "message": "Redis is away"}}
        await eventually(lambda: one.looks > 3)
        one.fetch = works
        assert "data" in await hear(opened)


@pytest.mark.parametrize(
    "frame",
    [
        "",
        "[]",
        b"\xff\x00",
        json.dumps({"watch": ["nothing"]}),
        json.dumps({"watch": ["news"], "filters": {"news": {"unknown": 1}}}),
        '{"filters": {"news": {"x": ' + "[" * 20_000 + "]" * 20_000 + "}}}",
        json.dumps({"watch": [f"n{n}" for n in range(live.MAX_WATCHED + 1)]}),
    ],
)
async def test_bad_frames_are_answered_and_change_nothing(frame: str | bytes) -> None:
    async with standing() as one, socket(one) as opened:
        await say(opened, watch=["news"])
        await hear(opened)
        await opened.send(frame)
        answer = await hear(opened)
        assert (answer["topic"], answer["error"]["code"]) == ("", "bad_request")
        one.news = {"count": 1}
        assert (await hear(opened))["data"] == {"count": 1}


async def test_a_frame_that_is_too_long_ends_its_socket_only() -> None:
    async with standing() as one, socket(one) as other:
        await say(other, watch=["news"])
        await hear(other)
        async with socket(one) as opened:
            await opened.send("x" * (live.MAX_FRAME + 1))
            with pytest.raises(ConnectionClosed):
                await hear(opened)
        one.news = {"count": 1}
        assert (await hear(other))["data"] == {"count": 1}


async def test_sockets_of_other_pages_and_other_paths_are_refused(caplog: pytest.LogCaptureFixture) -> None:
    async with standing() as one:
        for options in (
            {"origin": "http://evil.example"},
            {"additional_headers": {"Origin": "null"}},
            {"path": "/other"},
        ):
            with pytest.raises(InvalidStatus) as refused:
                async with socket(one, **options):
                    pass
            assert refused.value.response.status_code in (403, 404)
        assert not [record for record in caplog.records if record.levelno >= logging.WARNING]
        async with socket(one, origin=f"http://127.0.0.1:{one.port.port}") as opened:
            await say(opened, watch=["news"])
            await hear(opened)


async def test_sockets_beyond_the_limit_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(live, "MAX_SOCKETS", 2)
    async with standing() as one:
        async with socket(one), socket(one):
            with pytest.raises(InvalidStatus) as refused:
                async with socket(one):
                    pass
            assert refused.value.response.status_code == 503
        await eventually(lambda: len(one.live) == 0)
        async with socket(one):
            pass


async def test_elsewhere_the_first_frame_shows_a_token() -> None:
    async with standing(console_host="0.0.0.0", console_tokens=(TOKEN,)) as one:
        async with socket(one) as opened:
            await say(opened, watch=["news"], token=TOKEN)
            assert (await hear(opened))["topic"] == "news"
        async with socket(one, additional_headers=bearer()) as opened:
            await say(opened, watch=["news"])
            assert (await hear(opened))["topic"] == "news"
        for said in ({"watch": ["news"]}, {"watch": ["news"], "token": "wrong"}):
            async with socket(one) as opened:
                await say(opened, **said)
                with pytest.raises(ConnectionClosed) as closed:
                    await hear(opened)
                assert closed.value.rcvd is not None
                assert closed.value.rcvd.code == live.UNKNOWN_TOKEN


async def changes(one: Standing, opened: ClientConnection) -> None:
    """For ever."""
    while True:
        one.news = {"count": one.looks}
        await hear(opened)


async def test_who_shows_a_token_that_is_taken_back_is_sent_away(tmp_path: Path) -> None:
    file = tmp_path / "tokens"
    file.write_text(TOKEN)
    async with standing(console_host="0.0.0.0", console_tokens_file=str(file)) as one, socket(one) as opened:
        await say(opened, watch=["news"], token=TOKEN)
        await hear(opened)
        file.write_text("another-token-of-the-console")
        with pytest.raises(ConnectionClosed) as closed:
            await changes(one, opened)
        assert closed.value.rcvd is not None
        assert closed.value.rcvd.code == live.UNKNOWN_TOKEN


async def test_what_all_watch_together_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(live, "MAX_KEPT", 1000)
    async with standing() as one, socket(one) as opened:
        one.news = "x" * 600
        await say(opened, watch=["n1"])
        assert (await hear(opened))["data"] == one.news
        await say(opened, watch=["n1", "n2"])
        refused = await hear(opened)
        assert (refused["topic"], refused["error"]["code"]) == ("n2", "unavailable")
        await say(opened, watch=["n2"])
        assert await hear(opened) == {"topic": "n2", "data": one.news}


async def test_who_says_nothing_is_sent_away(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(live, "FIRST_FRAME", 0.05)
    async with standing() as one, socket(one) as opened:
        with pytest.raises(ConnectionClosed):
            await hear(opened)


async def test_a_slow_reader_gets_the_newest_version_and_no_heap_of_old_ones() -> None:
    sent: list[str] = []
    reads = asyncio.Semaphore(0)

    async def send(message: dict[str, Any]) -> None:
        await reads.acquire()
        sent.append(message["text"])

    async def receive() -> dict[str, Any]:
        raise AssertionError

    async with standing() as one:
        viewer = live.Viewer(receive, send)
        writing = asyncio.create_task(viewer.write(lambda: True))
        feeds = one.live._feeds
        viewer.watches(feeds.watch(viewer, live.Watch(["news"])), {})
        for count in range(1, 30):
            one.news = {"count": count, "text": "x" * 100_000}
            looks = one.looks
            await eventually(lambda looks=looks: one.looks > looks + 1)  # type: ignore[misc]
        assert len(viewer._due) == 1
        assert sent == []
        for _ in range(2):
            reads.release()
        await eventually(lambda: len(sent) == 2)
        assert json.loads(sent[0])["data"]["count"] <= 1  # was on its way
        assert json.loads(sent[1])["data"]["count"] == 29
        writing.cancel()
        await asyncio.gather(writing, return_exceptions=True)
        feeds.leave(viewer, [])


async def test_a_reader_that_reads_nothing_does_not_keep_the_others_waiting() -> None:
    async with standing() as one, socket(one) as other, socket(one) as stuck:
        stuck.transport.pause_reading()
        for opened in (stuck, other):
            await say(opened, watch=["news"])
        for count in range(1, 40):
            one.news = {"count": count, "text": "x" * 500_000}
            while (await hear(other))["data"]["count"] != count:
                pass
        stuck.transport.abort()


async def test_sockets_are_told_that_the_server_goes_away() -> None:
    async with standing() as one, socket(one) as opened:
        await say(opened, watch=["news"])
        await hear(opened)
        await one.port.stop()
        with pytest.raises(ConnectionClosed) as closed:
            await hear(opened)
        assert closed.value.rcvd is not None
        assert closed.value.rcvd.code == 1012
