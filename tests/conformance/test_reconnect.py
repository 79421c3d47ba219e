"""Clients that lose their gateway: everything they registered works again without restarting them."""

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

from tests.conformance.conftest import Launch
from tests.conformance.known import known
from tests.support.balancer import Balancer
from tests.support.cluster import Cluster, ClusterNode
from tests.support.eventually import eventually
from tests.support.history import calling
from tests.support.raw import CallFailed
from tests.support.sdk_worker import SdkError, SdkWorker
from tests.support.sdks import GENERATIONS, NODE_22, PYTHON_23, PYTHON_25, Generation

ENDS: dict[str, Callable[[ClusterNode], object]] = {"killed": ClusterNode.kill, "stopped": ClusterNode.stop}


async def answers_again(caller: SdkWorker, function: str, worker: str) -> None:
    """Returns when a call of an echo function succeeds; until then it may not be found or be stopped."""

    allowed = {"function_not_found", "invocation_stopped"}

    async def answered() -> bool:
        try:
            answer = await caller.call(function, {})
        except SdkError as error:
            if error.code not in allowed:
                raise
            return False
        return bool(answer["worker"] == worker)

    await eventually(answered, within=30)


@pytest.mark.parametrize("end", ENDS)
@pytest.mark.parametrize("generation", GENERATIONS, ids=str)
async def test_a_client_survives_the_loss_of_its_gateway(
    launch: Launch, own_cluster: Cluster, generation: Generation, end: str
) -> None:
    lost, other = own_cluster.gateways
    client = await launch(generation, lost.url, "client")
    peer = await launch(PYTHON_25 if generation.language == "node" else NODE_22, other.url, "peer")
    await client.register("client::echo")
    await peer.register("peer::echo")
    await peer.ask("provide", type="bell")
    await client.ask("trigger", key="bell", type="bell", function="client::echo", config={"n": 1})
    trigger = await peer.event("trigger_registered")
    await known(peer, "client::echo")
    await known(client, "peer::echo")
    before = await client.worker_id()

    ENDS[end](lost)
    await peer.event("trigger_unregistered", id=trigger["id"])
    lost.restart()

    await answers_again(peer, "client::echo", "client")
    again = await peer.event("trigger_registered", id=trigger["id"])
    assert again["config"] == {"n": 1}
    await known(client, "peer::echo")
    answer = await client.call("peer::echo", {"n": 2})
    assert answer["worker"] == "peer"
    assert answer["data"]["_caller_worker_id"] == await client.worker_id() != before


@pytest.mark.parametrize("generation", [NODE_22, PYTHON_25], ids=str)
async def test_calls_in_flight_on_a_killed_gateway_end_with_an_error(
    launch: Launch, own_cluster: Cluster, generation: Generation
) -> None:
    lost, other = own_cluster.gateways
    client = await launch(PYTHON_25, lost.url, "client")
    peer = await launch(generation, other.url, "peer")
    await client.register("client::hold", "hold")
    await known(peer, "client::hold")
    call = asyncio.create_task(peer.call("client::hold", {}))
    await client.event("called")

    lost.kill()

    with pytest.raises(SdkError) as raised:
        await call
    assert raised.value.code == "invocation_stopped"
    assert raised.value.message.startswith("Invocation stopped")


@pytest.mark.parametrize("generation", GENERATIONS, ids=str)
async def test_a_client_behind_a_load_balancer_moves_to_another_gateway(
    launch: Launch, own_cluster: Cluster, generation: Generation
) -> None:
    lost, other = own_cluster.gateways
    async with Balancer(lost.ports["worker"]) as balancer:
        client = await launch(generation, balancer.url, "client")
        peer = await launch(PYTHON_25, other.url, "peer")
        await client.register("client::echo")
        await known(peer, "client::echo")

        balancer.target = other.ports["worker"]
        lost.kill()

        await answers_again(peer, "client::echo", "client")


@pytest.mark.parametrize("generation", [PYTHON_25, PYTHON_23, NODE_22], ids=str)
async def test_a_client_that_returns_before_its_old_connection_is_cleaned_loses_nothing(
    launch: Launch, shared_cluster: Cluster, unique: str, generation: Generation
) -> None:
    first, second = shared_cluster.gateways
    function = f"{unique}::echo"
    peer = await launch(PYTHON_25, second.url, "peer")
    await peer.ask("provide", type=unique)
    async with Balancer(first.ports["worker"]) as balancer:
        client = await launch(generation, balancer.url, "client")
        await client.register(function)
        await client.ask("trigger", key="bell", type=unique, function=function, config={})
        trigger = await peer.event("trigger_registered", type=unique)
        await known(peer, function)
        before = await client.worker_id()

        # The first gateway still believes in the old connection when the client arrives at the second one.
        balancer.target = second.ports["worker"]
        balancer.forsake_clients()

        await eventually(lambda: moved(client, before))
        await peer.event("trigger_registered", type=unique, id=trigger["id"])
        await eventually(lambda: not_listed(peer, before))
        await answers_again(peer, function, "client")
        for n in range(20):
            assert (await peer.call(function, {"n": n}))["worker"] == "client"


async def moved(client: SdkWorker, before: str) -> bool:
    state = await client.ask("state")
    return bool(state["state"] == "connected" and state["worker_id"] not in (None, before))


async def not_listed(asking: SdkWorker, worker_id: str) -> bool:
    return worker_id not in {row["id"] for row in await asking.ask("workers")}


class Caller:
    """A client as the history wants it."""

    def __init__(self, worker: SdkWorker) -> None:
        self._worker = worker

    async def call(self, function_id: str, data: Any = None, *, within: float = 0) -> Any:
        try:
            return (await self._worker.call(function_id, data))["data"]
        except SdkError as error:
            raise CallFailed({"code": error.code, "message": error.message}) from error


@pytest.mark.parametrize("callee_on", [PYTHON_25, NODE_22], ids=str)
async def test_gateways_that_are_replaced_one_by_one_lose_no_call(
    launch: Launch, own_cluster: Cluster, callee_on: Generation
) -> None:
    first, second = own_cluster.gateways
    async with Balancer(first.ports["worker"]) as balancer:
        callee = await launch(callee_on, balancer.url, "callee")
        caller = await launch(NODE_22 if callee_on is PYTHON_25 else PYTHON_25, balancer.url, "caller")
        await callee.register("steady::echo")
        await known(caller, "steady::echo")
        async with calling(Caller(caller), "steady::echo") as history:
            for leaving, staying in ((first, second), (second, first)):
                await history.more(20)
                balancer.target = staying.ports["worker"]
                assert await asyncio.to_thread(leaving.stop) == 0
                await history.more(20)
                await asyncio.to_thread(leaving.restart)
        assert not history.failed
        assert not history.mixed_up
