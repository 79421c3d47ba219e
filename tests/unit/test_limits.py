"""Limits of one connection, and of all gateways together."""

import asyncio
import math
import uuid
from collections.abc import Callable
from typing import Any

import pytest

from gateway.census import Census
from gateway.limits import Counts, Limits, limits_of
from gateway.sockets.rate import MessageRate
from iii_cluster.config.settings import Settings
from iii_cluster.redis.commands import Unavailable
from tests.support.eventually import eventually
from tests.support.gateway import FakeGateway, cluster_map


def invoke(**fields: Any) -> dict[str, Any]:
    return {"type": "invokefunction", "invocation_id": str(uuid.uuid4()), "function_id": "f", "data": 1, **fields}


def gateway_with(limits: Limits) -> FakeGateway:
    return FakeGateway(limits=limits)


def test_without_limits_there_is_room_for_everything() -> None:
    limits = limits_of(Settings(max_in_flight=0))
    assert limits.calls_of_one == limits.connections == limits.registrations == limits.calls == math.inf
    assert not limits.shared
    limits.heard([Counts(10, 10, 10)])
    assert limits.calls == math.inf


def test_what_the_others_have_is_not_there_any_more() -> None:
    limits = limits_of(Settings(max_cluster_connections=10, max_cluster_in_flight=7))
    assert limits.shared
    assert (limits.connections, limits.registrations, limits.calls) == (10, math.inf, 7)
    limits.heard([Counts(1, 100, 5), Counts(3, 100, 4)])
    assert (limits.connections, limits.registrations, limits.calls) == (6, math.inf, -2)
    assert limits.describe()["others"] == {"connections": 4, "registrations": 200, "in_flight": 9}
    limits.heard([])
    assert (limits.connections, limits.calls) == (10, 7)


def test_calls_beyond_the_limit_of_a_connection_fail_until_one_ends() -> None:
    gateway = gateway_with(Limits(max_in_flight=2))
    serving, served = gateway.connect()
    gateway.say(serving, type="registerfunction", id="f")
    caller, outlet = gateway.connect()
    for _ in range(4):
        gateway.say(caller, **invoke())
    refused = outlet.take()
    assert [frame["error"]["code"] for frame in refused] == ["LIMIT_EXCEEDED", "LIMIT_EXCEEDED"]
    assert "2 calls in flight" in refused[0]["error"]["message"]
    gateway.say(caller, **invoke(action={"type": "void"}))  # waits for no answer
    calls = [frame for frame in served.take() if frame["type"] == "invokefunction"]
    assert len(calls) == 3
    other, others_outlet = gateway.connect()
    gateway.say(other, **invoke())
    assert not others_outlet.take()
    gateway.say(
        serving, type="invocationresult", invocation_id=calls[0]["invocation_id"], function_id="f", result="done"
    )
    assert outlet.take()[0]["result"] == "done"
    gateway.say(caller, **invoke())
    assert not outlet.take()
    assert gateway.core.limits.refused_calls == 2


def test_calls_beyond_the_limit_of_the_cluster_fail() -> None:
    limits = Limits(cluster=Counts(in_flight=3))
    gateway = gateway_with(limits)
    gateway.say(gateway.connect()[0], type="registerfunction", id="f")
    caller, outlet = gateway.connect()
    limits.heard([Counts(in_flight=2)])
    for _ in range(2):
        gateway.say(caller, **invoke())
    [refused] = outlet.take()
    assert refused["error"] == {"code": "LIMIT_EXCEEDED", "message": "the cluster may have 3 calls in flight"}
    limits.heard([])
    gateway.say(caller, **invoke())
    assert not outlet.take()


def test_registrations_beyond_the_limit_of_the_cluster_are_dropped_and_triggers_told(
    caplog: pytest.LogCaptureFixture,
) -> None:
    limits = Limits(cluster=Counts(registrations=4))
    gateway = gateway_with(limits)
    worker, outlet = gateway.connect()
    limits.heard([Counts(registrations=2)])
    trigger = {"type": "registertrigger", "trigger_type": "t", "function_id": "f", "config": {}}
    gateway.say(worker, type="registerfunction", id="f")
    gateway.say(worker, **trigger, id="a")
    [failed] = outlet.take()
    assert failed["type"] == "triggerregistrationresult"
    assert failed["error"]["code"] == "LIMIT_EXCEEDED"
    gateway.say(worker, type="registerfunction", id="f")  # again: nothing more than before
    gateway.say(worker, type="registerfunction", id="g")
    gateway.say(worker, type="registerfunction", id="h")
    assert {key[2] for key in worker.registrations} == {"f", "g"}
    assert "the workers of the cluster may register 4 things" in caplog.text
    limits.heard([])
    gateway.say(worker, **trigger, id="a")
    assert not outlet.take()
    assert limits.refused_registrations == 2


# -- messages per second ---------------------------------------------------------------------------


class Time:
    """A clock and a socket of a rate."""

    def __init__(self) -> None:
        self.now = 0.0
        self.paused = 0
        self.halts = 0
        self._later: list[tuple[float, Callable[[], None]]] = []

    def clock(self) -> float:
        return self.now

    def later(self, delay: float, do: Callable[[], None]) -> None:
        self._later.append((self.now + delay, do))

    def pause(self) -> None:
        self.paused += 1

    def resume(self) -> None:
        self.paused -= 1

    def told(self) -> None:
        self.halts += 1

    def pass_until_read(self) -> float:
        """Lets time pass until the socket is read; returns how long."""
        began = self.now
        while self.paused:
            self.now, do = self._later.pop(0)
            do()
        return self.now - began


def test_as_many_messages_as_the_rate_are_taken_at_once_and_then_one_by_one() -> None:
    time = Time()
    rate = MessageRate(time, 10, time.clock, time.later, time.told)
    for _ in range(10):
        rate.took()
    assert time.halts == 0
    rate.took()
    assert time.halts == 1
    assert time.pass_until_read() == pytest.approx(0.1)
    time.now += 0.3
    for _ in range(3):
        rate.took()
    assert time.halts == 1


def test_what_was_read_in_one_go_is_made_up_for() -> None:
    time = Time()
    rate = MessageRate(time, 10, time.clock, time.later, time.told)
    for _ in range(60):
        rate.took()
    assert time.paused == 1
    assert time.pass_until_read() == pytest.approx(5)
    time.now += 100
    for _ in range(10):
        rate.took()
    assert not time.paused
    assert time.halts == 1


# -- the census ------------------------------------------------------------------------------------


class Redis:
    def __init__(self) -> None:
        self.values: dict[str, bytes] = {}
        self.away = False
        self.writes = 0

    async def execute(self, *arguments: Any, again: bool = False) -> Any:
        assert again
        await asyncio.sleep(0)
        if self.away:
            raise Unavailable("no server", maybe=False)
        if arguments[0] == "SET":
            self.writes += 1
            self.values[arguments[1]] = arguments[2].encode()
            return b"OK"
        return [self.values.get(key) for key in arguments[1:]]


class Node:
    def __init__(self, redis: Redis, name: str) -> None:
        self.name = name
        self.counts = Counts()
        self.limits = Limits(cluster=Counts(10, 10, 10))
        self.redis = redis
        self.census = Census(self.limits, redis, "census:{}".format, lambda: self.counts)  # type: ignore[arg-type]
        self.map = cluster_map(name)

    async def tick(self) -> None:
        writes = self.redis.writes
        self.census.tick(self.name, self.map)
        if not self.redis.away:
            await eventually(lambda: self.redis.writes > writes)
        for _ in range(5):
            await asyncio.sleep(0)


async def test_gateways_of_the_map_hear_of_each_other() -> None:
    redis = Redis()
    one, other, stranger = (Node(redis, f"gateway-{n}") for n in "abc")
    one.map = other.map = cluster_map("gateway-a", "gateway-b")
    other.counts, stranger.counts = Counts(3, 2, 1), Counts(100, 100, 100)
    for node in (other, stranger, one):
        await node.tick()
    assert one.limits.others == (3, 2, 1)
    assert one.limits.connections == 7
    redis.away = True
    other.counts = Counts(9, 9, 9)
    for node in (other, one):
        await node.tick()
    assert one.limits.others == (3, 2, 1)  # goes on with what it has heard
    one.map = cluster_map("gateway-a")
    await one.tick()
    assert one.limits.others == (0, 0, 0)
    redis.away = False
    redis.values["census:gateway-b"] = b"nonsense"
    one.map = cluster_map("gateway-a", "gateway-b")
    await one.tick()
    assert one.limits.others == (0, 0, 0)
    for node in (one, other, stranger):
        await node.census.stop()
