"""What sockets cost a gateway is given back."""

import asyncio
import contextlib
import json
import socket
import struct
import urllib.request
from typing import Any

import psutil
from websockets.asyncio.client import connect

from tests.support.cluster import Cluster, ClusterNode
from tests.support.eventually import eventually
from tests.support.raw import echo, raw_worker

CYCLES = 1000
AT_ONCE = 50


def _service(gateway: ClusterNode) -> Any:
    with urllib.request.urlopen(f"{gateway.admin_url}/status", timeout=30) as answer:
        return json.load(answer)["service"]


def _usage(gateway: ClusterNode) -> dict[str, int]:
    service = _service(gateway)
    counted = ("connections", "workers", "registrations", "in_flight", "tasks")
    return {"fds": psutil.Process(gateway.pid).num_fds()} | {name: service[name] for name in counted}


async def _connect_and_die(url: str, number: int) -> None:
    """A worker that registers, calls itself without answering, and ends by a TCP reset."""
    async with connect(url, ping_interval=None) as client:
        await client.recv()
        await client.send(json.dumps({"type": "registerfunction", "id": f"cycle::f{number}"}))
        call = {"function_id": f"cycle::f{number}", "invocation_id": "0d0f8b5e-90bd-4d6a-9a39-5b6e2a9d9a10"}
        await client.send(json.dumps({"type": "invokefunction", **call, "data": {}}))
        await client.recv()
        raw = client.transport.get_extra_info("socket")
        raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        client.transport.abort()


async def test_a_thousand_killed_connections_leave_nothing_behind(own_cluster: Cluster) -> None:
    gateway = own_cluster.gateways[0]
    await _connect_and_die(gateway.url, 0)
    await eventually(lambda: _service(gateway)["connections"] == _service(gateway)["in_flight"] == 0)
    before = _usage(gateway)
    for first in range(0, CYCLES, AT_ONCE):
        await asyncio.gather(*(_connect_and_die(gateway.url, first + n) for n in range(AT_ONCE)))

    def back() -> bool:
        now = _usage(gateway)
        assert now == before
        return True

    await eventually(back, within=30)
    async with raw_worker(own_cluster.gateways[1].url) as observer:

        async def cleaned() -> bool:
            rows = (await observer.call("engine::functions::list", {}))["functions"]
            return not [row for row in rows if row["function_id"].startswith("cycle::")]

        await eventually(cleaned, within=30)


async def test_half_open_handshakes_are_dropped(make_cluster: Any) -> None:
    cluster: Cluster = make_cluster(gateways=1, shards=1, options={"handshake-timeout": "1"})
    gateway = cluster.gateways[0]
    port = gateway.ports["worker"]
    before = _usage(gateway)["fds"]
    idle = [await asyncio.open_connection("127.0.0.1", port) for _ in range(20)]
    for _, writer in idle[10:]:
        writer.write(b"GET / HTTP/1.1\r\nHost: x\r\n")  # begun, never finished
    async with raw_worker(gateway.url) as worker:
        await worker.register("f", echo)
        for reader, writer in idle:
            async with asyncio.timeout(15):
                with contextlib.suppress(ConnectionResetError):
                    assert await reader.read() == b""
            writer.close()
        assert await worker.call("f", {"x": 1}) is not None
    await eventually(lambda: _usage(gateway)["fds"] == before)
