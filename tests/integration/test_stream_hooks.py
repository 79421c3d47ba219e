"""What workers have a say in: who connects, who joins, and being told who left and what changed."""

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any

import pytest

from iii_cluster.bus.envelopes import Trigger
from iii_cluster.protocol.errors import EngineError
from tests.support.eventually import eventually
from tests.support.stream_client import refused, stream_client
from tests.support.streams import StreamCluster, StreamGateway, streams
from tests.support.valkey import ValkeyServer


@pytest.fixture
async def cluster(valkey: ValkeyServer) -> AsyncIterator[StreamCluster]:
    async with streams(valkey.url) as cluster:
        yield cluster


@pytest.fixture
async def here(cluster: StreamCluster) -> StreamGateway:
    return await cluster.gateway()


def hook(cluster: StreamCluster, type: str, answer: Any, config: Any = None, name: str = "hook") -> None:
    """A trigger whose function answers this; an EngineError is raised."""

    def handler(_data: Any) -> Any:
        if isinstance(answer, EngineError):
            raise answer
        return answer

    cluster.cluster.register(f"{name}::{type}", handler)
    cluster.cluster.put(Trigger(f"{name}-{type}", type, f"{name}::{type}", json.dumps(config or {}).encode()))


class TestAuthentication:
    async def asked(self, cluster: StreamCluster, answer: Any, **config: Any) -> StreamGateway:
        async def handler(_data: Any) -> Any:
            if isinstance(answer, EngineError):
                raise answer
            return answer

        cluster.cluster.register("auth", handler)
        return await cluster.gateway({"auth_function": "auth", **config})

    async def test_the_auth_function_gets_the_handshake(self, cluster: StreamCluster) -> None:
        gateway = await self.asked(cluster, {"context": {"user": "ana"}})
        path = "/some/path?authToken=t&tag=a&tag=b%20c&empty&=ignored&x=1=2"
        async with stream_client(gateway.port, path, additional_headers={"Authorization": "Bearer t"}) as client:
            await client.follow("chat", "room")
            port = client.socket.local_address[1]
        [asked] = cluster.cluster.called("auth")
        assert asked["path"] == "/some/path"
        assert asked["query_params"] == {"authToken": ["t"], "tag": ["a", "b%20c"], "empty": [""], "x": ["1=2"]}
        assert asked["headers"]["authorization"] == "Bearer t"
        assert asked["headers"]["host"] == f"127.0.0.1:{gateway.port}"
        assert asked["addr"] == f"127.0.0.1:{port}"

    @pytest.mark.parametrize("answer", [None, 5, [], {}, {"context": None}, {"other": 1}, EngineError("X", "down")])
    async def test_what_says_nothing_lets_the_client_in_without_a_context(
        self, cluster: StreamCluster, answer: Any
    ) -> None:
        gateway = await self.asked(cluster, answer)
        hook(cluster, "stream:join", None)
        async with stream_client(gateway.port) as client:
            await client.follow("chat", "room")
        assert cluster.cluster.called("hook::stream:join")[0]["context"] is None

    async def test_who_is_not_authorized_is_refused(self, cluster: StreamCluster) -> None:
        gateway = await self.asked(cluster, {"authorized": False, "context": {"user": "ana"}})
        assert await refused(gateway.port) == 401

    async def test_errors_refuse_clients_if_so_configured(self, cluster: StreamCluster) -> None:
        gateway = await self.asked(cluster, EngineError("X", "down"), refuse_on_auth_error=True)
        assert await refused(gateway.port) == 401
        cluster.cluster.register("auth", lambda _data: {"context": 1})
        assert await refused(gateway.port) == 101

    async def test_a_missing_auth_function_is_an_error(self, cluster: StreamCluster) -> None:
        gateway = await cluster.gateway({"auth_function": "nobody::serves", "refuse_on_auth_error": True})
        assert await refused(gateway.port) == 401

    async def test_an_auth_function_that_does_not_answer_holds_up_nobody_else(self, cluster: StreamCluster) -> None:
        asked = asyncio.Event()

        async def handler(data: Any) -> Any:
            if "slow" in data["query_params"]:
                asked.set()
                await asyncio.Event().wait()
            return {}

        cluster.cluster.register("auth", handler)
        gateway = await cluster.gateway({"auth_function": "auth"}, handshake_timeout=0.4)
        slow = asyncio.create_task(refused(gateway.port, "/?slow"))
        await asked.wait()
        assert await refused(gateway.port) == 101
        assert await slow == 101


class TestJoining:
    async def test_hooks_are_told_who_joins_and_who_leaves(self, cluster: StreamCluster, here: StreamGateway) -> None:
        hook(cluster, "stream:join", None)
        hook(cluster, "stream:leave", {"unauthorized": True})
        async with stream_client(here.port) as client:
            await client.follow("chat", "room", "m1", id="one")
            await client.follow("chat", "room", id="two")
            await client.leave("chat", "room", "m1", id="one")
            await eventually(lambda: cluster.cluster.called("hook::stream:leave"))
        one = {"subscription_id": "one", "stream_name": "chat", "group_id": "room", "id": "m1", "context": None}
        two = one | {"subscription_id": "two", "id": None}
        assert cluster.cluster.called("hook::stream:join") == [one, two]
        await eventually(lambda: cluster.cluster.called("hook::stream:leave") == [one, two])

    async def test_a_refused_client_is_told_so_and_gets_nothing(
        self, cluster: StreamCluster, here: StreamGateway
    ) -> None:
        hook(cluster, "stream:join", {"unauthorized": True})
        hook(cluster, "stream:leave", None)
        async with stream_client(here.port) as client:
            await client.join("chat", "room", "m1")
            message = await client.next()
            assert message["event"] == {"type": "unauthorized"}
            assert (message["streamName"], message["groupId"], message["id"]) == ("chat", "room", "m1")
            await here.set("chat", "room", "m1", 1)
            await client.silent()
        await eventually(lambda: len(here.listener) == 0)
        assert cluster.cluster.called("hook::stream:leave") == []

    @pytest.mark.parametrize(
        "answer", [None, True, {}, {"unauthorized": "yes"}, {"unauthorized": 1}, EngineError("X", "")]
    )
    async def test_anything_but_true_lets_the_client_join(
        self, cluster: StreamCluster, here: StreamGateway, answer: Any
    ) -> None:
        hook(cluster, "stream:join", answer)
        async with stream_client(here.port) as client:
            await client.follow("chat", "room")

    async def test_one_hook_that_refuses_is_enough(self, cluster: StreamCluster, here: StreamGateway) -> None:
        hook(cluster, "stream:join", EngineError("X", "down"), name="a")
        hook(cluster, "stream:join", {"unauthorized": True}, name="b")
        hook(cluster, "stream:join", None, name="c")
        async with stream_client(here.port) as client:
            await client.join("chat", "room")
            await client.expect("unauthorized")
        assert cluster.cluster.called("c::stream:join") == []

    async def test_hooks_may_be_for_one_stream_or_have_a_condition(
        self, cluster: StreamCluster, here: StreamGateway
    ) -> None:
        hook(cluster, "stream:join", {"unauthorized": True}, {"stream_name": "secret"}, name="a")
        cluster.cluster.register("vip", lambda data: data["group_id"] == "vip")
        hook(cluster, "stream:join", {"unauthorized": True}, {"condition_function_id": "vip"}, name="b")
        async with stream_client(here.port) as client:
            await client.follow("chat", "room")
            await client.join("secret", "room")
            await client.expect("unauthorized")
            await client.join("chat", "vip")
            await client.expect("unauthorized")

    async def test_closing_tells_hooks_of_every_subscription_that_is_left(
        self, cluster: StreamCluster, here: StreamGateway
    ) -> None:
        hook(cluster, "stream:leave", None)
        async with stream_client(here.port) as client:
            for n in range(3):
                await client.follow("chat", "room", id=str(n))
        await eventually(lambda: len(cluster.cluster.called("hook::stream:leave")) == 3)

    async def test_leaving_what_one_has_not_joined_is_told_too(
        self, cluster: StreamCluster, here: StreamGateway
    ) -> None:
        hook(cluster, "stream:leave", None)
        async with stream_client(here.port) as client:
            await client.leave("chat", "room", id="never")
            await eventually(lambda: cluster.cluster.called("hook::stream:leave"))
            await client.follow("chat", "room")

    async def test_a_client_that_asks_for_much_waits_for_slow_hooks_in_order(
        self, cluster: StreamCluster, here: StreamGateway
    ) -> None:
        gate = asyncio.Event()

        async def handler(_data: Any) -> Any:
            await gate.wait()

        cluster.cluster.register("slow", handler)
        cluster.cluster.put(Trigger("slow", "stream:join", "slow", b"{}"))
        async with stream_client(here.port) as client, stream_client(here.port) as other:
            for n in range(600):
                await client.join("chat", "room", id=str(n))
                await client.leave("chat", "room", id=str(n))
            await client.join("chat", "last", id="last")
            gate.set()
            await other.follow("chat", "room")
            while (await client.next())["groupId"] != "last":
                pass
            await eventually(lambda: here.listener.describe()["subscriptions"] == 2)

    async def test_nobody_joins_before_it_is_known_which_hooks_there_are(
        self, cluster: StreamCluster, here: StreamGateway
    ) -> None:
        hook(cluster, "stream:join", {"unauthorized": True})
        cluster.cluster.triggers_known.clear()
        async with stream_client(here.port) as client:
            await client.join("chat", "room")
            await client.silent()
            cluster.cluster.triggers_known.set()
            await client.expect("unauthorized")

    async def test_a_gateway_that_stops_tells_hooks_of_its_clients(self, cluster: StreamCluster) -> None:
        here = await cluster.gateway()
        hook(cluster, "stream:leave", None)
        async with stream_client(here.port) as client:
            await client.follow("chat", "room")
            await here.listener.stop(5.0)
        assert len(cluster.cluster.called("hook::stream:leave")) == 1


class TestDeadGateways:
    async def dead(self, cluster: StreamCluster, valkey: ValkeyServer) -> None:
        """All leases have ended, and a shard looks for that."""
        await eventually(lambda: valkey.execute("EXISTS", "{iii}:stream-gateways-looked"))
        for name in valkey.execute("ZRANGE", "{iii}:stream-gateways", 0, -1):
            valkey.execute("ZADD", "{iii}:stream-gateways", 1, name)

    async def test_hooks_are_told_of_the_clients_of_a_gateway_that_died(
        self, cluster: StreamCluster, valkey: ValkeyServer
    ) -> None:
        hook(cluster, "stream:leave", None)
        here = await cluster.gateway()
        await cluster.shard()
        async with stream_client(here.port) as client:
            for n in range(3):
                await client.follow("chat", "room", id=str(n))
            await client.leave("chat", "room", id="0")
            await eventually(lambda: valkey.execute("KEYS", "{iii}:stream-present:*"))
            await self.dead(cluster, valkey)
            await eventually(lambda: len(cluster.cluster.called("hook::stream:leave")) == 3)
            left = [data["subscription_id"] for data in cluster.cluster.called("hook::stream:leave")]
            assert left[0] == "0"
            assert sorted(left) == ["0", "1", "2"]
            assert not valkey.execute("KEYS", "{iii}:stream-present:*")
            here.listener.tick(here.listener.now + 1)
            assert await client.closed() == 1012
        await eventually(lambda: len(here.listener) == 0)
        assert len(cluster.cluster.called("hook::stream:leave")) == 3

    async def test_what_a_living_gateway_tells_is_told_once_and_leaves_no_record(
        self, cluster: StreamCluster, here: StreamGateway, valkey: ValkeyServer
    ) -> None:
        hook(cluster, "stream:leave", None)
        async with stream_client(here.port) as client:
            await client.follow("chat", "room", id="a")
            await client.follow("chat", "room", id="b")
            await client.leave("chat", "room", id="a")
            await client.follow("chat", "room", id="c")
            here.listener.tick(here.listener.now + 1)
        await eventually(lambda: len(cluster.cluster.called("hook::stream:leave")) == 3)
        await eventually(lambda: not valkey.execute("KEYS", "{iii}:stream-present:*"))

    async def test_records_are_made_again_when_redis_has_lost_its_memory(
        self, cluster: StreamCluster, here: StreamGateway, valkey: ValkeyServer
    ) -> None:
        hook(cluster, "stream:leave", None)
        async with stream_client(here.port) as client:
            await client.follow("chat", "room")
            await eventually(lambda: valkey.execute("KEYS", "{iii}:stream-present:*"))
            valkey.execute("FLUSHALL")
            here.listener.tick(here.listener.now + 1)
            await eventually(lambda: valkey.execute("KEYS", "{iii}:stream-present:*"))
            await client.silent()
        await eventually(lambda: len(cluster.cluster.called("hook::stream:leave")) == 1)

    async def test_without_leave_hooks_nothing_is_recorded(
        self, cluster: StreamCluster, here: StreamGateway, valkey: ValkeyServer
    ) -> None:
        hook(cluster, "stream:join", None)
        async with stream_client(here.port) as client:
            await client.follow("chat", "room")
            assert not valkey.execute("KEYS", "{iii}:stream-present:*")


class TestChangeTriggers:
    async def test_triggers_get_the_messages_that_clients_get(
        self, cluster: StreamCluster, here: StreamGateway
    ) -> None:
        await cluster.shard()
        hook(cluster, "stream", None, {"stream_name": "chat"})
        async with stream_client(here.port) as client:
            await client.follow("chat", "room")
            await here.set("chat", "room", "m1", 1)
            await here.call("stream::update", _item("m1") | {"ops": [{"type": "increment", "path": "", "by": 1}]})
            await here.delete("chat", "room", "m1")
            await here.send("chat", "room", "t", {"a": 1}, "m1")
            await here.send("chat", "room", "t", {"a": 2})
            seen = [await client.next() for _ in range(5)]
        await eventually(lambda: len(cluster.cluster.called("hook::stream")) == 5)
        called = cluster.cluster.called("hook::stream")
        assert [message for message in called if message["id"] == "m1"] == seen[:4]
        assert [message for message in called if message["id"] is None] == seen[4:]

    async def test_triggers_ask_for_a_stream_a_group_or_an_item(
        self, cluster: StreamCluster, here: StreamGateway
    ) -> None:
        await cluster.shard()
        hook(cluster, "stream", None, {"stream_name": "chat", "group_id": "", "item_id": None}, name="all")
        hook(cluster, "stream", None, {"stream_name": "chat", "group_id": "room"}, name="group")
        hook(cluster, "stream", None, {"stream_name": "chat", "group_id": "room", "item_id": "m1"}, name="item")
        hook(cluster, "stream", None, {"stream_name": "chat", "item_id": "m1"}, name="anywhere")
        for stream, group, item in (
            ("chat", "room", "m1"),
            ("chat", "room", "m2"),
            ("chat", "x", "m1"),
            ("o", "room", "m1"),
        ):
            await here.set(stream, group, item, f"{group}/{item}")
        await here.send("chat", "room", "t", 1)
        expected = {
            "all": ["room/m1", "room/m2", "x/m1", None],
            "group": ["room/m1", "room/m2", None],
            "item": ["room/m1"],
            "anywhere": ["room/m1", "x/m1"],
        }
        for name, data in expected.items():

            def got(name: str = name) -> list[Any]:
                called = cluster.cluster.called(f"{name}::stream")
                return sorted((message["event"].get("data") for message in called), key=str)

            await eventually(lambda data=data, got=got: got() == sorted(data, key=str))  # type: ignore[misc]

    async def test_a_failing_condition_or_handler_skips_only_its_trigger(
        self, cluster: StreamCluster, here: StreamGateway
    ) -> None:
        await cluster.shard()
        cluster.cluster.register("no", lambda _data: False)
        chat = {"stream_name": "chat"}
        hook(cluster, "stream", None, chat | {"condition_function_id": "no"}, name="a")
        hook(cluster, "stream", None, chat | {"condition_function_id": "nobody::serves"}, name="b")
        hook(cluster, "stream", EngineError("X", "fails"), chat, name="c")
        hook(cluster, "stream", None, chat, name="d")
        await here.set("chat", "room", "m1", 1)
        await eventually(lambda: cluster.cluster.called("d::stream"))
        assert not cluster.cluster.called("a::stream") + cluster.cluster.called("b::stream")

    async def test_a_delete_of_nothing_tells_nobody(self, cluster: StreamCluster, here: StreamGateway) -> None:
        await cluster.shard()
        hook(cluster, "stream", None, {"stream_name": "chat"})
        async with stream_client(here.port) as client:
            await client.follow("chat", "room")
            await here.delete("chat", "room", "m1")
            await here.set("chat", "room", "m1", 1)
            assert await client.changes(1) == [("create", 1)]
        await eventually(lambda: len(cluster.cluster.called("hook::stream")) == 1)

    async def test_one_of_several_triggers_goes_and_the_others_stay(
        self, cluster: StreamCluster, here: StreamGateway
    ) -> None:
        await cluster.shard()
        for name in ("a", "b", "c"):
            hook(cluster, "stream", None, {"stream_name": "chat"}, name=name)
        cluster.cluster.drop("b-stream")
        await asyncio.sleep(0)
        await here.set("chat", "room", "m1", 1)
        await eventually(lambda: cluster.cluster.called("a::stream") and cluster.cluster.called("c::stream"))
        assert not cluster.cluster.called("b::stream")

    @pytest.mark.parametrize(
        "config", [None, {}, {"stream_name": ""}, {"stream_name": 5}, {"stream_name": "s", "group_id": 1}, [], "s"]
    )
    async def test_a_trigger_that_names_no_stream_is_refused(self, here: StreamGateway, config: Any) -> None:
        check = {type.id: type for type in here.module.trigger_types()}["stream"].check
        assert check is not None
        with pytest.raises(EngineError) as refusal:
            check(Trigger("t", "stream", "f", json.dumps(config).encode()))
        assert refusal.value.code == "trigger_registration_failed"


def _item(item: str) -> dict[str, str]:
    return {"stream_name": "chat", "group_id": "room", "item_id": item}
