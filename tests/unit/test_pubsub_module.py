"""Publishing to subscriptions of a fake cluster."""

import asyncio
import json
import logging
from collections.abc import AsyncIterator
from typing import Any

import pytest

from iii_cluster.bus.envelopes import Trigger
from iii_cluster.cluster.map import Role
from iii_cluster.config.settings import ModuleEntry, Settings
from iii_cluster.modules.host import ModuleHost
from iii_cluster.modules.imports import BadConfig
from iii_cluster.modules.load import make
from iii_cluster.modules.module import Request
from iii_cluster.protocol.errors import EngineError
from tests.support.engine import FakeCluster, FakeEngine
from tests.support.eventually import eventually


@pytest.fixture
async def cluster() -> AsyncIterator[FakeCluster]:
    cluster = FakeCluster()
    yield cluster
    for host in cluster.hosts:
        await host.shutdown()
    await cluster.close()


async def gateway(cluster: FakeCluster, config: dict[str, Any] | None = None, **settings: Any) -> ModuleHost:
    engine = cluster.node(role=Role.GATEWAY, settings=Settings(**settings))
    host = ModuleHost([make(ModuleEntry("iii-pubsub", config or {}))])
    await host.initialize(engine)
    cluster.hosts.append(host)
    return host


def subscribe(id: str, topic: str, function: str, namespace: str = "default", **more: Any) -> Trigger:
    metadata = more.pop("metadata", b"")
    config = json.dumps({"topic": topic, **more}).encode()
    return Trigger(id, "subscribe", function, config, metadata, namespace=namespace)


async def publish(host: ModuleHost, topic: str, data: Any, **more: Any) -> bytes | None:
    return await host.run("publish", Request("publish", json.dumps({"topic": topic, "data": data}).encode(), **more))


async def test_every_subscription_of_the_topic_gets_the_data_once(cluster: FakeCluster) -> None:
    host = await gateway(cluster)
    for name in ("mail", "log", "other"):
        cluster.register(name, lambda _data: None)
    cluster.put(subscribe("1", "orders", "mail"), subscribe("2", "orders", "log"), subscribe("3", "users", "other"))
    cluster.put(subscribe("4", "orders", "log"))
    assert await publish(host, "orders", {"n": 1}) is None
    await eventually(lambda: len(cluster.calls) == 3)
    assert (cluster.called("mail"), cluster.called("log"), cluster.called("other")) == ([{"n": 1}], [{"n": 1}] * 2, [])


async def test_the_data_arrives_as_the_same_bytes(cluster: FakeCluster) -> None:
    host = await gateway(cluster)
    cluster.register("f", lambda _data: None)
    cluster.put(subscribe("1", "t", "f"))
    for data in (b"null", b"9007199254740993", b'"\\u00e9 \xc3\xa9"', b"[1, 2.50]", b'{"a":{},"b":[]}'):
        await host.run("publish", Request("publish", b'{"data":' + data + b',"topic":"t","more":1}'))
        await eventually(lambda: len(cluster.calls) == 1)
        assert cluster.calls.pop().data == data


async def test_the_target_is_called_in_the_namespace_of_the_trigger_with_its_metadata(cluster: FakeCluster) -> None:
    host = await gateway(cluster)
    cluster.register("f", lambda _data: None, namespace="blue")
    cluster.register("check", lambda _data: True, namespace="blue")
    cluster.put(subscribe("1", "t", "f", "blue", metadata=b'{"tenant":"a"}', condition_function_id="check"))
    await publish(host, "t", 1, traceparent=b'"00-1-2-01"', baggage=b'"k=v"')
    await eventually(lambda: len(cluster.calls) == 2)
    check, call = cluster.calls
    assert (check.function, check.namespace, check.metadata) == ("check", "blue", b"")
    assert (call.namespace, call.metadata) == ("blue", b'{"tenant":"a"}')
    assert (call.traceparent, call.baggage) == (b'"00-1-2-01"', b'"k=v"')


@pytest.mark.parametrize(("answer", "fires"), [(True, 1), (False, 0), (None, 1), (0, 1), ("", 1), ({}, 1)])
async def test_only_false_keeps_a_condition_from_firing(cluster: FakeCluster, answer: Any, fires: int) -> None:
    host = await gateway(cluster)
    cluster.register("f", lambda _data: None)
    cluster.register("check", lambda _data: answer)
    cluster.put(subscribe("1", "t", "f", condition_function_id="check"), subscribe("2", "t", "f"))
    await publish(host, "t", {"n": 1})
    await eventually(lambda: len(cluster.called("f")) == fires + 1 and not host.describe()["iii-pubsub"]["dropped"])
    await eventually(lambda: host.describe()["iii-pubsub"]["conditions_asked"] == 0)
    assert len(cluster.called("f")) == fires + 1
    assert cluster.called("check") == [{"n": 1}]


async def test_a_condition_that_fails_skips_its_subscription_and_is_told_once(
    cluster: FakeCluster, caplog: pytest.LogCaptureFixture
) -> None:
    host = await gateway(cluster)
    cluster.register("f", lambda _data: None)
    cluster.put(subscribe("1", "t", "f", condition_function_id="missing"), subscribe("2", "t", "f"))
    for n in range(3):
        await publish(host, "t", n)
    await eventually(lambda: host.describe()["iii-pubsub"]["conditions_asked"] == 0)
    assert cluster.called("f") == [0, 1, 2]
    assert [r.message.split()[0] for r in caplog.records if "condition" in r.message] == ["action=condition_failed"]


async def test_handlers_that_fail_or_hang_do_not_concern_others(cluster: FakeCluster) -> None:
    host = await gateway(cluster)
    never = asyncio.Event()

    async def hang(_data: Any) -> None:
        await never.wait()

    def fail(_data: Any) -> None:
        raise EngineError("NO", "no")

    cluster.register("hang", hang)
    cluster.register("fail", fail)
    cluster.register("f", lambda _data: None)
    names = ("hang", "fail", "missing", "f")
    cluster.put(*(subscribe(name, "t", name) for name in names))
    await publish(host, "t", 1)
    await publish(host, "t", 2)
    await eventually(lambda: cluster.called("f") == [1, 2])


async def test_what_is_unsubscribed_gets_nothing_and_its_neighbours_do(cluster: FakeCluster) -> None:
    host = await gateway(cluster)
    cluster.register("f", lambda _data: None)
    cluster.register("g", lambda _data: None)
    cluster.put(subscribe("1", "t", "f"), subscribe("2", "t", "g"))
    await publish(host, "t", 1)
    cluster.drop("1")
    await asyncio.sleep(0)
    await publish(host, "t", 2)
    await eventually(lambda: cluster.called("g") == [1, 2])
    assert cluster.called("f") == [1]


async def test_publishing_without_subscribers_does_nothing(cluster: FakeCluster) -> None:
    host = await gateway(cluster)
    cluster.put(Trigger("1", "subscribe", "f", b"{}"))
    assert await publish(host, "t", 1) is None
    assert cluster.calls == []


@pytest.mark.parametrize(
    ("input", "code"),
    [
        (b'{"topic":"","data":1}', "topic_not_set"),
        (b'{"data":1}', "deserialization_error"),
        (b'{"topic":"t"}', "deserialization_error"),
        (b'{"topic":7,"data":1}', "deserialization_error"),
        (b'{"topic":null,"data":1}', "deserialization_error"),
        (b"[]", "deserialization_error"),
        (b"", "deserialization_error"),
    ],
)
async def test_bad_input_is_refused(cluster: FakeCluster, input: bytes, code: str) -> None:
    host = await gateway(cluster)
    with pytest.raises(EngineError) as caught:
        await host.run("publish", Request("publish", input))
    assert caught.value.code == code


async def test_an_event_waits_for_the_first_word_on_subscriptions(cluster: FakeCluster) -> None:
    host = await gateway(cluster)
    cluster.triggers_known.clear()
    cluster.register("f", lambda _data: None)
    cluster.put(subscribe("1", "t", "f"))
    publishing = asyncio.create_task(publish(host, "t", 1))
    await asyncio.sleep(0)
    assert not publishing.done()
    cluster.triggers_known.set()
    await publishing
    await eventually(lambda: cluster.called("f") == [1])


async def test_an_event_that_nobody_can_route_is_an_error(cluster: FakeCluster) -> None:
    host = await gateway(cluster, redis_outage_limit=0.01)
    cluster.triggers_known.clear()
    with pytest.raises(EngineError, match="TIMEOUT"):
        await publish(host, "t", 1)


async def test_shards_do_nothing(cluster: FakeCluster) -> None:
    engine: FakeEngine = cluster.node(role=Role.SHARD)
    host = ModuleHost([make(ModuleEntry("iii-pubsub"))])
    await host.initialize(engine)
    assert engine.watchers == {}
    assert host.describe() == {}
    await host.shutdown()


@pytest.mark.parametrize(
    ("adapter", "named"),
    [
        (None, ""),
        ({"name": "local"}, "local"),
        ({"name": "redis", "config": {"redis_url": "redis://elsewhere:6379"}}, "redis"),
        ({"class": "modules::pubsub::LocalAdapter"}, "local"),
        ({"class": "modules::pubsub::RedisAdapter", "config": {"redis_url": "redis://elsewhere"}}, "redis"),
    ],
)
async def test_adapter_names_of_existing_files_are_taken_and_the_cluster_delivers(
    cluster: FakeCluster, caplog: pytest.LogCaptureFixture, adapter: dict[str, Any] | None, named: str
) -> None:
    caplog.set_level(logging.INFO)
    host = await gateway(cluster, {"adapter": adapter})
    cluster.register("f", lambda _data: None)
    cluster.put(subscribe("1", "t", "f"))
    await publish(host, "t", 1)
    await eventually(lambda: cluster.called("f") == [1])
    lines = [r.getMessage() for r in caplog.records if "pubsub_adapter" in r.getMessage()]
    assert lines == ([f"action=pubsub_adapter named={named} used=cluster"] if named else [])


@pytest.mark.parametrize(
    "config",
    [
        {"adapter": {"name": "kafka"}},
        {"adapter": {"name": "redis", "config": {"url": "x"}}},
        {"adapter": {"name": "local", "config": {"redis_url": "x"}}},
        {"adapter": {"name": "iii_cluster.modules.module:Module"}},
        {"adaptor": {}},
    ],
)
def test_unknown_adapters_and_keys_are_refused(config: dict[str, Any]) -> None:
    with pytest.raises(BadConfig):
        make(ModuleEntry("iii-pubsub", config))
