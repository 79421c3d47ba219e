"""Routes that are registered in one breath: the order of their frames counts, not their ids."""

from tests.support.cluster import Cluster
from tests.support.eventually import eventually
from tests.support.http_peer import http_peer
from tests.support.raw import Frame, raw_worker

ROUNDS = 20


def _trigger(id: str, function: str, path: str) -> Frame:
    config = {"api_path": path, "http_method": "GET"}
    return {"type": "registertrigger", "id": id, "trigger_type": "http", "function_id": function, "config": config}


async def test_the_second_of_two_rivals_is_the_one_that_is_refused(shared_cluster: Cluster, unique: str) -> None:
    async with raw_worker(shared_cluster.gateways[0].url) as worker:
        for number in range(ROUNDS):
            path = f"{unique}/rivals/{number}"
            first, second = f"{path}/b", f"{path}/a"
            worker.send_together(_trigger(first, unique, f"{path}/:x"), _trigger(second, unique, f"{path}/:y"))
            said = await worker.expect("triggerregistrationresult")
            assert said["id"] == second


async def test_the_second_of_two_triggers_of_a_route_serves(shared_cluster: Cluster, unique: str) -> None:
    here, there = shared_cluster.gateways
    async with raw_worker(here.url) as worker, http_peer(there.ports["http"]) as client:
        await worker.register(f"{unique}::first", lambda _: {"body": "first"})
        await worker.register(f"{unique}::second", lambda _: {"body": "second"})
        for number in range(ROUNDS):
            path = f"{unique}/same/{number}"
            worker.send_together(
                _trigger(f"{path}/b", f"{unique}::first", path), _trigger(f"{path}/a", f"{unique}::second", path)
            )

        async def served() -> bool:
            return (await client.ask("GET", f"/{unique}/same/{ROUNDS - 1}")).body == b'"second"'

        await eventually(served)
        for number in range(ROUNDS):
            assert (await client.ask("GET", f"/{unique}/same/{number}")).value == "second"
