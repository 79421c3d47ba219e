"""HTTP clients during `iii-cluster restart --rolling`: gateways share the port and take over from each other."""

import asyncio

import pytest

from tests.support.eventually import eventually
from tests.support.http_load import HttpLoad
from tests.support.http_peer import http_peer
from tests.support.reconnecting import Reconnecting, reconnecting
from tests.support.up import MakeUp, run

DELAY = 1.0  # s before a worker connects again, as with published ones


async def serve(worker: Reconnecting, path: str, seconds: float) -> None:
    async def answer(frame: object) -> object:
        await asyncio.sleep(seconds)
        return {"status_code": 200, "body": {"ok": True}}

    function = f"serve{path}"
    await worker.register(function, answer)
    await worker.trigger(f"get{path}", "http", function, {"api_path": path, "http_method": "GET"})


@pytest.mark.parametrize("topology", [(), ("--gateways", "2")], ids=["one gateway", "two gateways"])
async def test_a_rolling_restart_fails_no_request(make_up: MakeUp, topology: tuple[str, ...]) -> None:
    up = await make_up(*topology).ready()
    port = int(up.find(r"^http +routes at http://127\.0\.0\.1:(\d+)"))
    assert all(node["ports"]["http"] == port for node in up.nodes("gateway"))
    async with reconnecting(f"ws://127.0.0.1:{up.worker_port}", delay=DELAY) as worker:
        await serve(worker, "/quick", 0.001)
        await serve(worker, "/slow", 0.3)  # as long as its worker may go on with it when it is sent away

        async def routed() -> bool:
            async with http_peer(port) as peer:
                return {(await peer.ask("GET", path)).status for path in ("/quick", "/slow")} == {200}

        await eventually(routed)
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
