"""Routes of workers on published clients: they come and go, exclude each other, and have middleware and conditions."""

from typing import Any

import pytest

from tests.conformance.conftest import Fleet, Launch
from tests.conformance.known import known
from tests.conformance.web import ask, routed
from tests.support.cluster import Cluster
from tests.support.eventually import eventually
from tests.support.sdk_worker import SdkWorker
from tests.support.sdks import GENERATIONS, NODE_22, PYTHON_9, PYTHON_23, PYTHON_25, Generation

MODERN = [PYTHON_25, PYTHON_23, NODE_22]
FORBIDDEN = {"action": "respond", "response": {"status_code": 403, "headers": {"x-by": "gate"}, "body": {"no": "way"}}}

every_client = pytest.mark.parametrize("generation", GENERATIONS, ids=str)
modern_clients = pytest.mark.parametrize("generation", MODERN, ids=str)


async def route(worker: SdkWorker, function: str, path: str, **config: Any) -> None:
    config = {"api_path": path, "http_method": "GET", **config}
    await worker.ask("trigger", key=function, type="http", function=function, config=config)


def called(worker: SdkWorker, unique: str) -> list[str]:
    """The functions of a test that were called, in their order."""
    return [event["function"] for event in worker.events("called") if event["function"].startswith(unique)]


async def status(cluster: Cluster, path: str, wanted: int, gateway: int = 0) -> None:
    """Returns when the path is answered with that status."""

    async def answered() -> bool:
        return (await ask(cluster, gateway, "GET", path)).status == wanted

    await eventually(answered)


@every_client
async def test_a_health_route_appears_and_disappears(
    fleet: Fleet, shared_cluster: Cluster, unique: str, generation: Generation
) -> None:
    worker = await fleet.worker(generation, 1)
    function, path = f"{unique}::health", f"/{unique}/health"
    for gateway in (0, 1):
        assert (await ask(shared_cluster, gateway, "GET", path)).status == 404
    await worker.register(function, "value", value={"status_code": 200, "body": {"status": "ok"}})
    await route(worker, function, path.removeprefix("/"), description="Health check")
    for gateway in (0, 1):
        await status(shared_cluster, path, 200, gateway)
    await worker.ask("unregister", function=function)
    await worker.ask("untrigger", key=function)
    for gateway in (0, 1):
        await status(shared_cluster, path, 404, gateway)


@every_client
async def test_a_route_of_the_same_shape_with_other_names_is_refused(
    fleet: Fleet, shared_cluster: Cluster, unique: str, generation: Generation
) -> None:
    first, second = await fleet.worker(generation, 1), await fleet.worker(generation, 0)
    for worker, name in ((first, "x"), (second, "y")):
        value = {"status_code": 200, "body": {"by": name}}
        await worker.register(f"{unique}::{name}", "value", value=value)
    await route(first, f"{unique}::x", f"{unique}/items/:x")
    await routed(shared_cluster, "GET", f"/{unique}/items/1")
    await route(second, f"{unique}::y", f"{unique}/items/:y")
    # What it registers afterwards is decided afterwards.
    await route(second, f"{unique}::y", f"{unique}/others")
    await routed(shared_cluster, "GET", f"/{unique}/others")
    for gateway in (0, 1):
        assert (await ask(shared_cluster, gateway, "GET", f"/{unique}/items/1")).json() == {"by": "x"}
    if generation in (PYTHON_25, PYTHON_23, NODE_22):
        await eventually(lambda: "conflicts with already-registered route" in second.tail())


@every_client
async def test_a_condition_decides_whether_the_handler_runs(
    fleet: Fleet, shared_cluster: Cluster, unique: str, generation: Generation
) -> None:
    worker, path = await fleet.worker(generation, 1), f"/{unique}/guarded"
    await worker.register(f"{unique}::no", "value", value=False)
    await worker.register(f"{unique}::handler", "value", value={"status_code": 200, "body": {}})
    await route(worker, f"{unique}::handler", path, condition_function_id=f"{unique}::no")
    await status(shared_cluster, path, 422)
    answer = await ask(shared_cluster, 0, "GET", path)
    assert answer.json() == {
        "error": {"code": "CONDITION_NOT_MET", "message": "Request condition not met"},
        "skipped": True,
    }
    assert worker.events("called", function=f"{unique}::handler") == []


# Middleware


@pytest.fixture
async def guarded(fleet: Fleet, shared_cluster: Cluster, unique: str) -> Any:
    """Makes a route with middleware that returns these values, in this order; its worker and its path."""

    async def guarded(generation: Generation, *returned: Any) -> tuple[SdkWorker, str]:
        worker, path = await fleet.worker(generation, 1), f"/{unique}/things"
        names = [f"{unique}::middleware::{index}" for index in range(len(returned))]
        for name, value in zip(names, returned, strict=True):
            await worker.register(name, "value", value=value)
        await worker.register(f"{unique}::handler", "value", value={"status_code": 200, "body": {"handled": True}})
        await route(worker, f"{unique}::handler", f"{path}/:id", middleware_function_ids=names)
        await routed(shared_cluster, "GET", f"{path}/7")
        return worker, path

    return guarded


@every_client
async def test_middleware_that_says_continue_lets_the_handler_answer(
    guarded: Any, shared_cluster: Cluster, unique: str, generation: Generation
) -> None:
    worker, path = await guarded(generation, {"action": "continue"}, {"action": "continue"})
    answer = await ask(shared_cluster, 0, "GET", f"{path}/7?q=hello", headers={"x-mine": "yes"})
    assert (answer.status, answer.json()) == (200, {"handled": True})
    order = [f"{unique}::middleware::0", f"{unique}::middleware::1", f"{unique}::handler"]
    await eventually(lambda: called(worker, unique) == order)
    given = (await worker.event("called", function=f"{unique}::middleware::0"))["data"]
    assert given["phase"] == "preHandler"
    request = given["request"]
    assert (request["method"], request["path_params"], request["query_params"]) == ("GET", {"id": "7"}, {"q": "hello"})
    assert request["headers"]["x-mine"] == "yes"


@every_client
async def test_middleware_that_responds_keeps_the_handler_from_being_called(
    guarded: Any, shared_cluster: Cluster, unique: str, generation: Generation
) -> None:
    worker, path = await guarded(generation, FORBIDDEN, {"action": "continue"})
    answer = await ask(shared_cluster, 0, "GET", f"{path}/7")
    assert (answer.status, answer.headers["x-by"], answer.json()) == (403, "gate", {"no": "way"})
    await eventually(lambda: called(worker, unique) == [f"{unique}::middleware::0"])
    await worker.call(f"{unique}::handler", {})  # comes after whatever the request had called
    await eventually(lambda: called(worker, unique) == [f"{unique}::middleware::0", f"{unique}::handler"])


async def test_middleware_of_the_configuration_runs_on_every_route(
    make_cluster: Any, launch: Launch, tmp_path: Any
) -> None:
    config = tmp_path / "config.yaml"
    middleware = "[{function_id: late, phase: preHandler, priority: 5}, {function_id: early, phase: preHandler}]"
    config.write_text(f"workers:\n  - name: iii-http\n    config:\n      middleware: {middleware}\n")
    cluster = make_cluster(options={"config": str(config)})
    worker = await launch(PYTHON_25, cluster.gateways[1].url)
    other = await launch(NODE_22, cluster.gateways[0].url)
    for function in ("early", "late"):
        await other.register(function, "value", value={"action": "continue"})
    await worker.register("own", "value", value={"action": "continue"})
    await worker.register("handler", "value", value={"status_code": 200, "body": {}})
    await known(other, "own", "handler")
    await known(worker, "early", "late")
    await route(worker, "handler", "a", middleware_function_ids=["own"])
    await routed(cluster, "GET", "/a")
    assert (await ask(cluster, 0, "GET", "/a")).status == 200
    await eventually(lambda: called(other, "") == ["early", "late"])
    await eventually(lambda: called(worker, "") == ["own", "handler"])
    await other.ask("unregister", function="early")
    await other.register("early", "value", value=FORBIDDEN)

    async def stopped() -> bool:
        return (await ask(cluster, 1, "GET", "/a")).status == 403

    await eventually(stopped)


# Namespaces


@pytest.mark.parametrize("generation", [PYTHON_25, PYTHON_23], ids=str)
async def test_what_a_route_names_is_looked_for_in_the_namespace_of_its_worker(
    fleet: Fleet, shared_cluster: Cluster, launch: Launch, unique: str, generation: Generation
) -> None:
    function, gate, check = f"{unique}::handler", f"{unique}::gate", f"{unique}::check"
    default = await fleet.worker(PYTHON_9, 0)
    await default.register(function, "value", value={"status_code": 200, "body": {"by": "default"}})
    await default.register(gate, "value", value=FORBIDDEN)
    await default.register(check, "value", value=False)
    own = await launch(generation, shared_cluster.gateways[1].url, namespace=unique)
    await own.register(function, "value", value={"status_code": 200, "body": {"by": "own"}})
    await own.register(gate, "value", value={"action": "continue"})
    await own.register(check, "value", value=True)
    await route(own, function, f"{unique}/a", middleware_function_ids=[gate], condition_function_id=check)
    await routed(shared_cluster, "GET", f"/{unique}/a")
    for gateway in (0, 1):
        answer = await ask(shared_cluster, gateway, "GET", f"/{unique}/a")
        assert (answer.status, answer.json()) == (200, {"by": "own"})
    await eventually(lambda: called(own, unique)[:3] == [check, gate, function])
    for name in (function, gate, check):
        assert default.events("called", function=name) == []
