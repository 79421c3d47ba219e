"""Steps of the published framework: their triggers on one gateway, what sets them off on the other."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from websockets.asyncio.client import connect

from tests.conformance.web import ask, routed
from tests.support.cluster import Cluster
from tests.support.eventually import eventually
from tests.support.motia import LANGUAGES, motia_app
from tests.support.raw import RawWorker, raw_worker
from tests.support.sdks import ClientMissing


@pytest.fixture(scope="module", params=LANGUAGES)
def app(
    request: pytest.FixtureRequest, shared_cluster: Cluster, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[str]:
    """The name of a running application on the first gateway."""
    name = f"motia-{request.param}-{tmp_path_factory.getbasetemp().name}"
    directory: Path = tmp_path_factory.mktemp("motia")
    try:
        with motia_app(request.param, name, shared_cluster.gateways[0].url, directory):
            yield name
    except ClientMissing as missing:
        pytest.skip(f"motia for {request.param}: {missing}")


async def noted(worker: RawWorker, app: str, what: str) -> Any:
    """What the application noted, as soon as it has."""
    place = {"scope": f"{app}-notes", "key": what}

    async def there() -> bool:
        return await worker.call("state::get", place) is not None

    await eventually(there, within=60)  # it may have to start first
    return await worker.call("state::get", place)


async def test_a_step_gets_what_is_enqueued_to_its_topic(app: str, shared_cluster: Cluster) -> None:
    async with raw_worker(shared_cluster.gateways[1].url) as worker:
        await noted(worker, app, "ready")
        await worker.call("enqueue", {"topic": f"{app}-topic", "data": {"order": 7}})
        assert await noted(worker, app, "queue") == {"order": 7}


async def test_a_step_gets_changes_of_state_that_its_condition_lets_through(app: str, shared_cluster: Cluster) -> None:
    async with raw_worker(shared_cluster.gateways[1].url) as worker:
        await noted(worker, app, "ready")
        await worker.call("state::set", {"scope": f"{app}-other", "key": "k", "value": 1})
        await worker.call("state::set", {"scope": f"{app}-in", "key": "k", "value": {"n": 2}})
        event = await noted(worker, app, "state")
    assert (event["scope"], event["key"], event["new_value"]) == (f"{app}-in", "k", {"n": 2})


async def test_a_step_gets_changes_of_its_stream(app: str, shared_cluster: Cluster) -> None:
    async with raw_worker(shared_cluster.gateways[1].url) as worker:
        await noted(worker, app, "ready")
        place = {"stream_name": f"{app}-stream", "item_id": "i", "data": {"id": "i", "n": 1}}
        await worker.call("stream::set", {**place, "group_id": "another"})
        await worker.call("stream::set", {**place, "group_id": "g"})
        event = await noted(worker, app, "stream")
    assert (event["streamName"], event["groupId"], event["id"]) == (f"{app}-stream", "g", "i")


async def test_a_step_runs_on_its_schedule(app: str, shared_cluster: Cluster) -> None:
    async with raw_worker(shared_cluster.gateways[1].url) as worker:
        await noted(worker, app, "ready")
        assert await noted(worker, app, "cron") == "nothing"


async def test_a_stream_tells_the_application_who_joins(app: str, shared_cluster: Cluster) -> None:
    gateway = shared_cluster.gateways[1]
    async with (
        raw_worker(gateway.url) as worker,
        connect(f"ws://127.0.0.1:{gateway.ports['stream']}/") as client,
    ):
        await noted(worker, app, "ready")
        join = {"subscriptionId": "s", "streamName": f"{app}-stream", "groupId": "room"}
        await client.send(json.dumps({"type": "join", "data": join}))
        assert json.loads(await client.recv())["event"]["type"] == "sync"
        assert await noted(worker, app, "join") == {"group_id": "room", "auth": None}


async def test_a_step_answers_requests(app: str, shared_cluster: Cluster) -> None:
    path = f"/{app}/orders/42"
    await routed(shared_cluster, "POST", path)
    answer = await ask(shared_cluster, 1, "POST", path, json={"qty": 3})
    assert (answer.status, answer.headers["x-step"]) == (201, "order")
    assert answer.json() == {"id": "42", "qty": 3}
    answer = await ask(shared_cluster, 1, "POST", f"{path}?closed=yes", json={"qty": 3})
    assert (answer.status, answer.json()) == (403, {"closed": True})


async def test_a_step_streams_its_response_if_its_condition_holds(app: str, shared_cluster: Cluster) -> None:
    path = f"/{app}/lines"
    await routed(shared_cluster, "GET", path)
    answer = await ask(shared_cluster, 1, "GET", f"{path}?please=1")
    assert (answer.status, answer.headers["content-type"]) == (206, "text/plain")
    assert answer.body == b"line 0\nline 1\nline 2\n"
    assert (await ask(shared_cluster, 1, "GET", path)).status == 422


async def test_the_frameworks_own_route_is_there(app: str, shared_cluster: Cluster) -> None:
    await routed(shared_cluster, "GET", "/__motia/step/none")
    answer = await ask(shared_cluster, 1, "GET", "/__motia/step/none")
    assert answer.status == 404
    assert "error" in answer.json()
    assert answer.json()["error"] != "Not Found"
