"""HTTP over two gateways: clients at one of them, workers at the other."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Any

import pytest
from websockets.asyncio.client import ClientConnection
from websockets.exceptions import ConnectionClosed

from tests.support import admin
from tests.support.channels import Ref, end
from tests.support.cluster import Cluster
from tests.support.eventually import eventually
from tests.support.http_peer import Answer, HttpPeer, http_peer, request
from tests.support.raw import Frame, RawWorker, raw_worker


@asynccontextmanager
async def both(cluster: Cluster, **announced: Any) -> AsyncIterator[tuple[RawWorker, HttpPeer]]:
    """A worker at the first gateway, a client at the second."""
    async with (
        raw_worker(cluster.gateways[0].url, name=None) as worker,
        http_peer(cluster.gateways[1].ports["http"]) as client,
    ):
        if announced:
            await worker.announce("http", **announced)
        yield worker, client


async def bind(worker: RawWorker, trigger_id: str, function: str, type: str = "http", **fields: Any) -> None:
    config = {name: fields.pop(name) for name in list(fields) if name.endswith(("path", "method", "_id", "_ids"))}
    await worker.send(
        "registertrigger", id=trigger_id, trigger_type=type, function_id=function, config=config, **fields
    )


async def routed(client: HttpPeer, method: str, path: str, *, on: bool = True) -> None:
    """Returns when a path is, or no longer is, served at the client's gateway."""

    async def served() -> bool:
        return ((await client.ask("OPTIONS", path)).status != 404 and method in await allowed(client, path)) is on

    await eventually(served)


async def allowed(client: HttpPeer, path: str) -> list[str]:
    return (await client.ask("OPTIONS", path)).headers.get("allow", "").split(", ")


def end_of(cluster: Cluster, ref: Ref) -> AbstractAsyncContextManager[ClientConnection]:
    """A socket for one end of a channel, at the worker's gateway."""
    return end(cluster.gateways[0].url, ref)


async def read_all(socket: ClientConnection) -> bytes:
    pieces = []
    try:
        while True:
            pieces.append(await socket.recv(decode=False))
    except ConnectionClosed:
        return b"".join(pieces)


def called(frame: Frame) -> Frame:
    return {"body": frame["data"]}


async def test_a_route_of_one_gateway_is_served_by_the_other(shared_cluster: Cluster) -> None:
    async with both(shared_cluster) as (worker, client):
        assert (await client.ask("GET", "/h1/5")).status == 404
        await worker.register("h1", called)
        await bind(worker, "h1", "h1", api_path="h1/:id", http_method="put", metadata={"m": 1})
        await routed(client, "PUT", "/h1/5")
        answer = await client.ask("PUT", "/h1/5?q=1&q=2", b'{"a":1}', content_type="application/json")
        data = answer.value
        assert (answer.status, data["path_params"], data["query_params"]) == (200, {"id": "5"}, {"q": "2"})
        assert (data["path"], data["method"], data["body"]) == ("h1/:id", "PUT", {"a": 1})
        await worker.send("unregistertrigger", id="h1")
        await routed(client, "PUT", "/h1/5", on=False)
        assert (await client.ask("PUT", "/h1/5")).value["error"]["code"] == "NOT_FOUND"


async def test_metadata_and_trace_come_with_the_call(shared_cluster: Cluster) -> None:
    trace = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
    async with both(shared_cluster) as (worker, client):
        await worker.register("h2")
        await bind(worker, "h2", "h2", type="api", api_path="/h2", metadata={"m": 1})
        await routed(client, "GET", "/h2")
        await client.send(request("GET", "/h2", traceparent=trace, baggage="a=1"))
        frame = await worker.expect("invokefunction", function_id="h2")
        assert (frame["metadata"], frame["baggage"]) == ({"m": 1}, "a=1")
        assert frame["traceparent"].split("-")[1] == trace.split("-")[1]
        assert frame["data"]["trigger"] == {"type": "http", "path": "/h2", "method": "GET"}
        await worker.answer(frame, {"status_code": 418, "headers": ["Set-Cookie: a=1"], "body": "tea"})
        answer = await client.answer()
        assert (answer.status, answer.value, answer.headers["set-cookie"]) == (418, "tea", "a=1")


async def test_a_trigger_that_cannot_be_routed_is_refused_and_the_worker_goes_on(shared_cluster: Cluster) -> None:
    async with raw_worker(shared_cluster.gateways[0].url) as worker:
        for number, (config, reason) in enumerate(
            [
                ({"http_method": "GET"}, "api_path is required for http triggers"),
                ({"api_path": "a/*/b"}, "the wildcard '*' of api_path 'a/*/b' must be its last segment"),
            ]
        ):
            await worker.send(
                "registertrigger", id=f"h3-{number}", trigger_type="http", function_id="h3", config=config
            )
            said = await worker.expect("triggerregistrationresult", id=f"h3-{number}")
            assert said["error"] == {"code": "trigger_registration_failed", "message": reason}
        await bind(worker, "h3-brew", "h3", api_path="h3", http_method="BREW")
        await worker.flush()
        await worker.nothing("triggerregistrationresult")


async def test_a_route_with_other_parameter_names_is_refused_until_the_first_one_goes(shared_cluster: Cluster) -> None:
    async with both(shared_cluster) as (first, client), raw_worker(shared_cluster.gateways[1].url) as second:
        await first.register("h4-one", lambda _: {"body": "one"})
        await bind(first, "h4-one", "h4-one", api_path="h4/:x")
        await routed(client, "GET", "/h4/1")
        await second.register("h4-two", lambda _: {"body": "two"})
        await bind(second, "h4-two", "h4-two", api_path="/h4/:y")
        said = await second.expect("triggerregistrationresult", id="h4-two")
        assert said["error"]["code"] == "trigger_registration_failed"
        assert said["error"]["message"] == (
            "Route 'GET h4/:y' conflicts with already-registered route 'GET h4/:x': "
            "routes with identical structure but different path-parameter names are not supported"
        )
        assert (await client.ask("GET", "/h4/1")).value == "one"
        await first.send("unregistertrigger", id="h4-one")

        async def other() -> bool:
            return (await client.ask("GET", "/h4/1")).body == b'"two"'

        await eventually(other)


async def test_the_last_trigger_of_a_route_serves_and_the_one_before_when_it_goes(shared_cluster: Cluster) -> None:
    async with both(shared_cluster) as (first, client):

        async def answers(name: str) -> None:
            async def check() -> bool:
                return (await client.ask("GET", "/h5")).body == json.dumps(name).encode()

            await eventually(check)

        await first.register("h5-one", lambda _: {"body": "one"})
        await bind(first, "h5-one", "h5-one", api_path="h5")
        await answers("one")
        async with raw_worker(shared_cluster.gateways[1].url) as second:
            await second.register("h5-two", lambda _: {"body": "two"})
            await bind(second, "h5-two", "h5-two", api_path="/h5")
            await answers("two")
        await answers("one")


async def test_replicas_share_a_route_and_each_may_go(shared_cluster: Cluster) -> None:
    async with both(shared_cluster) as (first, client), raw_worker(shared_cluster.gateways[1].url) as second:
        for number, worker in enumerate((first, second)):
            await worker.register("h6", lambda _, number=number: {"body": number})  # type: ignore[misc]
            await bind(worker, f"h6-{number}", "h6", api_path="h6/:id")
        await routed(client, "GET", "/h6/1")
        for _ in range(4):
            assert (await client.ask("GET", "/h6/1")).value in (0, 1)
        await second.close()

        async def only_first() -> bool:
            return [(await client.ask("GET", "/h6/1")).body for _ in range(4)] == [b"0"] * 4

        await eventually(only_first)


async def test_function_condition_and_middleware_are_those_of_the_workers_namespace(shared_cluster: Cluster) -> None:
    async with (
        both(shared_cluster, namespace="h7") as (worker, client),
        raw_worker(shared_cluster.gateways[0].url) as other,
    ):
        for name in ("h7", "h7-check", "h7-gate"):
            await other.register(name, lambda _: False)
        await worker.register("h7", lambda _: {"body": "mine"})
        await worker.register("h7-check", lambda _: True)
        asked: list[Frame] = []

        def gate(frame: Frame) -> Frame:
            asked.append(frame["data"])
            return {"action": "continue"}

        await worker.register("h7-gate", gate)
        await bind(
            worker,
            "h7",
            "h7",
            api_path="h7",
            condition_function_id="h7-check",
            middleware_function_ids=["h7-gate"],
            namespace="h7",
        )
        await routed(client, "GET", "/h7")
        assert (await client.ask("GET", "/h7?q=1")).value == "mine"
        assert asked[0]["phase"] == "preHandler"
        assert asked[0]["request"]["query_params"] == {"q": "1"}


async def test_failures_are_500_with_the_code_of_the_failure(shared_cluster: Cluster) -> None:
    async with both(shared_cluster) as (worker, client):
        await bind(worker, "h8-none", "h8-none", api_path="h8/none")
        await worker.register("h8-fails")
        await bind(worker, "h8-fails", "h8-fails", api_path="h8/fails")
        await routed(client, "GET", "/h8/none")
        await routed(client, "GET", "/h8/fails")
        answer = await client.ask("GET", "/h8/none")
        assert (answer.status, answer.value["error"]["code"]) == (500, "function_not_found")
        await client.send(request("GET", "/h8/fails"))
        frame = await worker.expect("invokefunction", function_id="h8-fails")
        await worker.answer(frame, error={"code": "NOT_FOUND", "message": "no such order"})
        answer = await client.answer()
        assert (answer.status, answer.value["error"]["code"]) == (500, "NOT_FOUND")
        assert answer.headers["access-control-allow-origin"] == "*"
        await client.send(request("GET", "/h8/fails"))
        await worker.expect("invokefunction", function_id="h8-fails")
        await worker.close()
        answer = await client.answer()
        assert (answer.status, answer.value["error"]["code"]) == (500, "invocation_stopped")


async def test_a_response_is_streamed_through_a_channel_of_the_other_gateway(shared_cluster: Cluster) -> None:
    async with both(shared_cluster) as (worker, client):
        await worker.register("h9")
        await bind(worker, "h9", "h9", api_path="h9")
        await routed(client, "GET", "/h9")
        await client.send(request("GET", "/h9"))
        frame = await worker.expect("invokefunction", function_id="h9")
        await worker.answer(frame, None)  # before it connects, as some clients do
        async with end_of(shared_cluster, frame["data"]["response"]) as channel:
            await channel.send('{"type":"set_status","status_code":206}')
            await channel.send('{"type":"set_headers","headers":{"content-type":"text/event-stream"}}')
            await channel.send(b"data: 1\n\n")
            head = await client.head()
            assert (head.status, head.headers["content-type"]) == (206, "text/event-stream")
            assert "content-length" not in head.headers
            assert await client.reader.readuntil(b"1\n\n\r\n") == b"9\r\ndata: 1\n\n\r\n"
            await channel.send(b"data: 2\n\n")
            assert await client.reader.readuntil(b"2\n\n\r\n") == b"9\r\ndata: 2\n\n\r\n"
        assert await client.reader.readexactly(5) == b"0\r\n\r\n"
        assert (await client.ask("GET", "/nothing/here")).status == 404  # the connection goes on


async def test_an_upload_is_read_through_a_channel_of_the_other_gateway(shared_cluster: Cluster) -> None:
    body = bytes(range(256)) * 8192
    async with both(shared_cluster) as (worker, client):
        await worker.register("h10")
        await bind(worker, "h10", "h10", api_path="h10", http_method="POST")
        await routed(client, "POST", "/h10")
        sending = asyncio.create_task(client.send(request("POST", "/h10", body)))
        frame = await worker.expect("invokefunction", function_id="h10")
        assert frame["data"]["body"] is None
        async with end_of(shared_cluster, frame["data"]["request_body"]) as channel:
            assert await read_all(channel) == body
        async with end_of(shared_cluster, frame["data"]["response"]) as channel:
            await channel.send('{"type":"set_headers","headers":{"content-type":"application/json"}}')
            await channel.send(json.dumps({"size": len(body)}).encode())
        await worker.answer(frame, None)
        await sending
        answer = await client.answer()
        assert (answer.value, answer.headers["content-type"]) == ({"size": len(body)}, "application/json")


@pytest.mark.parametrize("text", [b'{"a" : 1.50}', b""])
async def test_a_json_body_is_readable_as_it_came(shared_cluster: Cluster, text: bytes) -> None:
    path = f"/h11-{len(text)}"
    async with both(shared_cluster) as (worker, client):
        await worker.register(path)
        await bind(worker, path, path, api_path=path, http_method="POST")
        await routed(client, "POST", path)
        await client.send(request("POST", path, text, content_type="application/json"))
        frame = await worker.expect("invokefunction", function_id=path)
        async with end_of(shared_cluster, frame["data"]["request_body"]) as channel:
            assert await read_all(channel) == text
        await worker.answer(frame, {"body": None})
        assert (await client.answer()).body == b"null"


async def test_a_client_that_goes_ends_the_stream_at_the_worker(shared_cluster: Cluster) -> None:
    async with both(shared_cluster) as (worker, client):
        await worker.register("h12")
        await bind(worker, "h12", "h12", api_path="h12")
        await routed(client, "GET", "/h12")
        await client.send(request("GET", "/h12"))
        frame = await worker.expect("invokefunction", function_id="h12")
        async with end_of(shared_cluster, frame["data"]["response"]) as channel:
            await channel.send(b"first")
            await client.head()
            client.reset()

            async def closed() -> bool:
                try:
                    await channel.send(b"more")
                except ConnectionClosed:
                    return True
                return False

            await eventually(closed)


async def test_a_client_that_goes_ends_the_stream_though_nobody_has_read_its_body(shared_cluster: Cluster) -> None:
    async with both(shared_cluster) as (worker, client):
        await worker.register("h17")
        await bind(worker, "h17", "h17", api_path="h17", http_method="POST")
        await routed(client, "POST", "/h17")
        head = b"POST /h17 HTTP/1.1\r\nhost: test\r\ncontent-length: 100000000\r\n\r\n"
        await client.send(head, b"x" * 200_000)
        frame = await worker.expect("invokefunction", function_id="h17")
        async with end_of(shared_cluster, frame["data"]["response"]) as channel:
            await channel.send(b"first")
            await client.head()
            client.reset()

            async def closed() -> bool:
                try:
                    await channel.send(b"more")
                except ConnectionClosed:
                    return True
                return False

            await eventually(closed)


async def test_a_stream_that_says_nothing_ends_with_its_client_though_nobody_has_read_its_body(
    shared_cluster: Cluster,
) -> None:
    async def streaming() -> int:
        page = (await asyncio.to_thread(admin.get, f"{shared_cluster.gateways[1].admin_url}/status"))[1]
        return int(page["service"]["http"]["streaming"])

    async def none() -> bool:
        return await streaming() == 0

    async with both(shared_cluster) as (worker, client):
        await worker.register("h18")
        await bind(worker, "h18", "h18", api_path="h18", http_method="POST")
        await routed(client, "POST", "/h18")
        await client.send(request("POST", "/h18", b"a=1"))
        frame = await worker.expect("invokefunction", function_id="h18")
        async with end_of(shared_cluster, frame["data"]["response"]) as channel:
            await channel.send(b"first")
            await client.head()
            assert await streaming() == 1
            client.reset()
            await eventually(none)


async def test_a_stream_whose_worker_dies_is_cut(shared_cluster: Cluster) -> None:
    async with both(shared_cluster) as (worker, client):
        await worker.register("h13")
        await bind(worker, "h13", "h13", api_path="h13")
        await routed(client, "GET", "/h13")
        await client.send(request("GET", "/h13"))
        frame = await worker.expect("invokefunction", function_id="h13")
        async with end_of(shared_cluster, frame["data"]["response"]) as channel:
            await channel.send(b"first")
            assert (await client.head()).status == 200
            channel.transport.abort()
        rest = await client.ended()
        assert rest == b"5\r\nfirst\r\n"  # without the chunk that ends it


async def test_nothing_is_answered_at_once(shared_cluster: Cluster) -> None:
    async with both(shared_cluster) as (worker, client):
        await worker.register("h14", lambda _: None)
        await bind(worker, "h14", "h14", api_path="h14")
        await routed(client, "GET", "/h14")
        for _ in range(3):
            assert (await client.ask("GET", "/h14")).value == {}


async def test_what_functions_say_cannot_break_the_response(shared_cluster: Cluster) -> None:
    said = {
        "headers": {
            "content-length": "3",
            "transfer-encoding": "chunked",
            "connection": "close",
            "x-split": "a\r\nx-evil: 1",
            "x-ok": "1",
        },
        "body": "four",
    }
    async with both(shared_cluster) as (worker, client):
        await worker.register("h15", lambda _: said)
        await bind(worker, "h15", "h15", api_path="h15")
        await routed(client, "GET", "/h15")
        answers: list[Answer] = [await client.ask("GET", "/h15") for _ in range(2)]
        for answer in answers:
            assert (answer.value, answer.headers["x-ok"]) == ("four", "1")
            assert not {"x-evil", "x-split", "connection", "transfer-encoding"} & answer.headers.keys()


async def test_a_burst_of_registrations_is_routed(shared_cluster: Cluster) -> None:
    async with both(shared_cluster) as (worker, client):
        await worker.register("h16", lambda frame: {"body": frame["data"]["path_params"]})
        for number in range(500):
            await bind(worker, f"h16-{number}", "h16", api_path=f"h16/{number}/:x")
        await routed(client, "GET", "/h16/499/a")
        for number in (0, 250, 499):
            assert (await client.ask("GET", f"/h16/{number}/a")).value == {"x": "a"}
