"""Functions that published clients register with a URL: the cluster asks it, whoever calls from wherever."""

import asyncio
import base64
import hashlib
import hmac
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from typing import Any

import pytest
from aiohttp import web

from tests.conformance.conftest import Fleet
from tests.conformance.known import known, unknown
from tests.support.cluster import Cluster, running_cluster
from tests.support.eventually import eventually
from tests.support.sdk_worker import SdkError, SdkWorker
from tests.support.sdks import GENERATIONS, NODE_22, PYTHON_9, PYTHON_25, Generation

CONFIG = """
workers:
  - name: iii-http-functions
    config:
      security:
        url_allowlist: [localhost, 127.0.0.1]
        block_private_ips: false
        require_https: false
  - name: iii-pubsub
"""
SECRET = "a secret"

Workers = Callable[[Generation], Awaitable[tuple[SdkWorker, SdkWorker]]]

every_client = pytest.mark.parametrize("generation", GENERATIONS, ids=str)


class Site:
    """A server somewhere else; `answer` makes its responses."""

    def __init__(self) -> None:
        self.asked: list[dict[str, Any]] = []
        self.answer: Callable[[web.Request], web.StreamResponse] = lambda _: web.json_response({"from": "site"})
        self.delay = 0.0
        self.port = 0

    async def handle(self, request: web.Request) -> web.StreamResponse:
        body = await request.read()
        self.asked.append(
            {"method": request.method, "path": request.path, "headers": dict(request.headers), "body": body}
        )
        await asyncio.sleep(self.delay)
        return self.answer(request)

    def url(self, path: str = "/function") -> str:
        return f"http://127.0.0.1:{self.port}{path}"


@pytest.fixture
async def site() -> AsyncIterator[Site]:
    site = Site()
    application = web.Application()
    application.router.add_route("*", "/{path:.*}", site.handle)
    runner = web.AppRunner(application)
    await runner.setup()
    server = web.TCPSite(runner, "127.0.0.1", 0)
    await server.start()
    site.port = runner.addresses[0][1]
    yield site
    await runner.cleanup()


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    env = {"TEST_SECRET": SECRET}
    with running_cluster(tmp_path_factory.mktemp("http-functions"), CONFIG, env=env) as cluster:
        yield cluster


@pytest.fixture(scope="module")
def own_fleet(cluster: Cluster, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Fleet]:
    fleet = Fleet(cluster, tmp_path_factory.mktemp("own-fleet"))
    yield fleet
    fleet.close()


@pytest.fixture
def workers(own_fleet: Fleet) -> Workers:
    """A caller at the first gateway and the worker that registers, of a generation, at the second."""

    async def workers(generation: Generation) -> tuple[SdkWorker, SdkWorker]:
        caller = await own_fleet.worker(NODE_22 if generation == PYTHON_25 else PYTHON_25, 0)
        return caller, await own_fleet.worker(generation, 1)

    return workers


@every_client
async def test_a_call_becomes_a_request_and_the_response_its_result(
    workers: Workers, site: Site, unique: str, generation: Generation
) -> None:
    caller, worker = await workers(generation)
    invocation = {"url": site.url("/charge"), "headers": {"x-env": "prod"}, "timeout_ms": 5000}
    await worker.ask("external", function=f"{unique}::charge", invocation=invocation)
    await known(caller, f"{unique}::charge")

    assert await caller.call(f"{unique}::charge", {"amount": 7, "text": "größer"}) == {"from": "site"}
    assert await worker.call(f"{unique}::charge", {"amount": 8}) == {"from": "site"}

    first, second = site.asked
    assert (first["method"], first["path"]) == ("POST", "/charge")
    headers = {name.lower(): value for name, value in first["headers"].items()}
    assert headers["content-type"] == "application/json"
    assert headers["x-env"] == "prod"
    assert headers["x-iii-function-path"] == f"{unique}::charge"
    assert headers["x-iii-invocation-id"]
    assert int(headers["x-iii-timestamp"]) > 1_700_000_000
    assert b'"amount":7' in first["body"].replace(b" ", b"")
    assert b'"amount":8' in second["body"].replace(b" ", b"")


@pytest.mark.parametrize("method", ["GET", "PUT", "PATCH", "DELETE"])
@pytest.mark.parametrize("generation", [PYTHON_25, NODE_22, PYTHON_9], ids=str)
async def test_the_method_is_honoured(
    workers: Workers, site: Site, unique: str, generation: Generation, method: str
) -> None:
    caller, worker = await workers(generation)
    await worker.ask("external", function=f"{unique}::f", invocation={"url": site.url(), "method": method})
    await known(caller, f"{unique}::f")
    await caller.call(f"{unique}::f", {})
    assert [asked["method"] for asked in site.asked] == [method]


@every_client
async def test_requests_prove_who_they_come_from(
    workers: Workers, site: Site, unique: str, generation: Generation
) -> None:
    caller, worker = await workers(generation)
    for name, auth in {
        "bearer": {"type": "bearer", "token_key": "TEST_SECRET"},
        "key": {"type": "api_key", "header": "X-Key", "value_key": "TEST_SECRET"},
        "signed": {"type": "hmac", "secret_key": "TEST_SECRET"},
    }.items():
        await worker.ask("external", function=f"{unique}::{name}", invocation={"url": site.url(), "auth": auth})
        await known(caller, f"{unique}::{name}")
        await caller.call(f"{unique}::{name}", {"n": 1})
    bearer, key, signed = ({name.lower(): value for name, value in one["headers"].items()} for one in site.asked)
    assert bearer["authorization"] == f"Bearer {SECRET}"
    assert key["x-key"] == SECRET
    message = f"{signed['x-iii-timestamp']}:".encode() + base64.b64encode(site.asked[2]["body"])
    assert signed["x-iii-signature"] == "sha256=" + hmac.new(SECRET.encode(), message, hashlib.sha256).hexdigest()


@pytest.mark.parametrize(
    ("respond", "code", "message"),
    [
        (lambda _: web.json_response({"error": {"code": "DECLINED", "message": "no"}}, status=402), "DECLINED", "no"),
        (lambda _: web.Response(status=400, text="?"), "http_error", "HTTP 400 Bad Request"),
        (lambda _: web.Response(text="<html>"), "invalid_response", ""),
    ],
    ids=["own", "plain", "no-json"],
)
@pytest.mark.parametrize("generation", [PYTHON_25, NODE_22], ids=str)
async def test_a_bad_response_is_an_error_of_the_call(
    workers: Workers, site: Site, unique: str, generation: Generation, respond: Any, code: str, message: str
) -> None:
    caller, worker = await workers(generation)
    await worker.ask("external", function=f"{unique}::f", invocation={"url": site.url()})
    await known(caller, f"{unique}::f")
    site.answer = respond
    with pytest.raises(SdkError) as raised:
        await caller.call(f"{unique}::f", {})
    assert raised.value.code == code
    assert message in raised.value.message


async def test_an_empty_response_is_no_result(workers: Workers, site: Site, unique: str) -> None:
    caller, worker = await workers(NODE_22)
    await worker.ask("external", function=f"{unique}::f", invocation={"url": site.url()})
    await known(caller, f"{unique}::f")
    site.answer = lambda _: web.Response(status=204)
    assert await caller.call(f"{unique}::f", {}) is None


async def test_a_slow_or_absent_server_is_an_error_of_the_call(workers: Workers, site: Site, unique: str) -> None:
    caller, worker = await workers(PYTHON_25)
    slow = {"url": site.url(), "timeout_ms": 100}
    await worker.ask("external", function=f"{unique}::slow", invocation=slow)
    await worker.ask("external", function=f"{unique}::gone", invocation={"url": "http://127.0.0.1:9/"})
    await known(caller, f"{unique}::slow", f"{unique}::gone")
    site.delay = 1.0
    for function, text in ((f"{unique}::slow", "timed out"), (f"{unique}::gone", "connect")):
        with pytest.raises(SdkError) as raised:
            await caller.call(function, {})
        assert raised.value.code == "http_request_failed"
        assert text in raised.value.message.lower()


@every_client
async def test_events_are_delivered_to_urls_until_they_are_unregistered(
    workers: Workers, site: Site, unique: str, generation: Generation
) -> None:
    caller, worker = await workers(generation)
    for name in ("one", "two"):
        function = f"{unique}::{name}"
        await worker.ask("external", function=function, invocation={"url": site.url(f"/{name}"), "method": "PUT"})
        config = {"topic": unique}
        await worker.ask("trigger", key=function, type="subscribe", function=function, config=config)
    await known(caller, f"{unique}::one", f"{unique}::two")

    async def both() -> bool:
        await caller.call("publish", {"topic": unique, "data": {"n": 1}})
        return {(asked["method"], asked["path"]) for asked in site.asked} == {("PUT", "/one"), ("PUT", "/two")}

    await eventually(both)
    await worker.ask("untrigger", key=f"{unique}::one")
    await worker.ask("unregister", function=f"{unique}::one")
    await unknown(caller, f"{unique}::one")

    async def only_two() -> bool:
        before = len(site.asked)
        await caller.call("publish", {"topic": unique, "data": {"n": 2}})
        await eventually(lambda: len(site.asked) > before)
        return {asked["path"] for asked in site.asked[before:]} == {"/two"}

    await eventually(only_two)


@pytest.mark.parametrize("generation", [PYTHON_25, NODE_22], ids=str)
async def test_a_url_that_is_not_allowed_is_never_asked(
    workers: Workers, site: Site, unique: str, generation: Generation
) -> None:
    caller, worker = await workers(generation)
    await worker.ask("external", function=f"{unique}::f", invocation={"url": f"http://127.0.0.2:{site.port}/"})
    await worker.register(f"{unique}::after")
    await known(caller, f"{unique}::after")
    with pytest.raises(SdkError):
        await caller.call(f"{unique}::f", {})
    assert site.asked == []
