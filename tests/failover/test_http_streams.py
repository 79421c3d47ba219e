"""Responses whose stream loses a gateway: clients must not take them for complete ones."""

import asyncio
from functools import partial

import pytest
from websockets.exceptions import ConnectionClosed

from tests.support import admin
from tests.support.channels import end
from tests.support.cluster import Cluster
from tests.support.eventually import eventually
from tests.support.http_peer import http_peer, request
from tests.support.raw import RawWorker, raw_worker


async def routed(port: int) -> bool:
    async with http_peer(port) as peer:
        return (await peer.ask("OPTIONS", "/stream")).status == 204


async def serve(worker: RawWorker, port: int) -> None:
    await worker.register("stream")
    config = {"api_path": "stream", "http_method": "GET"}
    await worker.send("registertrigger", id="t", trigger_type="http", function_id="stream", config=config)
    await eventually(partial(routed, port))


@pytest.mark.parametrize("killed", [True, False], ids=["killed", "drained"])
async def test_a_stream_whose_gateway_goes_is_cut_although_its_handler_fails_of_that(
    own_cluster: Cluster, killed: bool
) -> None:
    here, other = own_cluster.gateways
    async with raw_worker(here.url) as worker, http_peer(here.ports["http"]) as client:
        await serve(worker, here.ports["http"])
        await client.send(request("GET", "/stream"))
        frame = await worker.expect("invokefunction", function_id="stream")
        async with end(other.url, frame["data"]["response"]) as channel:
            await channel.send(b"first")
            assert (await client.head()).headers["transfer-encoding"] == "chunked"
            if killed:
                other.kill()
            else:
                drain = {"node": other.id, "timeout": 1}
                assert (await asyncio.to_thread(admin.post, f"{here.admin_url}/drain", drain))[0] == 202
            with pytest.raises(ConnectionClosed):
                await channel.recv()
            await worker.answer(frame, error={"code": "invocation_failed", "message": "the connection is closed"})
        assert await client.ended() == b"5\r\nfirst\r\n"
    assert here.log.read_text().count("action=http_stream_") == 1
