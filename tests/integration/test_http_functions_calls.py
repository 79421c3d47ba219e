"""Calls of HTTP functions against a real server: what is sent, repeated, limited, and how it fails."""

import asyncio
import gzip
from collections.abc import Callable
from typing import Any

import pytest

from iii_cluster.modules.http_functions.credentials import signature
from tests.support.eventually import eventually
from tests.support.http_functions import OPEN, Calling, calling, hosts
from tests.support.http_target import Answer, Asked, HttpTarget, Reply, Reset, Silence, http_target
from tests.support.ports import release_port, reserve_port


def in_turn(*answers: Answer) -> Callable[[Asked], Answer]:
    """One after the other, the last one again and again."""
    left = list(answers)
    return lambda _: left.pop(0) if len(left) > 1 else left[0]


@pytest.mark.parametrize("method", ["GET", "POST", "PUT", "PATCH", "DELETE"])
async def test_the_input_is_sent_with_every_method_and_the_answer_is_the_result(method: str) -> None:
    async with http_target() as target, calling() as call:
        result = await call(target.url("/a?b=c"), {"ä": [1]}, method=method, headers={"X-Env": "prod"})
        assert result == {"ä": [1]}
        asked = target.asked[0]
        assert (asked.method, asked.path, asked.value) == (method, "/a?b=c", {"ä": [1]})
        assert asked.headers["content-type"] == "application/json"
        assert asked.headers["x-env"] == "prod"
        assert asked.headers["x-iii-function-path"] == "f"
        assert asked.headers["x-iii-invocation-id"] == "i-1"
        assert asked.headers["x-iii-timestamp"].isdigit()
        assert "cookie" not in asked.headers


async def test_receivers_can_verify_who_called() -> None:
    async with http_target() as target, calling() as call:
        await call(target.url(), {"a": 1}, auth={"type": "hmac", "secret_key": "SECRET"})
        await call(target.url(), {"a": 1}, auth={"type": "bearer", "token_key": "TOKEN"})
        await call(target.url(), {"a": 1}, auth={"type": "api_key", "header": "X-Key", "value_key": "TOKEN"})
        signed, bearer, key = target.asked
        assert signed.headers["x-iii-signature"] == signature(b"key", signed.headers["x-iii-timestamp"], signed.body)
        assert bearer.headers["authorization"] == "Bearer t0ken"
        assert key.headers["x-key"] == "t0ken"


async def test_connections_are_used_again_and_keep_no_cookies() -> None:
    async with http_target(Reply(headers={"Set-Cookie": "a=b; Path=/"})) as target, calling() as call:
        for _ in range(3):
            await call(target.url())
        assert target.connections == 1
        assert not any("cookie" in asked.headers for asked in target.asked)


async def test_no_proxy_is_used(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:1")
    async with http_target() as target, calling() as call:
        assert await call(target.url(), 1) == 1


# -- failures


async def test_who_does_not_listen_cannot_be_connected_to() -> None:
    port = reserve_port()
    try:
        async with calling() as call:
            code, message = await call.fails(f"http://127.0.0.1:{port}/?token=abc")
            assert code == "http_request_failed"
            assert message == f"could not connect to 127.0.0.1:{port}: Connection refused"
    finally:
        release_port(port)


async def test_who_does_not_answer_times_out() -> None:
    async with http_target(Silence()) as target, calling() as call:
        code, message = await call.fails(target.url(), timeout_ms=50)
        assert code == "http_request_failed"
        assert "timed out after 50 ms" in message
        assert len(target.asked) <= 1


class Slow(Reply):
    """A head and a part of the body; the rest never comes."""

    def __init__(self, begun: bytes) -> None:
        super().__init__()
        self.begun = begun

    def written(self) -> bytes:
        return self.begun


async def test_a_body_that_never_ends_times_out_too() -> None:
    begun = Slow(b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n[1,")
    async with http_target(begun) as target, calling() as call:
        assert "timed out" in (await call.fails(target.url(), timeout_ms=100))[1]


async def test_a_body_that_breaks_off_is_a_failed_response() -> None:
    for broken in (
        b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n[1,",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\n[1,2",
    ):
        async with http_target(broken) as target, calling() as call:
            assert (await call.fails(target.url(), method="GET"))[0] == "http_response_failed"
            assert len(target.asked) == 1


async def test_what_does_not_speak_http_is_asked_once() -> None:
    for strange in (
        b"SSH-2.0-OpenSSH_9\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n[1]",
        b"HTTP/1.1 200 OK\r\nContent-Length: x\r\n\r\n[1]",
    ):
        async with http_target(strange) as target, calling() as call:
            code, message = await call.fails(target.url(), method="GET")
            assert code == "http_request_failed"
            assert "does not speak HTTP" in message
            assert len(message) < 300
            assert "\n" not in message
            assert len(target.asked) == 1


async def test_heads_are_limited() -> None:
    many = b"".join(b"x-%d: y\r\n" % n for n in range(100_000))
    for head in (b"x: " + b"y" * 1_000_000 + b"\r\n", many):
        async with http_target(b"HTTP/1.1 200 OK\r\n" + head + b"\r\n") as target, calling() as call:
            assert (await call.fails(target.url()))[0] == "http_request_failed"


async def test_bodies_are_limited() -> None:
    big = b'"' + b"a" * 5000 + b'"'
    chunked = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + (b"80\r\n" + b"a" * 128 + b"\r\n") * 9
    endless = b"HTTP/1.1 200 OK\r\n\r\n" + big
    answers: list[Answer] = [Reply(body=big), chunked, endless]
    answers += [Reply(body=gzip.compress(b'"' + b"a" * 5_000_000 + b'"'), headers={"Content-Encoding": "gzip"})]
    for answer in answers:
        async with http_target(answer) as target, calling(max_response_bytes=1000) as call:
            code, message = await call.fails(target.url())
            assert (code, "1000 bytes" in message) == ("http_response_failed", True)
    async with http_target(Reply(500, big)) as target, calling(max_response_bytes=1000) as call:
        assert await call.fails(target.url()) == ("http_error", "HTTP 500 Internal Server Error")


# -- repetitions


@pytest.mark.parametrize("method", ["GET", "PUT", "DELETE"])
async def test_what_may_be_repeated_is_until_it_succeeds(method: str) -> None:
    async with http_target(in_turn(Reset(), Reply(503), Reply(body=[1]))) as target, calling(retries=2) as call:
        assert await call(target.url(), 7, method=method, auth={"type": "hmac", "secret_key": "SECRET"}) == [1]
        assert [asked.value for asked in target.asked] == [7, 7, 7]
        assert len({asked.headers["x-iii-invocation-id"] for asked in target.asked}) == 1


@pytest.mark.parametrize("method", ["POST", "PATCH"])
@pytest.mark.parametrize("answer", [Reset(), Reply(503), Reply(502, b"", {"Retry-After": "0"})])
async def test_what_may_not_be_repeated_never_is(method: str, answer: Answer) -> None:
    async with http_target(in_turn(answer, Reply(body=[1]))) as target, calling(retries=5) as call:
        await call.fails(target.url(), method=method)
        assert len(target.asked) == 1


async def test_a_post_on_a_connection_that_was_closed_meanwhile_is_not_repeated() -> None:
    async with http_target(in_turn(Reply(body=[1]), Reset(), Reply(body=[2]))) as target, calling(retries=5) as call:
        await call(target.url())
        await call.fails(target.url())
        assert len(target.asked) == 2


async def test_repetitions_are_counted() -> None:
    async with http_target(Reply(503, {"error": {"code": "BUSY", "message": "later"}})) as target:
        async with calling(retries=2) as call:
            assert await call.fails(target.url(), method="GET") == ("BUSY", "later")
            assert len(target.asked) == 3
        async with calling(retries=0) as call:
            await call.fails(target.url(), method="GET")
            assert len(target.asked) == 4


async def test_a_server_that_wants_to_be_left_alone_for_longer_than_there_is_time_is() -> None:
    async with http_target(Reply(503, headers={"Retry-After": "60"})) as target, calling() as call:
        assert (await call.fails(target.url(), method="GET"))[0] == "http_error"
        assert len(target.asked) == 1


def count_exchanges(call: Calling, monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    tried: list[Any] = []
    exchange = call.client.exchange

    async def counted(*arguments: Any) -> Any:
        tried.append(arguments)
        return await exchange(*arguments)

    monkeypatch.setattr(call.client, "exchange", counted)
    return tried


async def test_a_server_that_comes_back_is_reached_even_by_a_post(monkeypatch: pytest.MonkeyPatch) -> None:
    port = reserve_port()
    release_port(port)
    async with calling(retries=50) as call:
        tried = count_exchanges(call, monkeypatch)
        waiting = asyncio.create_task(call(f"http://127.0.0.1:{port}/", 1))

        async def refused() -> bool:
            return len(tried) >= 2

        await eventually(refused)

        async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await reader.readuntil(b"\r\n\r\n")
            writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nConnection: close\r\n\r\n2")
            writer.close()

        server = await asyncio.start_server(serve, "127.0.0.1", port)
        assert await waiting == 2
        server.close()


# -- limits


async def at_once(call: Calling, urls: list[str], target: HttpTarget, release: asyncio.Event, reached: int) -> None:
    calls = [asyncio.create_task(call(url)) for url in urls]

    async def arrived() -> bool:
        return len(target.asked) >= reached

    await eventually(arrived)
    assert call.caller.places.waiting == len(urls) - reached
    release.set()
    await asyncio.gather(*calls)


async def test_requests_at_once_are_limited_per_host_and_in_all() -> None:
    release = asyncio.Event()

    async def wait(_: Asked) -> Answer:
        await release.wait()
        return Reply()

    async with http_target(wait) as target, calling(max_per_host=2) as call:
        await at_once(call, [target.url()] * 6, target, release, 2)
        assert target.at_once == 2
    release.clear()
    rows = hosts({f"h{n}": "127.0.0.1" for n in range(6)})
    async with http_target(wait) as target, calling(OPEN, rows, max_concurrent=3) as call:
        await at_once(call, [target.url(host=f"h{n}") for n in range(6)], target, release, 3)
        assert target.at_once == 3


async def test_waiting_for_a_turn_is_part_of_the_time() -> None:
    async with http_target(Silence()) as target, calling(max_per_host=1) as call:
        first = asyncio.create_task(call.fails(target.url(), timeout_ms=60_000))
        await target.wait_for(1)
        assert "timed out" in (await call.fails(target.url(), timeout_ms=50))[1]
        assert call.caller.places.waiting == 0
        first.cancel()
        await asyncio.gather(first, return_exceptions=True)
        assert call.caller.places.taken == 0
