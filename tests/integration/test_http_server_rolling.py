"""HTTP clients whose gateway goes, or comes back: by `iii-cluster restart --rolling`, by a drain, after it was lost."""

import asyncio
import json
import time
from functools import partial

import pytest

from tests.support import admin
from tests.support.cluster import Cluster, ClusterNode
from tests.support.eventually import eventually
from tests.support.http_load import HttpLoad
from tests.support.http_peer import http_peer, request
from tests.support.raw import Frame, Handler
from tests.support.reconnecting import Gate, Reconnecting, reconnecting
from tests.support.up import MakeUp, run

DELAY = 1.0  # s before a worker connects again, as with published ones


async def serve(worker: Reconnecting, path: str, handler: Handler) -> None:
    function = f"serve{path}"
    await worker.register(function, handler)
    await worker.trigger(f"get{path}", "http", function, {"api_path": path, "http_method": "GET"})


def answered(_frame: Frame) -> object:
    return {"status_code": 200, "body": {"ok": True}}


async def answered_slowly(frame: Frame) -> object:
    """It takes as long as a worker may go on with it when it is sent away."""
    await asyncio.sleep(0.3)
    return answered(frame)


async def routed(port: int, path: str) -> bool:
    async with http_peer(port) as peer:
        return (await peer.ask("GET", path)).status == 200


@pytest.mark.parametrize("topology", [(), ("--gateways", "2")], ids=["one gateway", "two gateways"])
async def test_a_rolling_restart_fails_no_request(make_up: MakeUp, topology: tuple[str, ...]) -> None:
    up = await make_up(*topology).ready()
    port = int(up.find(r"^http +routes at http://127\.0\.0\.1:(\d+)"))
    assert all(node["ports"]["http"] == port for node in up.nodes("gateway"))
    async with reconnecting(f"ws://127.0.0.1:{up.worker_port}", delay=DELAY) as worker:
        await serve(worker, "/quick", answered)
        await serve(worker, "/slow", answered_slowly)
        for path in ("/quick", "/slow"):
            await eventually(partial(routed, port, path))
        loads = [HttpLoad(port, 4, "/quick", pause=0.002), HttpLoad(port, 4, "/slow")]
        try:
            await loads[0].some_more(100)
            done = await run("restart", "--rolling", "--data-dir", str(up.data_dir))
            assert done.returncode == 0, done.stderr
            await loads[0].some_more(100)
            await loads[1].some_more(4)
        finally:
            for load in loads:
                await load.end()
        assert [load.failures for load in loads] == [[], []]
    assert up.stop() == 0


async def test_a_request_is_answered_although_its_gateway_drains_and_its_worker_has_left(own_cluster: Cluster) -> None:
    draining, other = own_cluster.gateways
    gate = Gate(answered)
    async with reconnecting(draining.url, other.url) as worker:
        await serve(worker, "/quick", answered)
        await serve(worker, "/gate", gate)
        await eventually(partial(routed, draining.ports["http"], "/quick"))
        async with http_peer(draining.ports["http"]) as peer:
            await peer.send(request("GET", "/gate"))
            await asyncio.wait_for(gate.called.wait(), 10)
            draining.terminate()
            await worker.connections(2)
            gate.opened.set()
            answer = await peer.answer()
            assert (answer.status, answer.value, answer.headers["connection"]) == (200, {"ok": True}, "close")
            assert await peer.ended() == b""
        assert await routed(other.ports["http"], "/quick")
    assert draining.wait() == 0


async def test_a_gateway_that_drains_serves_requests_of_idle_connections_whose_workers_have_left(
    own_cluster: Cluster,
) -> None:
    draining, other = own_cluster.gateways
    async with reconnecting(draining.url, other.url) as worker:
        await serve(worker, "/quick", answered)
        await eventually(partial(routed, draining.ports["http"], "/quick"))
        async with http_peer(draining.ports["http"]) as first, http_peer(draining.ports["http"]) as second:
            for peer in (first, second):
                assert "connection" not in (await peer.ask("GET", "/quick")).headers
            draining.terminate()
            await eventually(lambda: not worker.connected or len(worker.identities) > 1)
            answer = await first.ask("GET", "/quick")  # while the worker is on its way
            assert (answer.status, answer.value, answer.headers["connection"]) == (200, {"ok": True}, "close")
            assert len(worker.identities) > 1
            answer = await second.ask("GET", "/quick")
            assert (answer.status, answer.headers["connection"]) == (200, "close")
            assert await first.ended() == await second.ended() == b""
    assert draining.wait() == 0


async def test_a_gateway_that_was_declared_dead_goes_on_with_the_clients_it_has(own_cluster: Cluster) -> None:
    lost, other = own_cluster.gateways
    async with reconnecting(other.url) as worker:
        await serve(worker, "/quick", answered)
        await eventually(partial(routed, lost.ports["http"], "/quick"))
        async with http_peer(lost.ports["http"]) as peer:
            assert (await peer.ask("GET", "/quick")).status == 200
            lost.pause()
            await asyncio.to_thread(_until_the_others_know, other, lost.id)
            lost.resume()

            async def serves() -> bool:
                return (await peer.ask("GET", "/quick")).status == 200

            await eventually(lambda: "action=rejoined" in lost.log.read_text())
            await eventually(serves)


def _until_the_others_know(other: ClusterNode, lost: str) -> None:
    while lost in json.dumps(admin.get(f"{other.admin_url}/cluster")[1]):
        time.sleep(0.05)
