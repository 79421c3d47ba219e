"""A gateway is told to stop: its workers go elsewhere, and no call is lost on the way."""

import asyncio
import json
from collections.abc import Callable
from contextlib import AsyncExitStack
from typing import Any

import pytest
from websockets.client import ClientProtocol
from websockets.exceptions import ConnectionClosed, InvalidHandshake
from websockets.protocol import State
from websockets.uri import parse_uri

from tests.support import admin
from tests.support.cluster import Cluster
from tests.support.eventually import eventually
from tests.support.history import calling
from tests.support.raw import CallFailed, echo, known, raw_worker, workers_listed
from tests.support.reconnecting import Gate, reconnecting

RESTART = 1012
OLD = "0.9.0"  # a client generation that does not say who it was when it connects again

PLACES = {
    "both on the draining gateway": (0, 0),
    "the caller on the draining gateway": (0, 1),
    "the callee on the draining gateway": (1, 0),
}


async def known_to(worker: Any, function: str) -> None:
    async def listed() -> bool:
        rows = (await worker.call("engine::functions::list", {}))["functions"]
        return function in {row["function_id"] for row in rows}

    await eventually(listed)


@pytest.mark.parametrize("places", PLACES.values(), ids=PLACES)
async def test_no_call_is_lost(own_cluster: Cluster, places: tuple[int, int]) -> None:
    draining, other = own_cluster.gateways
    first, last = ([own_cluster.gateways[place].url, other.url] for place in places)
    async with reconnecting(*first) as caller, reconnecting(*last) as callee:
        await callee.register("steady::f", echo)
        await known_to(caller, "steady::f")
        async with calling(caller, "steady::f") as history:
            await history.more()
            draining.terminate()
            assert await asyncio.to_thread(draining.wait) == 0
            await history.more()
    assert not history.failed
    assert not history.mixed_up
    assert [worker.close_codes[0] for worker, place in zip((caller, callee), places, strict=True) if place == 0] == [
        RESTART
    ] * places.count(0)


@pytest.mark.parametrize("places", PLACES.values(), ids=PLACES)
async def test_a_call_in_mid_flight_ends_on_the_next_connections(own_cluster: Cluster, places: tuple[int, int]) -> None:
    draining, other = own_cluster.gateways
    first, last = ([own_cluster.gateways[place].url, other.url] for place in places)
    async with reconnecting(*first) as caller, reconnecting(*last) as callee:
        gate = Gate()
        await callee.register("slow::f", gate)
        await known_to(caller, "slow::f")
        call = await caller.begin("slow::f", {"n": 1})
        await gate.called.wait()
        draining.terminate()
        for worker, place in zip((caller, callee), places, strict=True):
            await worker.connections(2 if place == 0 else 1)
        await known_to(caller, "slow::f")
        gate.opened.set()
        assert (await caller.result(call))["n"] == 1
        assert await asyncio.to_thread(draining.wait) == 0


async def test_a_call_that_outlasts_the_drain_ends_with_an_error(make_cluster: Callable[..., Cluster]) -> None:
    draining, other = make_cluster(options={"drain-timeout": "3"}).gateways
    async with reconnecting(draining.url, other.url) as caller, reconnecting(other.url) as callee:
        gate = Gate()
        await callee.register("slow::f", gate)
        await known_to(caller, "slow::f")
        call = await caller.begin("slow::f")
        await gate.called.wait()
        draining.terminate()
        with pytest.raises(CallFailed, match="invocation_stopped"):
            await caller.result(call)
        assert await asyncio.to_thread(draining.wait) == 0


async def test_hundreds_of_idle_workers_are_all_sent_elsewhere(own_cluster: Cluster) -> None:
    draining, other = own_cluster.gateways
    async with raw_worker(other.url) as observer, AsyncExitStack() as stack:
        workers = [await stack.enter_async_context(raw_worker(draining.url, name=f"idle-{n}")) for n in range(400)]
        draining.terminate()
        await asyncio.gather(*(worker.wait_closed(within=30) for worker in workers))
        assert {worker.socket.close_code for worker in workers} == {RESTART}
        assert draining.wait() == 0
        gone = {worker.worker_id for worker in workers}
        await eventually(lambda: none_listed(observer, gone))


async def none_listed(observer: Any, workers: set[str]) -> bool:
    return not workers & await workers_listed(observer)


async def test_idle_workers_of_old_clients_are_sent_elsewhere_at_once(own_cluster: Cluster) -> None:
    draining, _ = own_cluster.gateways
    async with raw_worker(draining.url, version=OLD) as worker:
        await worker.flush()
        draining.terminate()
        await worker.wait_closed()
        assert worker.socket.close_code == RESTART
        assert draining.wait() == 0


async def test_a_busy_caller_on_an_old_client_gets_its_answer_first(make_cluster: Callable[..., Cluster]) -> None:
    cluster = make_cluster(options={"drain-timeout": "60"})
    draining, other = cluster.gateways
    async with raw_worker(draining.url, version=OLD) as caller, raw_worker(other.url) as callee:
        await callee.register("slow::f")
        await known(caller, "slow::f")
        call = await caller.begin("slow::f", {"n": 1})
        invocation = await callee.expect("invokefunction")
        draining.terminate()
        async with raw_worker(other.url) as observer:
            await eventually(lambda: refuses(draining.url))
            await caller.flush()
            await callee.answer(invocation, {"n": 2})
            assert (await caller.result(call))["result"] == {"n": 2}
            await caller.wait_closed()
            assert caller.socket.close_code == RESTART
            assert draining.wait() == 0
            await eventually(lambda: none_listed(observer, {caller.worker_id}))


async def refuses(url: str) -> bool:
    try:
        async with raw_worker(url):
            return False
    except (ConnectionClosed, InvalidHandshake):
        return False  # let in a moment before, and sent away or cut
    except OSError:
        return True


async def test_a_busy_caller_on_an_old_client_goes_when_half_of_the_grace_is_over(
    make_cluster: Callable[..., Cluster],
) -> None:
    cluster = make_cluster(options={"drain-timeout": "3"})
    draining, other = cluster.gateways
    async with raw_worker(draining.url, version=OLD) as caller, raw_worker(other.url) as callee:
        await callee.register("slow::f")
        await known(caller, "slow::f")
        await caller.begin("slow::f", {"n": 1})
        await callee.expect("invokefunction")
        draining.terminate()
        await caller.wait_closed(within=30)
        assert caller.socket.close_code == RESTART
        assert draining.wait() == 0


class Deaf:
    """A client that says things without reading what it is told, until it is asked to."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.ws = ClientProtocol(parse_uri("ws://127.0.0.1/"))
        self._reader = reader
        self._writer = writer

    async def say(self) -> None:
        self._writer.write(b"".join(self.ws.data_to_send()))
        await self._writer.drain()

    async def listen(self, until: State) -> None:
        while self.ws.state is not until:
            data = await self._reader.read(65536)
            self.ws.receive_data(data) if data else self.ws.receive_eof()
            await self.say()

    async def close(self) -> None:
        self._writer.close()
        await self._writer.wait_closed()


async def test_what_a_worker_says_before_it_hears_of_the_drain_is_taken(own_cluster: Cluster) -> None:
    draining, other = own_cluster.gateways
    async with raw_worker(other.url) as observer, raw_worker(draining.url) as neighbour:
        heard: list[Any] = []
        await observer.register("hear::f", lambda frame: heard.append(frame["data"]["n"]))
        await known(neighbour, "hear::f")
        worker = Deaf(*await asyncio.open_connection("127.0.0.1", draining.ports["worker"]))
        worker.ws.send_request(worker.ws.connect())
        await worker.say()
        await worker.listen(until=State.OPEN)
        draining.terminate()
        await neighbour.wait_closed()  # and so is the worker, but it does not know
        call = {"type": "invokefunction", "function_id": "hear::f", "action": {"type": "void"}}
        for n in range(20):
            worker.ws.send_text(json.dumps({**call, "data": {"n": n}}).encode())
        await worker.say()
        await worker.listen(until=State.CLOSED)
        assert worker.ws.close_code == RESTART
        await eventually(lambda: heard == list(range(20)))
        assert draining.wait() == 0
        await worker.close()


async def test_a_draining_gateway_is_alive_but_not_ready(make_cluster: Callable[..., Cluster]) -> None:
    cluster = make_cluster(options={"drain-timeout": "60"})
    draining, other = cluster.gateways
    async with raw_worker(draining.url, version=OLD) as caller, raw_worker(other.url) as callee:
        await callee.register("slow::f")
        await known(caller, "slow::f")
        call = await caller.begin("slow::f", {"n": 1})
        invocation = await callee.expect("invokefunction")
        draining.terminate()
        await eventually(lambda: refuses(draining.url))
        assert admin.get(f"{draining.admin_url}/readyz")[0] == 503
        assert admin.get(f"{draining.admin_url}/healthz")[0] == 200
        await callee.answer(invocation, {})
        await caller.result(call)
        assert draining.wait() == 0
