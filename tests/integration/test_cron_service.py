"""Cron on shards of a fake cluster, with a real server and its clock."""

import asyncio
import json
import logging
import re
from collections.abc import AsyncIterator
from datetime import datetime
from itertools import pairwise
from typing import Any

import pytest

from iii_cluster.bus.envelopes import Trigger
from iii_cluster.cluster.map import Role
from iii_cluster.cluster.slots import SLOTS
from iii_cluster.config.settings import ModuleEntry, Settings
from iii_cluster.modules.host import ModuleHost
from iii_cluster.modules.imports import BadConfig
from iii_cluster.modules.load import make
from iii_cluster.protocol.errors import EngineError
from tests.support.engine import FakeCluster, FakeEngine
from tests.support.eventually import eventually
from tests.support.valkey import ValkeyServer

EVERY_SECOND = "* * * * * *"


class Shards:
    def __init__(self, cluster: FakeCluster, url: str) -> None:
        self.cluster = cluster
        self._url = url

    async def add(self, config: dict[str, Any] | None = None, **settings: Any) -> tuple[FakeEngine, ModuleHost]:
        """The first shard owns every slot, the others none."""
        engine = self.cluster.node(self._url, Role.SHARD, Settings(**settings))
        if self.cluster.hosts:
            engine.ownership.take_away()
        host = ModuleHost([make(ModuleEntry("iii-cron", config or {}))])
        await host.initialize(engine)
        self.cluster.hosts.append(host)
        return engine, host


@pytest.fixture
async def shards(valkey: ValkeyServer) -> AsyncIterator[Shards]:
    cluster = FakeCluster()
    yield Shards(cluster, valkey.url)
    for host in cluster.hosts:
        await host.shutdown()
    await cluster.close()


def cron(
    id: str, function: str = "f", expression: str = EVERY_SECOND, namespace: str = "default", **more: Any
) -> Trigger:
    metadata = more.pop("metadata", b"")
    config = json.dumps({"expression": expression, **more}).encode()
    return Trigger(id, "cron", function, config, metadata, namespace=namespace)


def times(cluster: FakeCluster, function: str = "f") -> list[str]:
    return [event["scheduled_time"] for event in cluster.called(function)]


def gaps(seen: list[str]) -> set[int]:
    """Distances between ticks, seconds."""
    ticks = [int(datetime.fromisoformat(text).timestamp()) for text in seen]
    return {later - earlier for earlier, later in pairwise(ticks)}


async def test_a_job_runs_every_second_with_its_event(shards: Shards) -> None:
    cluster = shards.cluster
    await shards.add()
    cluster.register("f", lambda _event: None)
    cluster.put(cron("t-1", metadata=b'{"step":"a"}'))
    await eventually(lambda: len(cluster.calls) >= 3)
    assert gaps(times(cluster)) == {1}
    call = cluster.calls[0]
    assert call.metadata == b'{"step":"a"}'
    assert list(call.value) == ["trigger", "job_id", "scheduled_time", "actual_time"]
    assert (call.value["trigger"], call.value["job_id"]) == ("cron", "t-1")
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\+00:00", call.value["scheduled_time"])
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}\+00:00", call.value["actual_time"])
    assert call.value["actual_time"][:19] >= call.value["scheduled_time"][:19]


async def test_identical_triggers_run_once_and_differing_ones_each(shards: Shards) -> None:
    cluster = shards.cluster
    await shards.add()
    for name in ("f", "g"):
        cluster.register(name, lambda _event: None)
    cluster.put(cron("b"), cron("a"), cron("c"), cron("d", "g"), cron("e", "g", metadata=b"1"))
    await eventually(lambda: len(cluster.called("f")) >= 2 and len(cluster.called("g")) >= 4)
    assert len(set(times(cluster))) == len(times(cluster))
    assert {event["job_id"] for event in cluster.called("f")} == {"a"}
    assert {event["job_id"] for event in cluster.called("g")} == {"d", "e"}


async def test_when_the_trigger_with_the_smallest_id_goes_the_job_goes_on_under_the_next(shards: Shards) -> None:
    cluster = shards.cluster
    await shards.add()
    cluster.register("f", lambda _event: None)
    cluster.put(cron("a"), cron("b"))
    await eventually(lambda: cluster.called("f"))
    cluster.drop("a")
    await eventually(lambda: cluster.called("f")[-1]["job_id"] == "b")
    await eventually(lambda: len(cluster.called("f")) >= 3)
    assert gaps(times(cluster)) == {1}


async def test_a_job_without_triggers_stops_and_begins_anew_without_catching_up(shards: Shards) -> None:
    cluster = shards.cluster
    _, host = await shards.add()
    cluster.register("f", lambda _event: None)
    cluster.register("g", lambda _event: None)
    cluster.put(cron("a"), cron("other", "g"))
    await eventually(lambda: cluster.called("f"))
    cluster.drop("a")
    await eventually(lambda: host.describe()["iii-cron"]["owned"] == 1)
    before = times(cluster)
    others = len(times(cluster, "g"))
    await eventually(lambda: len(times(cluster, "g")) >= others + 3)
    assert times(cluster) == before
    cluster.put(cron("a"))
    await eventually(lambda: len(times(cluster)) > len(before))
    assert times(cluster)[len(before)] > times(cluster, "g")[others + 2]


@pytest.mark.parametrize(("answer", "runs"), [(True, True), (False, False), (None, True), (0, True), ({}, True)])
async def test_only_false_keeps_a_condition_from_letting_a_tick_run(shards: Shards, answer: Any, runs: bool) -> None:
    cluster = shards.cluster
    await shards.add()
    cluster.register("f", lambda _event: None, namespace="blue")
    cluster.register("check", lambda _event: answer, namespace="blue")
    cluster.put(cron("a", namespace="blue", condition_function_id="check"))
    await eventually(lambda: len(cluster.called("check")) >= 2)
    await eventually(lambda: len(cluster.called("f")) >= 1 if runs else True)
    assert bool(cluster.called("f")) is runs
    assert all(call.namespace == "blue" for call in cluster.calls)


async def test_a_condition_that_fails_skips_the_tick_and_not_the_next(shards: Shards) -> None:
    cluster = shards.cluster
    await shards.add()
    asked = 0

    def check(_event: Any) -> bool:
        nonlocal asked
        asked += 1
        if asked == 1:
            raise EngineError("NO", "not now")
        return True

    cluster.register("f", lambda _event: None)
    cluster.register("check", check)
    cluster.put(cron("a", _condition_path="check"))
    await eventually(lambda: cluster.called("f"))
    assert times(cluster, "check")[0] not in times(cluster)


async def test_handler_errors_are_told_once_and_the_job_goes_on(
    shards: Shards, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    cluster = shards.cluster
    await shards.add()
    runs = 0

    def handler(_event: Any) -> None:
        nonlocal runs
        runs += 1
        if runs <= 2:
            raise EngineError("NO", "not now")

    cluster.register("f", handler)
    cluster.put(cron("a"))
    await eventually(lambda: "cron_recovered" in caplog.text)
    actions = [r.getMessage().split()[0] for r in caplog.records if r.getMessage().startswith("action=cron_")]
    assert actions == ["action=cron_failing", "action=cron_recovered"]
    assert gaps(times(cluster)) == {1}


async def test_a_handler_that_does_not_end_is_given_up(shards: Shards) -> None:
    cluster = shards.cluster
    await shards.add(handler_timeout=0.5)
    never = asyncio.Event()

    async def hang(_event: Any) -> None:
        await never.wait()

    cluster.register("f", hang)
    cluster.put(cron("a"))
    await eventually(lambda: len(cluster.called("f")) >= 2)


async def test_a_job_never_overlaps_itself(shards: Shards) -> None:
    cluster = shards.cluster
    await shards.add()
    go = asyncio.Event()
    running = most = 0

    async def slow(_event: Any) -> None:
        nonlocal running, most
        running += 1
        most = max(most, running)
        await go.wait()
        running -= 1

    cluster.register("f", slow)
    cluster.register("g", lambda _event: None)
    cluster.put(cron("a"), cron("b", "g"))
    await eventually(lambda: len(cluster.called("g")) >= 3)
    assert len(cluster.called("f")) == 1
    go.set()
    await eventually(lambda: len(cluster.called("f")) >= 3)
    assert most == 1


async def test_a_new_owner_goes_on_with_every_tick_once(shards: Shards) -> None:
    cluster = shards.cluster
    first, _ = await shards.add()
    second, _ = await shards.add()
    cluster.register("f", lambda _event: None)
    cluster.put(cron("a"))
    await eventually(lambda: len(times(cluster)) >= 2)
    first.ownership.take_away()
    ticks = len(times(cluster))
    await asyncio.sleep(2.2)  # nobody owns the job: two ticks pass
    assert len(times(cluster)) == ticks
    second.ownership.give(range(SLOTS), 2)
    await eventually(lambda: len(times(cluster)) >= ticks + 4)
    assert gaps(times(cluster)) == {1}


async def test_a_new_owner_waits_for_the_handler_that_the_former_one_called(shards: Shards) -> None:
    cluster = shards.cluster
    first, _ = await shards.add()
    second, host = await shards.add()
    go = asyncio.Event()
    running = most = 0

    async def slow(_event: Any) -> None:
        nonlocal running, most
        running += 1
        most = max(most, running)
        await go.wait()
        running -= 1

    cluster.register("f", slow)
    cluster.put(cron("a"))
    await eventually(lambda: len(times(cluster)) == 1)
    first.ownership.take_away()
    second.ownership.give(range(SLOTS), 2)
    await eventually(lambda: host.describe()["iii-cron"]["owned"] == 1)
    await asyncio.sleep(2.5)
    assert len(times(cluster)) == 1
    go.set()
    await eventually(lambda: len(times(cluster)) >= 3)
    assert most == 1
    assert len(set(times(cluster))) == len(times(cluster))


async def hanging(shards: Shards) -> None:
    """One tick under way, at the first of two gateways; whose handler does not end."""
    cluster = shards.cluster
    cluster.gateways = ["gateway-1", "gateway-2"]
    never = asyncio.Event()

    async def hang(_event: Any) -> None:
        await never.wait()

    cluster.register("f", hang)
    cluster.put(cron("a"))
    await eventually(lambda: cluster.calls)
    cluster.register("f", lambda _event: None)


async def test_a_tick_whose_gateway_dies_with_its_shard_does_not_run_again(shards: Shards) -> None:
    cluster = shards.cluster
    _, first = await shards.add()
    second, _ = await shards.add()
    await hanging(shards)
    await first.shutdown()
    cluster.lose_gateway("gateway-1")
    second.ownership.give(range(SLOTS), 2)
    await eventually(lambda: len(times(cluster)) >= 4)
    assert gaps(times(cluster)) == {1}


async def test_a_tick_whose_gateway_dies_while_its_shard_is_fenced_does_not_run_again(shards: Shards) -> None:
    cluster = shards.cluster
    engine, _ = await shards.add()
    await hanging(shards)
    engine.ownership.fence()
    cluster.lose_gateway("gateway-1")
    engine.ownership.fence(False)
    await eventually(lambda: len(times(cluster)) >= 4)
    assert gaps(times(cluster)) == {1}


async def test_a_tick_whose_gateway_alone_dies_does_not_run_again(shards: Shards) -> None:
    cluster = shards.cluster
    await shards.add()
    await hanging(shards)
    cluster.lose_gateway("gateway-1")
    await eventually(lambda: len(times(cluster)) >= 4)
    assert len(set(times(cluster))) == len(times(cluster))


async def test_a_tick_that_a_dead_gateway_did_not_get_runs_on_the_next_owner(shards: Shards) -> None:
    cluster = shards.cluster
    _, first = await shards.add()
    second, _ = await shards.add()
    await hanging(shards)
    cluster.deliveries.clear()  # as if the call had been lost on its way
    await first.shutdown()
    cluster.lose_gateway("gateway-2")
    second.ownership.give(range(SLOTS), 2)
    await eventually(lambda: len(times(cluster)) >= 4)
    assert times(cluster)[0] == times(cluster)[1]
    assert gaps(times(cluster)[1:]) == {1}


async def test_an_adopted_tick_that_moved_to_another_gateway_dies_with_that_one(shards: Shards) -> None:
    cluster = shards.cluster
    _, first = await shards.add()
    second, host = await shards.add()
    third, _ = await shards.add()
    await hanging(shards)
    cluster.calls[0].gateway = "gateway-2"  # its worker is there now
    await first.shutdown()
    second.ownership.give(range(SLOTS), 2)
    await eventually(lambda: cluster.calls[0].done)  # it waits for the end
    await host.shutdown()
    cluster.lose_gateway("gateway-2")
    third.ownership.give(range(SLOTS), 3)
    await eventually(lambda: len(times(cluster)) >= 4)
    assert len(set(times(cluster))) == len(times(cluster))


async def test_a_fenced_shard_stops_at_once_and_goes_on_where_it_was(shards: Shards) -> None:
    cluster = shards.cluster
    engine, host = await shards.add()
    cluster.register("f", lambda _event: None)
    cluster.put(cron("a"))
    await eventually(lambda: len(times(cluster)) >= 1)
    engine.ownership.fence()
    assert host.describe()["iii-cron"]["owned"] == 0
    ticks = len(times(cluster))
    await asyncio.sleep(1.2)
    assert len(times(cluster)) == ticks
    engine.ownership.fence(False)
    await eventually(lambda: len(times(cluster)) >= ticks + 3)
    assert gaps(times(cluster)) == {1}


async def test_a_server_that_goes_away_and_comes_back_delays_ticks_and_loses_none(
    shards: Shards, valkey: ValkeyServer
) -> None:
    cluster = shards.cluster
    await shards.add()
    cluster.register("f", lambda _event: None)
    cluster.put(cron("a"))
    await eventually(lambda: len(times(cluster)) >= 1)
    valkey.kill()
    await asyncio.sleep(1.5)
    valkey.start()  # without its memory
    ticks = len(times(cluster))
    await eventually(lambda: len(times(cluster)) >= ticks + 3)
    assert gaps(times(cluster)) == {1}


async def test_gateways_keep_no_time(shards: Shards) -> None:
    engine = shards.cluster.node(role=Role.GATEWAY)
    host = ModuleHost([make(ModuleEntry("iii-cron"))])
    await host.initialize(engine)
    assert (engine.watchers, host.describe()) == ({}, {})
    await host.shutdown()
    await host.shutdown()


async def test_shutdown_stops_all_jobs_and_can_be_followed_by_a_new_beginning(shards: Shards) -> None:
    cluster = shards.cluster
    engine, host = await shards.add()
    cluster.register("f", lambda _event: None)
    cluster.put(cron("a"))
    await eventually(lambda: times(cluster))
    await host.shutdown()
    await host.shutdown()
    ticks = len(times(cluster))
    await asyncio.sleep(1.2)
    assert len(times(cluster)) == ticks
    await host.initialize(engine)
    await eventually(lambda: len(times(cluster)) > ticks)
    assert len(set(times(cluster))) == len(times(cluster))


@pytest.mark.parametrize(
    ("adapter", "named"),
    [
        ({"name": "kv"}, "kv"),
        ({"name": "kv", "config": {"lock_ttl_ms": 1000, "lock_index": "x"}}, "kv"),
        ({"name": "redis", "config": {"redis_url": "redis://elsewhere:6379"}}, "redis"),
        ({"class": "modules::cron::KvCronAdapter"}, "kv"),
        ({"class": "modules::cron::RedisCronAdapter", "config": {"redis_url": "redis://elsewhere"}}, "redis"),
    ],
)
async def test_adapter_names_of_existing_files_are_taken(
    shards: Shards, caplog: pytest.LogCaptureFixture, adapter: dict[str, Any], named: str
) -> None:
    caplog.set_level(logging.INFO)
    await shards.add({"adapter": adapter})
    assert f"action=cron_adapter named={named} used=cluster" in caplog.text


@pytest.mark.parametrize(
    "config", [{"adapter": {"name": "etcd"}}, {"adapter": {"name": "kv", "config": {"ttl": 1}}}, {"zone": "UTC"}]
)
def test_unknown_adapters_and_keys_are_refused(config: dict[str, Any]) -> None:
    with pytest.raises(BadConfig):
        make(ModuleEntry("iii-cron", config))
