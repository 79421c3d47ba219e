"""Listeners with rules and with tokens, as workers on published clients meet them."""

import asyncio
from collections.abc import Iterator
from typing import Any

import pytest

from tests.conformance.conftest import Fleet, Launch
from tests.conformance.known import known, payload
from tests.conformance.web import ask, routed
from tests.support.cluster import Cluster, running_cluster
from tests.support.eventually import eventually
from tests.support.raw import CallFailed, raw_worker
from tests.support.sdk_worker import FAST_RECONNECTION, SdkError, SdkWorker
from tests.support.sdks import GENERATIONS, NODE_9, NODE_22, PYTHON_9, PYTHON_23, PYTHON_25, Generation

SECRET = "a-token-of-32-letters-and-digits"
CONFIG = f"""
workers:
  - name: iii-worker-manager
    config: {{}}
  - name: iii-worker-manager
    config:
      port: 0
      rbac:
        auth_function_id: gate::auth
        expose_functions:
          - match("api::*")
          - metadata: {{public: true}}
  - name: iii-worker-manager
    config:
      port: 0
      middleware_function_id: gate::middleware
      rbac:
        expose_functions: ['match("*")']
  - name: iii-worker-manager
    config:
      port: 0
      tokens: [{SECRET}]
  - name: iii-worker-manager
    config:
      port: 0
      rbac:
        auth_function_id: gate::headers
        expose_functions: ['match("api::*")']
  - name: iii-http
"""
RULES, MIDDLEWARE, TOKENS, HEADERS = "worker-2", "worker-3", "worker-4", "worker-5"

# What the auth function answers, by the token a worker shows.
SESSIONS: dict[str, Any] = {
    "plain": {},
    "forbidden": {"forbidden_functions": ["api::echo"], "allowed_functions": ["hidden::echo"]},
    "tenant": {"function_registration_prefix": "tenant", "namespaces": {"default": ["tenant::routes::*"]}},
    "readonly": {"allow_function_registration": False},
}

every_client = pytest.mark.parametrize("generation", GENERATIONS, ids=str)


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    with running_cluster(tmp_path_factory.mktemp("access"), CONFIG) as cluster:
        yield cluster


@pytest.fixture(scope="module")
def own_fleet(cluster: Cluster, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Fleet]:
    """Workers on the main port, which may do anything."""
    fleet = Fleet(cluster, tmp_path_factory.mktemp("own-fleet"))
    yield fleet
    fleet.close()


@pytest.fixture
async def host(own_fleet: Fleet) -> SdkWorker:
    """Has the functions that decide, and some to call, at the second gateway."""
    worker = await own_fleet.worker(NODE_22, 1)
    rows = {row["function_id"] for row in await worker.ask("functions")}
    if "gate::auth" not in rows:
        path = ["query_params", "token", 0]
        await worker.register("gate::auth", "cases", path=path, cases=SESSIONS)
        await worker.register("gate::headers", "cases", path=["headers", "x-token"], cases=SESSIONS)
        await worker.register("gate::middleware", "relay")
        for name in ("api::echo", "hidden::echo"):
            await worker.register(name)
        await worker.register("listed::echo", metadata={"public": True})
        await known(
            worker, "gate::auth", "gate::headers", "gate::middleware", "api::echo", "hidden::echo", "listed::echo"
        )
    return worker


def address(cluster: Cluster, listener: str, token: str = "", gateway: int = 0) -> str:
    url = f"ws://127.0.0.1:{cluster.gateways[gateway].ports[listener]}"
    return f"{url}/?token={token}" if token else url


async def refused(worker: SdkWorker, function: str) -> str:
    """The text of the refusal of a call."""
    with pytest.raises(SdkError) as raised:
        await worker.call(function, {})
    assert raised.value.code == "FORBIDDEN"
    return raised.value.message


# Rules


@every_client
async def test_a_worker_calls_what_is_exposed_and_nothing_else(
    cluster: Cluster, host: SdkWorker, launch: Launch, generation: Generation
) -> None:
    worker = await launch(generation, address(cluster, RULES, "plain"))
    for function in ("api::echo", "listed::echo"):
        answer = await worker.call(function, {"n": 1})
        assert (answer["worker"], payload(answer["data"])) == (host.name, {"n": 1})
    assert await refused(worker, "hidden::echo") == (
        "function 'hidden::echo' not allowed (add to rbac.expose_functions)"
    )
    await refused(worker, "engine::workers::list")
    await refused(worker, "state::get")


@every_client
async def test_what_is_forbidden_is_so_although_it_is_exposed(
    cluster: Cluster, host: SdkWorker, launch: Launch, generation: Generation
) -> None:
    worker = await launch(generation, address(cluster, RULES, "forbidden"))
    assert "remove from rbac.forbidden_functions" in await refused(worker, "api::echo")
    assert (await worker.call("hidden::echo", {}))["worker"] == host.name


async def test_the_auth_function_sees_what_a_worker_brings(cluster: Cluster, host: SdkWorker, launch: Launch) -> None:
    await launch(NODE_22, address(cluster, RULES, "plain"), headers={"X-Team": "blue"})

    def blue() -> Any:
        """What was asked about it, among what was asked for other tests."""
        asked = [event["data"] for event in host.events("called", function="gate::auth")]
        return next((data for data in asked if data["headers"].get("x-team") == "blue"), None)

    seen = await eventually(blue)
    assert seen["query_params"] == {"token": ["plain"]}
    assert seen["ip_address"] == "127.0.0.1"


@every_client
async def test_a_worker_that_is_not_let_in_gets_nothing(
    cluster: Cluster, host: SdkWorker, launch: Launch, unique: str, generation: Generation
) -> None:
    worker = await launch(generation, address(cluster, RULES, unique), connect=False)
    await worker.ask("connect", url=worker.url, name=worker.name)
    await worker.register(f"api::{unique}")

    def asked() -> bool:
        tokens = [event["data"]["query_params"]["token"] for event in host.events("called", function="gate::auth")]
        return [unique] in tokens

    await eventually(asked)
    assert not (await worker.ask("state"))["worker_id"]
    assert f"api::{unique}" not in {row["function_id"] for row in await host.ask("functions")}


@every_client
async def test_functions_get_the_prefix_of_the_session_and_keep_their_names_for_their_worker(
    cluster: Cluster, host: SdkWorker, launch: Launch, unique: str, generation: Generation
) -> None:
    worker = await launch(generation, address(cluster, RULES, "tenant"))
    await worker.register(f"{unique}::own", "record")
    await known(host, f"tenant::{unique}::own")
    await host.call(f"tenant::{unique}::own", {"n": 1})
    assert payload((await worker.event("called", function=f"{unique}::own"))["data"]) == {"n": 1}
    await refused(worker, f"tenant::{unique}::own")


@every_client
async def test_routes_of_a_prefixed_worker_work(
    cluster: Cluster, host: SdkWorker, launch: Launch, unique: str, generation: Generation
) -> None:
    worker = await launch(generation, address(cluster, RULES, "tenant"))
    await worker.ask("serve", function=f"routes::{unique}", handler="show")
    config = {"api_path": f"/{unique}/own/:id", "http_method": "POST"}
    await worker.ask("trigger", key="t", type="http", function=f"routes::{unique}", config=config)
    await routed(cluster, "POST", f"/{unique}/own/7")
    answer = await ask(cluster, 1, "POST", f"/{unique}/own/7", json={"n": 1})
    assert (answer.status, answer.headers["x-worker"]) == (200, worker.name)
    assert (answer.json()["path_params"], answer.json()["body"]) == ({"id": "7"}, {"n": 1})


@pytest.mark.parametrize("generation", [PYTHON_25, NODE_22, PYTHON_9], ids=str)
async def test_who_may_not_register_functions_has_none(
    cluster: Cluster, host: SdkWorker, launch: Launch, unique: str, generation: Generation
) -> None:
    worker = await launch(generation, address(cluster, RULES, "readonly"))
    await worker.register(f"api::{unique}")
    assert (await worker.call("api::echo", {}))["worker"] == host.name  # comes after the registration
    with pytest.raises(SdkError) as raised:
        await host.call(f"api::{unique}", {})
    assert raised.value.code == "function_not_found"


async def test_listings_have_what_a_worker_may_call(cluster: Cluster, host: SdkWorker, launch: Launch) -> None:
    worker = await launch(PYTHON_9, address(cluster, RULES, "forbidden"))
    with pytest.raises(SdkError, match="FORBIDDEN"):
        await worker.ask("functions")
    async with raw_worker(address(cluster, RULES, "plain")) as raw:
        with pytest.raises(CallFailed) as raised:
            await raw.call("engine::functions::list", {})
        assert raised.value.code == "FORBIDDEN"


@pytest.mark.parametrize("generation", [PYTHON_25, PYTHON_23, NODE_22], ids=str)
async def test_channels_work_under_rules(
    cluster: Cluster, host: SdkWorker, launch: Launch, unique: str, generation: Generation
) -> None:
    worker = await launch(generation, address(cluster, HEADERS), headers={"x-token": "plain"})
    await host.ask("pipe", function=f"api::{unique}", kind="consume")
    await worker.ask("pipe", function=f"api::{unique}::produce", kind="produce")
    await known(host, f"api::{unique}", f"api::{unique}::produce")
    refs = await worker.ask("channel")
    await host.ask("void", function=f"api::{unique}::produce", data={"writer": refs["writer"], "records": 200})
    received = await worker.call(f"api::{unique}", {"reader": refs["reader"]})
    assert (received["received"], received["ordered"]) == (200, True)


# Middleware of a listener


@every_client
async def test_calls_go_through_the_middleware_of_their_listener(
    cluster: Cluster, host: SdkWorker, launch: Launch, unique: str, generation: Generation
) -> None:
    worker = await launch(generation, address(cluster, MIDDLEWARE))
    await host.register(f"{unique}::echo")
    await known(host, f"{unique}::echo")
    answer = await worker.call(f"{unique}::echo", {"n": 1})
    assert answer["by"] == host.name
    assert payload(answer["result"]["data"]) == {"n": 1}
    assert (await worker.ask("functions")) != []  # functions of the engine do not


# Tokens


@pytest.mark.parametrize(
    ("generation", "how"),
    [
        (PYTHON_25, {"env": {"III_TOKEN": SECRET}}),
        (PYTHON_25, {"headers": {"Authorization": f"Bearer {SECRET}"}}),
        (PYTHON_23, {"headers": {"Authorization": f"Bearer {SECRET}"}}),
        (NODE_22, {"headers": {"Authorization": f"Bearer {SECRET}"}}),
    ],
    ids=["python-0.25.0-environment", "python-0.25.0-header", "python-0.23.0-header", "node-0.22.1-header"],
)
async def test_who_shows_a_token_does_everything(
    cluster: Cluster, host: SdkWorker, launch: Launch, unique: str, generation: Generation, how: dict[str, Any]
) -> None:
    """Streams, too: its channel sockets show no token, but the key of their channel."""
    worker = await launch(generation, address(cluster, TOKENS), **how)
    function, path = f"{unique}::download", f"/{unique}/download"
    await worker.ask("serve", function=function, handler="download", size=100_000)
    await worker.ask("trigger", key="t", type="http", function=function, config={"api_path": path})
    await routed(cluster, "GET", path)
    answer = await ask(cluster, 1, "GET", path)
    assert (answer.status, len(answer.body)) == (200, 100_000)
    assert (await worker.call("api::echo", {}))["worker"] == host.name


@pytest.mark.parametrize("generation", [PYTHON_25, PYTHON_23, PYTHON_9, NODE_22, NODE_9], ids=str)
async def test_a_token_in_the_address_is_one(
    cluster: Cluster, host: SdkWorker, launch: Launch, generation: Generation
) -> None:
    worker = await launch(generation, address(cluster, TOKENS, SECRET))
    assert (await worker.call("api::echo", {}))["worker"] == host.name


# The oldest Python client says nothing and tries no more.
@pytest.mark.parametrize("telemetry", [False, True], ids=["", "telemetry"])
@pytest.mark.parametrize("generation", [PYTHON_25, PYTHON_23, NODE_22, NODE_9], ids=str)
async def test_who_shows_no_token_is_not_let_in(
    cluster: Cluster, host: SdkWorker, launch: Launch, unique: str, generation: Generation, telemetry: bool
) -> None:
    """It goes on trying, and lives."""
    worker = await launch(generation, address(cluster, TOKENS), unique, telemetry=telemetry, connect=False)
    options = {"url": worker.url, "name": worker.name, "reconnection": FAST_RECONNECTION}
    connecting = asyncio.create_task(worker.ask("connect", **options))
    await eventually(lambda: worker.tail().count("401") > 1)
    assert unique not in {row["name"] for row in await host.ask("workers")}
    connecting.cancel()  # the Python clients wait until they are connected
    await asyncio.wait([connecting])
