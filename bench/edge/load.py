"""Load processes of these scenarios: HTTP clients with a worker beside them, and ends of channels."""

import asyncio
import json
import os
from collections.abc import Mapping
from time import perf_counter

from msgspec import Struct

from bench.figures import percentile
from bench.load import announcement, registration
from bench.modules.load import Calls
from bench.remote import CallReport, Load, main
from bench.usage import cpu_seconds
from bench.wire import Endpoint, connect, header

from .http import Answering, opened, request, route

FUNCTION = "bench::http"
BINARY = 2  # opcode
CHUNK = 64 * 2**10  # bytes of one message of a channel, as SDKs write them
ROUTE_TIMEOUT = 60.0  # s until registered routes answer


class Transfer(Struct, frozen=True):
    """Of one channel."""

    size: int  # bytes
    seconds: float
    cpu_seconds: dict[str, float]  # by name of the process watched

    @property
    def mb_per_s(self) -> float:
        return self.size / self.seconds / 1e6


class EdgeLoad(Load):
    """What a load process does on request."""

    # -- HTTP --------------------------------------------------------------------------------------

    async def http_worker(self, url: str, routes: int, first: int = 0) -> None:
        """A worker with `routes` paths, /bench/<number>/:id, for GET and for POST."""
        endpoint = await connect(url, Answering().receive)
        triggers = [route(number, f"/bench/{number // 2}/:id", FUNCTION) for number in range(2 * first, 2 * routes)]
        await endpoint.send_many([announcement(f"bench-http-{first}"), registration(FUNCTION), *triggers])
        self._endpoints.append(endpoint)

    async def until_routed(self, port: int, path: str) -> None:
        """Returns when the path answers 200."""
        async with asyncio.timeout(ROUTE_TIMEOUT):
            while True:
                client = await opened(port, request(port, path))
                client.running = False
                await client.ended
                if client.latencies and not client.failures:
                    return
                await asyncio.sleep(0.05)

    async def http(
        self,
        port: int,
        path: str,
        body: str,
        connections: int,
        seconds: float,
        warm_up: float,
        watch: Mapping[str, int],
    ) -> CallReport:
        """Requests over keep-alive connections, one at a time on each."""
        message = request(port, path, body.encode())
        clients = [await opened(port, message) for _ in range(connections)]
        pids = {**watch, "load": os.getpid()}
        await asyncio.sleep(warm_up)
        for client in clients:
            client.latencies, client.failures = [], 0
        cpu = {name: cpu_seconds(pid) for name, pid in pids.items()}
        begin = perf_counter()
        await asyncio.sleep(seconds)
        elapsed = perf_counter() - begin
        cpu = {name: cpu_seconds(pid) - cpu[name] for name, pid in pids.items()}
        times = sorted(time for client in clients for time in client.latencies)
        failures = sum(client.failures for client in clients)
        for client in clients:
            client.running = False
        _, late = await asyncio.wait([client.ended for client in clients], timeout=5.0)
        if not times:
            raise RuntimeError(f"nobody answered GET {path} on port {port}")
        p50, p90, p99 = (percentile(times, percent) * 1000 for percent in (50, 90, 99))
        return CallReport(len(times), elapsed, failures, len(late), p50, p90, p99, times[-1] * 1000, cpu)

    # -- channels ----------------------------------------------------------------------------------

    async def transfer(
        self, url: str, writer_url: str, reader_url: str, size: int, watch: Mapping[str, int]
    ) -> Transfer:
        """`size` bytes through one channel made at `url`, until the reader has all."""
        calls = Calls()
        caller = await connect(url, calls.receive)
        made = json.loads(await calls.call(caller, "engine::channels::create", {}))
        caller.close()
        ref = made["result"]["reader"]
        got = 0
        done = asyncio.Event()

        def read(_endpoint: Endpoint, messages: list[bytes]) -> None:
            nonlocal got
            got += sum(map(len, messages))
            if got >= size:
                done.set()

        reader = await connect(_channel(reader_url, ref, "read"), read)
        writer = await connect(_channel(writer_url, ref, "write"), lambda _endpoint, _messages: None)
        chunk = header(CHUNK, BINARY) + os.urandom(CHUNK)
        cpu = {name: cpu_seconds(pid) for name, pid in watch.items()}
        begin = perf_counter()
        for _ in range(size // CHUNK):
            writer.write(chunk)
            await writer.writable()
        await asyncio.wait_for(done.wait(), 60.0)
        elapsed = perf_counter() - begin
        writer.close()
        reader.close()
        return Transfer(size, elapsed, {name: cpu_seconds(pid) - cpu[name] for name, pid in watch.items()})


def _channel(url: str, ref: Mapping[str, str], direction: str) -> str:
    return f"{url.rstrip('/')}/ws/channels/{ref['channel_id']}?key={ref['access_key']}&dir={direction}"


if __name__ == "__main__":
    main(EdgeLoad)
