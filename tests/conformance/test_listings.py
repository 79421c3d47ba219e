"""What clients see of the cluster through their own listing calls, whichever gateway they ask."""

import pytest

from tests.conformance.conftest import Fleet, Launch
from tests.conformance.known import known, unknown
from tests.support.cluster import Cluster
from tests.support.eventually import eventually
from tests.support.raw import raw_worker
from tests.support.sdk_worker import SdkWorker
from tests.support.sdks import GENERATIONS, PYTHON_25, Generation

GATEWAYS = [0, 1]


@pytest.mark.parametrize("gateway", GATEWAYS)
@pytest.mark.parametrize("asking", GENERATIONS, ids=str)
async def test_functions_of_all_gateways_are_listed(
    fleet: Fleet, unique: str, asking: Generation, gateway: int
) -> None:
    client = await fleet.worker(asking, gateway)
    names = []
    for place in GATEWAYS:
        serving = await fleet.worker(PYTHON_25, place)
        names.append(f"{unique}::on-{place}")
        await serving.register(names[-1], description=f"served on {place}")
    await known(client, *names)

    rows = [row for row in await client.ask("functions") if row["function_id"].startswith(unique)]

    assert [row["function_id"] for row in rows] == names
    assert [row["description"] for row in rows] == ["served on 0", "served on 1"]


@pytest.mark.parametrize("gateway", GATEWAYS)
@pytest.mark.parametrize("asking", GENERATIONS, ids=str)
async def test_an_unregistered_function_leaves_the_list(
    fleet: Fleet, unique: str, asking: Generation, gateway: int
) -> None:
    client = await fleet.worker(asking, gateway)
    serving = await fleet.worker(PYTHON_25, 0)
    await serving.register(f"{unique}::gone")
    await known(client, f"{unique}::gone")

    await serving.ask("unregister", function=f"{unique}::gone")

    await unknown(client, f"{unique}::gone")


@pytest.mark.parametrize("gateway", GATEWAYS)
@pytest.mark.parametrize("asking", GENERATIONS, ids=str)
async def test_workers_of_all_gateways_are_listed(fleet: Fleet, asking: Generation, gateway: int) -> None:
    client = await fleet.worker(asking, gateway)
    fellows = [await fleet.worker(generation, place) for generation in GENERATIONS for place in GATEWAYS]
    ids = {await fellow.worker_id(): fellow for fellow in fellows}

    async def all_listed() -> dict[str, dict[str, object]]:
        rows = {row["id"]: row for row in await client.ask("workers")}
        assert ids.keys() <= rows.keys()
        # The announcement follows the connection.
        assert all(rows[id]["name"] == fellow.name for id, fellow in ids.items())
        return rows

    rows = await eventually(all_listed)
    for id, fellow in ids.items():
        assert rows[id]["runtime"] == fellow.generation.language
        assert rows[id]["version"] == fellow.generation.version
        assert rows[id]["status"] == "connected"


@pytest.mark.parametrize("leaving", GENERATIONS, ids=str)
async def test_a_worker_that_left_is_listed_nowhere(
    fleet: Fleet, launch: Launch, shared_cluster: Cluster, leaving: Generation
) -> None:
    near, far = await fleet.worker(PYTHON_25, 0), await fleet.worker(PYTHON_25, 1)
    worker = await launch(leaving, shared_cluster.gateways[0].url)
    gone = await worker.worker_id()

    async def listed(asking: SdkWorker) -> bool:
        return gone in {row["id"] for row in await asking.ask("workers")}

    await eventually(lambda: listed(near))
    await eventually(lambda: listed(far))
    await worker.shutdown()

    async def forgotten() -> bool:
        return not await listed(near) and not await listed(far)

    await eventually(forgotten)


@pytest.mark.parametrize("asking", GENERATIONS, ids=str)
async def test_schemas_of_newer_clients_do_not_break_the_list_of_older_ones(
    fleet: Fleet, shared_cluster: Cluster, unique: str, asking: Generation
) -> None:
    """The oldest clients know another form of schemas, and check it."""
    client = await fleet.worker(asking, 0)
    schema = {"type": "object", "properties": {"a": {"type": "string"}}, "required": ["a"]}
    async with raw_worker(shared_cluster.gateways[1].url) as newer:
        await newer.register(f"{unique}::typed", request_format=schema, response_format=schema)
        await known(client, f"{unique}::typed")
