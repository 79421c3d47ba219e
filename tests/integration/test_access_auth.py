"""Who is let in at a listener with rules."""

import asyncio
import json
import uuid
from typing import Any

import pytest
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed

from tests.support.access import LATE, MISSING, RULES, Gatekeeper, at
from tests.support.cluster import Cluster
from tests.support.raw import CallFailed, RawWorker, echo, known, raw_worker


async def refusal(url: str, **options: Any) -> tuple[Any, int]:
    """What a connection is told that is not let in: the only frame, and the close code."""
    async with connect(url, compression=None, **options) as socket:
        frame = json.loads(await asyncio.wait_for(socket.recv(), 15))
        with pytest.raises(ConnectionClosed):
            await asyncio.wait_for(socket.recv(), 15)
        assert socket.close_code is not None
        return frame, socket.close_code


def refused(message: str) -> tuple[Any, int]:
    return {"type": "error", "error": {"code": "AUTH_ERROR", "message": message}}, 1008


@pytest.fixture(params=[0, 1], ids=["same-gateway", "other-gateway"])
def place(request: pytest.FixtureRequest) -> int:
    """The gateway, seen from the worker with the auth function."""
    number: int = request.param
    return number


async def test_the_auth_function_hears_of_headers_query_and_address(
    guarded: Cluster, keeper: Gatekeeper, place: int
) -> None:
    url = at(guarded.gateways[place], RULES, "somebody%20else&a=1&a=2&flag")
    async with connect(url, additional_headers={"X-Key": "s3cret"}, compression=None) as socket:
        assert json.loads(await socket.recv())["type"] == "workerregistered"
    told = keeper.asked["gate::auth"][-1]
    assert told["headers"]["x-key"] == "s3cret"
    assert told["query_params"] == {"who": ["somebody%20else"], "a": ["1", "2"], "flag": [""]}
    assert told["ip_address"] == "127.0.0.1"
    assert set(told) == {"headers", "query_params", "ip_address"}


@pytest.mark.parametrize(
    "answer", [None, False, [], "yes", {"allowed_functions": None}, {"allow_function_registration": "no"}, {"typo": []}]
)
async def test_whoever_is_answered_anything_but_rights_is_not_let_in(
    guarded: Cluster, keeper: Gatekeeper, place: int, answer: Any
) -> None:
    keeper.rights["me"] = answer
    assert await refusal(at(guarded.gateways[place], RULES, "me")) == refused("authentication failed")


async def test_the_auth_functions_own_words_reach_the_client(guarded: Cluster, keeper: Gatekeeper, place: int) -> None:
    keeper.rights["me"] = CallFailed({"code": "invocation_failed", "message": "missing credentials"})
    assert await refusal(at(guarded.gateways[place], RULES, "me")) == refused("missing credentials")


async def test_without_an_auth_function_nobody_is_let_in(guarded: Cluster, keeper: Gatekeeper, place: int) -> None:
    assert await refusal(at(guarded.gateways[place], MISSING)) == refused("authentication failed")


async def test_a_late_answer_is_a_refusal(guarded: Cluster, keeper: Gatekeeper, place: int) -> None:
    await keeper.worker.register("gate::late")  # which never answers
    await known(keeper.worker, "gate::late")
    assert await refusal(at(guarded.gateways[place], LATE)) == refused("authentication failed")


async def test_an_auth_function_whose_worker_leaves_is_a_refusal(guarded: Cluster, keeper: Gatekeeper) -> None:
    async with raw_worker(guarded.gateways[1].url) as other:
        await other.register("gate::missing")
        await known(other, "gate::missing")
        waiting = asyncio.create_task(refusal(at(guarded.gateways[0], MISSING)))
        await other.expect("invokefunction", function_id="gate::missing")
    assert await waiting == refused("authentication failed")


async def test_telemetry_connections_are_asked_about_too(guarded: Cluster, keeper: Gatekeeper, place: int) -> None:
    keeper.rights["me"] = None
    gateway = guarded.gateways[place]
    assert await refusal(at(gateway, RULES, "me", "/otel")) == refused("authentication failed")
    async with connect(at(gateway, RULES, "you", "/otel"), compression=None) as socket:
        await socket.send(b"OTLP{}")
        await (await socket.ping())
    assert keeper.asked["gate::auth"][-1]["query_params"] == {"who": ["you"]}


async def test_frames_that_came_too_early_wait_for_the_answer(
    guarded: Cluster, keeper: Gatekeeper, free: RawWorker, unique: str
) -> None:
    function = f"open::{unique}"
    await free.register(function, echo)
    await known(free, function)
    reader, writer = await asyncio.open_connection("127.0.0.1", guarded.gateways[1].ports["worker-2"])
    call = json.dumps(
        {"type": "invokefunction", "function_id": function, "data": 7, "invocation_id": str(uuid.uuid4())}
    ).encode()
    head = (
        b"GET /?who=me HTTP/1.1\r\nHost: h\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n"
    )
    assert 126 <= len(call) < 2**16
    writer.write(head + b"\x81\xfe" + len(call).to_bytes(2) + b"\0\0\0\0" + call)
    said = b""
    while b'"result":7' not in said:
        said += await asyncio.wait_for(reader.read(4096), 10)
    assert said.index(b"workerregistered") < said.index(b"invocationresult")
    writer.close()


async def test_a_crowd_is_let_in_one_after_the_other(guarded: Cluster, keeper: Gatekeeper) -> None:
    async def enter() -> str:
        async with connect(at(guarded.gateways[1], RULES, "me"), compression=None, open_timeout=30) as socket:
            return str(json.loads(await asyncio.wait_for(socket.recv(), 30))["type"])

    assert set(await asyncio.gather(*(enter() for _ in range(150)))) == {"workerregistered"}


async def test_the_main_port_asks_nobody(guarded: Cluster, keeper: Gatekeeper) -> None:
    async with raw_worker(guarded.gateways[1].url) as worker:
        await worker.flush()
    assert "gate::auth" not in keeper.asked
