"""HTTP helpers of the published clients: requests come in at one gateway, the worker is connected to another."""

import asyncio
import base64
import hashlib
import io
import json
from typing import Any

import aiohttp
import pytest

from tests.conformance.conftest import Fleet, Launch
from tests.conformance.web import Answer, ask, routed
from tests.conformance.workers.edge import EVENTS, sample
from tests.support.cluster import Cluster
from tests.support.sdk_worker import SdkWorker
from tests.support.sdks import GENERATIONS, NODE_9, NODE_22, PYTHON_9, PYTHON_23, PYTHON_25, Generation

PYTHONS = [PYTHON_25, PYTHON_23, PYTHON_9]
PLACES = [pytest.param(0, id="same-gateway"), pytest.param(1, id="other-gateway")]

every_client = pytest.mark.parametrize("generation", GENERATIONS, ids=str)


class Route:
    """A function of a worker, and the path that leads to it."""

    def __init__(self, cluster: Cluster, worker: SdkWorker, function: str, path: str) -> None:
        self.worker = worker
        self.function = function
        self.path = path
        self._cluster = cluster

    async def ask(self, method: str, more: str = "", *, gateway: int = 0, **request: Any) -> Answer:
        return await ask(self._cluster, gateway, method, self.path + more, **request)


@pytest.fixture
async def serve(fleet: Fleet, shared_cluster: Cluster, unique: str) -> Any:
    """Makes routes that no other test has; the worker is on the second gateway unless told otherwise."""

    async def serve(
        generation: Generation,
        handler: str,
        method: str = "GET",
        template: str = "",
        *,
        place: int = 1,
        **options: Any,
    ) -> Route:
        worker = await fleet.worker(generation, place)
        function = f"{unique}::{handler}::{generation}"
        await worker.ask("serve", function=function, handler=handler, **options)
        path = f"/{unique}/{handler}"
        config = {"api_path": path + template, "http_method": method}
        await worker.ask("trigger", key=function, type="http", function=function, config=config)
        probe = "/".join("x" if part.startswith(":") else part for part in (path + template).split("/"))
        await routed(shared_cluster, method, probe)
        return Route(shared_cluster, worker, function, path)

    return serve


# Requests and plain answers


@pytest.mark.parametrize("place", PLACES)
@every_client
async def test_a_request_reaches_its_handler_with_everything(serve: Any, generation: Generation, place: int) -> None:
    route = await serve(generation, "show", "POST", "/:id/of/:owner", place=place, status=201)

    answer = await route.ask(
        "POST", "/42/of/m%C3%A9?q=hello&limit=10", json={"text": "größer ✓"}, headers={"X-Mine": "yes"}
    )

    assert answer.status == 201
    assert answer.headers["content-type"].startswith("application/json")
    assert answer.headers["x-worker"] == route.worker.name
    body = answer.json()
    assert body["path_params"] == {"id": "42", "owner": "m%C3%A9"}
    assert body["query_params"] == {"q": "hello", "limit": "10"}
    assert body["method"] == "POST"
    assert body["headers"]["x-mine"] == "yes"
    assert body["body"] == {"text": "größer ✓"}


@every_client
async def test_a_get_has_no_body(serve: Any, generation: Generation) -> None:
    route = await serve(generation, "show")
    answer = await route.ask("GET")
    assert (answer.status, answer.json()["body"]) == (200, None)


@pytest.mark.parametrize("status", [404, 500, 299])
@every_client
async def test_a_status_of_the_handlers_own_arrives_unchanged(serve: Any, generation: Generation, status: int) -> None:
    route = await serve(generation, "show", status=status)
    answer = await route.ask("GET")
    assert (answer.status, answer.json()["method"]) == (status, "GET")


@every_client
async def test_an_error_of_the_handler_is_told_with_its_code(serve: Any, generation: Generation) -> None:
    route = await serve(generation, "fail", message="boom ✓")
    answer = await route.ask("GET")
    assert answer.status == 500
    error = answer.json()["error"]
    assert (error["code"], error["message"]) == ("invocation_failed", "boom ✓")
    assert error["error_id"]


@every_client
async def test_several_cookies_are_set(serve: Any, generation: Generation) -> None:
    route = await serve(generation, "cookies")
    answer = await route.ask("GET")
    assert answer.headers.getall("set-cookie") == ["a=1; Path=/", "b=2"]
    assert answer.headers["x-one"] == "1"


@every_client
async def test_text_with_a_type_of_its_own_is_sent_as_it_is(serve: Any, generation: Generation) -> None:
    route = await serve(generation, "text")
    answer = await route.ask("GET")
    assert (answer.headers["content-type"], answer.body.decode()) == ("text/xml", "<a>✓</a>")


@pytest.mark.parametrize("generation", PYTHONS, ids=str)
async def test_the_python_clients_own_response_type_is_understood(serve: Any, generation: Generation) -> None:
    route = await serve(generation, "typed")
    answer = await route.ask("GET")
    assert (answer.status, answer.headers["x-typed"], answer.json()) == (201, "yes", {"typed": True})


@every_client
async def test_a_handler_that_returns_nothing_is_answered_for(serve: Any, generation: Generation) -> None:
    route = await serve(generation, "nothing")
    answer = await route.ask("GET")
    assert (answer.status, answer.json()) == (200, {})


# Bodies from the channel


@pytest.mark.parametrize(
    "body", [b'{ "n" : 1.50,\n "\xc3\xa4": [ ] }', b'{"broken', b""], ids=["valid", "broken", "none"]
)
@every_client
async def test_a_json_body_can_be_read_byte_for_byte(serve: Any, generation: Generation, body: bytes) -> None:
    route = await serve(generation, "raw", "POST")
    answer = await route.ask("POST", data=io.BytesIO(body), headers={"content-type": "application/json"})
    assert answer.status == 200
    assert base64.b64decode(answer.json()["base64"]) == body


@every_client
async def test_a_json_body_larger_than_a_channel_message_of_python_may_be(serve: Any, generation: Generation) -> None:
    route = await serve(generation, "raw", "POST")
    body = json.dumps({"text": "x" * 400_000}).encode()  # comes back in `body`, too
    answer = await route.ask("POST", data=io.BytesIO(body), headers={"content-type": "application/json"})
    assert answer.status == 200
    assert base64.b64decode(answer.json()["base64"]) == body


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("size", [0, 3, 3_000_000])
@every_client
async def test_an_upload_arrives_whole(serve: Any, generation: Generation, size: int, place: int) -> None:
    route = await serve(generation, "upload", "POST", place=place)
    data = sample(size)
    answer = await route.ask("POST", data=io.BytesIO(data), headers={"content-type": "application/octet-stream"})
    assert (answer.status, answer.headers["content-type"]) == (201, "application/json")
    assert answer.json() == {"size": size, "sha256": hashlib.sha256(data).hexdigest()}


@every_client
async def test_a_form_is_parsed_by_the_worker(serve: Any, generation: Generation) -> None:
    route = await serve(generation, "form", "POST")
    answer = await route.ask("POST", data={"name": "Zoë", "lines": "a\nb&c"})
    assert answer.json() == {"name": "Zoë", "lines": "a\nb&c"}


@every_client
async def test_a_form_with_a_file_is_parsed_by_the_worker(serve: Any, generation: Generation) -> None:
    route = await serve(generation, "multipart", "POST")
    data = sample(200_000)
    form = aiohttp.FormData()
    form.add_field("title", "a report")
    form.add_field("file", data, filename="report.pdf", content_type="application/pdf")
    answer = await route.ask("POST", data=form)
    file = {"name": "report.pdf", "type": "application/pdf"}
    assert answer.json() == {
        "title": "a report",
        "file": {**file, "size": len(data), "sha256": hashlib.sha256(data).hexdigest()},
    }


# Responses through the channel


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("size", [1, 1_500_000])
@every_client
async def test_a_download_arrives_whole(serve: Any, generation: Generation, size: int, place: int) -> None:
    route = await serve(generation, "download", place=place, size=size)
    answer = await route.ask("GET")
    assert (answer.status, answer.headers["content-type"], answer.headers["x-kind"]) == (200, "application/pdf", "file")
    assert answer.body == sample(size)


@every_client
async def test_server_sent_events_come_in_their_order(serve: Any, generation: Generation) -> None:
    route = await serve(generation, "events")
    answer = await route.ask("GET")
    assert (answer.status, answer.headers["content-type"]) == (200, "text/event-stream")
    assert answer.body.decode() == "".join(EVENTS)


@every_client
async def test_a_handler_may_return_before_its_response_is_on_its_way(serve: Any, generation: Generation) -> None:
    route = await serve(generation, "forgetful")
    for _ in range(5):
        answer = await route.ask("GET")
        assert (answer.status, answer.headers["x-late"], answer.body) == (202, "yes", b"later")


@pytest.mark.parametrize("generation", [NODE_22, NODE_9, PYTHON_25, PYTHON_9], ids=str)
async def test_a_worker_survives_a_client_that_does_not_wait(
    launch: Launch, shared_cluster: Cluster, unique: str, generation: Generation
) -> None:
    worker = await launch(generation, shared_cluster.gateways[1].url)
    function, path = f"{unique}::late", f"/{unique}/late"
    await worker.ask("serve", function=function, handler="late")
    await worker.ask("trigger", key="t", type="http", function=function, config={"api_path": path})
    await routed(shared_cluster, "GET", path)
    asking = asyncio.create_task(ask(shared_cluster, 0, "GET", path))
    await worker.event("late", function=function)
    asking.cancel()
    await asyncio.wait([asking])
    assert asking.cancelled()  # there was no answer yet
    await worker.ask("release", function=function)
    await worker.event("late_done", function=function)
    assert (await worker.ask("state"))["state"] == "connected"
