"""Stream clients when gateways end."""

from collections.abc import Callable
from typing import Any

from tests.support.cluster import Cluster
from tests.support.eventually import eventually
from tests.support.raw import Frame, known, raw_worker
from tests.support.stream_client import stream_client

PLACE = {"stream_name": "chat", "group_id": "room", "item_id": "m1"}


async def test_a_client_whose_gateway_was_killed_goes_on_at_another(own_cluster: Cluster) -> None:
    one, two = own_cluster.gateways[:2]
    async with raw_worker(two.url) as worker:
        await worker.call("stream::set", {**PLACE, "data": 1})
        async with stream_client(one.ports["stream"]) as client:
            assert await client.follow("chat", "room", "m1") == 1
            one.kill()
            assert await client.closed() == 1006
        async with stream_client(two.ports["stream"]) as client:
            assert await client.follow("chat", "room", "m1") == 1
            await worker.call("stream::set", {**PLACE, "data": 2})
            assert await client.changes(1) == [("update", 2)]


async def test_leave_hooks_hear_of_the_clients_of_a_killed_gateway(own_cluster: Cluster) -> None:
    one, two = own_cluster.gateways[:2]
    left: list[Frame] = []
    async with raw_worker(two.url) as worker:
        await worker.register("left", left.append)
        await known(worker, "left")
        await worker.send("registertrigger", id="t", trigger_type="stream:leave", function_id="left", config={})

        async def told() -> bool:
            async with stream_client(one.ports["stream"]) as client:
                await client.follow("chat", "room", id="probe")
            return bool(left)

        await eventually(told)
        async with stream_client(one.ports["stream"]) as client:
            await client.follow("chat", "room", id="last")
            one.kill()
            await eventually(lambda: left[-1]["data"]["subscription_id"] == "last", within=60)


async def test_a_gateway_that_stops_sends_its_stream_clients_elsewhere(own_cluster: Cluster) -> None:
    one = own_cluster.gateways[0]
    async with stream_client(one.ports["stream"]) as client:
        await client.follow("chat", "room")
        one.terminate()
        assert await client.closed() == 1012
    assert one.wait() == 0


async def test_clients_see_what_is_there_after_redis_came_back(make_cluster: Callable[..., Cluster]) -> None:
    cluster = make_cluster()
    one, two = cluster.gateways[:2]
    async with stream_client(one.ports["stream"]) as a, stream_client(two.ports["stream"]) as b:
        await a.follow("chat", "room")
        await b.follow("chat", "room")
        cluster.valkey.restart()
        for client in (a, b):
            assert (await client.expect("sync"))["event"]["data"] == []
        async with raw_worker(two.url) as worker:
            answer: Any = await worker.call("stream::set", {**PLACE, "data": 1}, within=30)
        assert answer["new_value"] == 1
        for client in (a, b):
            assert await client.changes(1) == [("create", 1)]
