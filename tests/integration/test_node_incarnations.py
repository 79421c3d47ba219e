"""A process that is declared dead, again and again, with a role whose steps the test decides about."""

import asyncio
import os
from collections.abc import AsyncIterator
from typing import Any

import pytest
from redis.asyncio import Redis

from iii_cluster.bus.envelopes import Result
from iii_cluster.cluster.keys import Keys
from iii_cluster.cluster.map import ClusterMap, NodeInfo, Role
from iii_cluster.cluster.scripts import Scripts
from iii_cluster.config.settings import Settings
from iii_cluster.node import process as process_module
from iii_cluster.node.node import Node
from iii_cluster.node.process import RoleProcess
from iii_cluster.node.stopping import StopRequest
from tests.support.bus import started_buses
from tests.support.eventually import eventually
from tests.support.valkey import ValkeyServer

KEYS = Keys("test")
LEASE_MS = 600_000
GRACE = 3.0


class Throne:
    """Leads by hand: the test decides who is in the map."""

    def __init__(self, redis: Redis) -> None:
        self._redis = redis
        self.scripts = Scripts(redis, KEYS)
        self._map = ClusterMap(term=1)

    async def ascend(self) -> None:
        await self.scripts.acquire_leadership("coordinator-test", LEASE_MS, 0, 0)

    async def write(self, *nodes: str) -> None:
        infos = {node: NodeInfo(id=node, role=Role.SHARD) for node in nodes}
        self._map = ClusterMap(term=1, epoch=self._map.epoch + 1, nodes=infos)
        assert await self.scripts.write_map(self._map)

    async def leases(self) -> set[str]:
        return set((await self.scripts.scan_leases(1, [])).leases)


class FakeRole:
    """The role. `calls` are its steps; while `hold` names one, that one does not end until `released`. It listens when
    it serves, or goes on."""

    def __init__(self) -> None:
        self.calls: list[str] = []
        self.hold = ""
        self.released = asyncio.Event()
        self.failures = 0
        self.heard: list[str] = []

    async def serve(self, node: Node) -> "FakeRole":
        await self._step("serve", node.info.id)
        self._listen(node)
        return self

    async def start(self) -> None:
        await self._step("start")

    async def stop(self, grace: float) -> None:
        await self._step("stop", str(grace))

    async def rejoin(self, node: Node) -> "FakeRole":
        await self._step("rejoin", node.info.id)
        if self.failures:
            self.failures -= 1
            raise RuntimeError("not this time")
        self._listen(node)
        return self

    async def rejoined(self) -> None:
        await self._step("rejoined")

    def ready(self) -> bool:
        return True

    def ports(self) -> dict[str, int]:
        return {"extra": 7}

    def describe(self) -> dict[str, Any]:
        return {}

    def _listen(self, node: Node) -> None:
        node.bus.on(Result, lambda _src, result: self.heard.append(result.id))

    async def _step(self, name: str, *detail: str) -> None:
        self.calls.append(" ".join((name, *detail)))
        if self.hold == name:
            await self.released.wait()


class Lab:
    """The process under test. Its ids are "shard-…", written here without what is random."""

    def __init__(self, url: str, throne: Throne) -> None:
        settings = Settings(
            cluster="test",
            redis_urls=(url,),
            lease_interval=0.05,
            admin_port=0,
            metrics_port=0,
            drain_timeout=GRACE,
        )
        self.throne = throne
        self.role = FakeRole()
        self._ready, ready_fd = os.pipe()
        os.set_blocking(self._ready, False)
        self.process = RoleProcess(Role.SHARD, settings, self.role.serve, StopRequest(GRACE), ready_fd)
        self.name = ""
        self._task: asyncio.Task[None] | None = None

    async def start(self) -> None:
        self._task = asyncio.create_task(self.process.run())
        self.name = (await eventually(self.throne.leases)).pop()

    async def join(self, incarnation: int = 1) -> None:
        """Take that incarnation into the map."""
        name = self.id(incarnation)
        await eventually(lambda: self._leased(name))
        await self.throne.write(name)

    async def _leased(self, name: str) -> bool:
        return name in await self.throne.leases()

    async def expel(self, incarnation: int = 1) -> None:
        await self.throne.scripts.remove_leases([self.id(incarnation)])

    async def serving(self, *calls: str) -> None:
        """Returns when these are the steps of the role so far."""
        wanted = [call.replace("#", self.name) for call in calls]
        await eventually(lambda: self.role.calls == wanted)

    def id(self, incarnation: int) -> str:
        return self.name if incarnation == 1 else f"{self.name}.{incarnation}"

    def ready_lines(self) -> int:
        try:
            return os.read(self._ready, 65536).count(b"\n")
        except BlockingIOError:
            return 0

    async def stop(self) -> None:
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait([self._task])
            self._task = None
            await self.process.stop()

    def close(self) -> None:
        os.close(self._ready)


@pytest.fixture
async def lab(valkey: ValkeyServer, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Lab]:
    monkeypatch.setattr(process_module, "REJOIN_INTERVAL", 0.01)
    async with Redis.from_url(valkey.url) as redis:
        throne = Throne(redis)
        await throne.ascend()
        lab = Lab(valkey.url, throne)
        await lab.start()
        yield lab
        lab.role.hold = ""
        await lab.stop()
        lab.close()


async def test_every_incarnation_joins_before_the_role_goes_on(lab: Lab) -> None:
    await lab.join()
    await lab.serving("serve #", "start")
    await lab.expel()
    await lab.serving("serve #", "start", "rejoin #.2")
    await lab.join(2)
    await lab.serving("serve #", "start", "rejoin #.2", "rejoined")
    await lab.throne.write()  # not removed, but no longer in the map
    await lab.join(3)
    await lab.serving("serve #", "start", "rejoin #.2", "rejoined", "rejoin #.3", "rejoined")
    assert lab.ready_lines() == 1
    assert await lab.throne.leases() == {lab.id(3)}
    lease = (await lab.throne.scripts.scan_leases(1, [])).leases[lab.id(3)]
    assert lease.info is not None
    assert lease.info.ports["extra"] == 7


async def test_a_process_declared_dead_before_it_served_starts_later(lab: Lab) -> None:
    lab.role.hold = "start"
    await lab.join()
    await lab.serving("serve #", "start")
    lab.role.hold = ""
    await lab.expel()
    await lab.join(2)
    await lab.serving("serve #", "start", "rejoin #.2", "start")
    await eventually(lab.ready_lines)


async def test_a_role_that_fails_to_go_on_gets_another_try(lab: Lab) -> None:
    await lab.join()
    await lab.serving("serve #", "start")
    lab.role.failures = 2
    await lab.expel()
    await lab.join(4)
    await lab.serving("serve #", "start", "rejoin #.2", "rejoin #.3", "rejoin #.4", "rejoined")
    assert await lab.throne.leases() == {lab.id(4)}


async def test_a_process_declared_dead_while_it_comes_back_starts_over(lab: Lab) -> None:
    await lab.join()
    await lab.serving("serve #", "start")
    lab.role.hold = "rejoin"
    await lab.expel()
    await lab.serving("serve #", "start", "rejoin #.2")
    lab.role.hold = ""
    await lab.expel(2)
    await lab.join(3)
    await lab.serving("serve #", "start", "rejoin #.2", "rejoin #.3", "rejoined")


async def test_mail_that_comes_before_the_role_listens_is_kept_for_it(lab: Lab, valkey: ValkeyServer) -> None:
    """Whoever sees the node in the map announces to it at once, and never again."""
    async with started_buses() as make:
        peer = await make("gateway-test", valkey.url)
        await lab.join()
        await lab.serving("serve #", "start")
        lab.role.hold = "rejoin"
        await lab.expel()
        await lab.serving("serve #", "start", "rejoin #.2")
        await lab.join(2)
        for number in range(3):
            peer.send(lab.id(2), Result(str(number), b""))
        await peer.settle(30)
        lab.role.released.set()
        await lab.serving("serve #", "start", "rejoin #.2", "rejoined")
        peer.send(lab.id(2), Result("3", b""))
        await eventually(lambda: lab.role.heard == ["0", "1", "2", "3"])


async def test_a_process_can_be_stopped_while_it_comes_back(lab: Lab) -> None:
    await lab.join()
    await lab.serving("serve #", "start")
    lab.role.hold = "rejoin"
    await lab.expel()
    await lab.serving("serve #", "start", "rejoin #.2")
    await lab.stop()
    await lab.serving("serve #", "start", "rejoin #.2", f"stop {GRACE}")
    assert await lab.throne.leases() == set()


async def test_a_process_can_be_stopped_while_redis_is_away_and_it_comes_back(lab: Lab, valkey: ValkeyServer) -> None:
    await lab.join()
    await lab.serving("serve #", "start")
    await lab.expel()
    await lab.serving("serve #", "start", "rejoin #.2")
    valkey.kill()
    await lab.stop()
    await lab.serving("serve #", "start", "rejoin #.2", f"stop {GRACE}")


async def test_what_is_counted_goes_on_through_incarnations(lab: Lab) -> None:
    def packets() -> tuple[str, int]:
        snapshot = lab.process._telemetry.metrics.snapshot()
        return snapshot.node, snapshot.bus.packets_sent

    await lab.join()
    await lab.serving("serve #", "start")
    assert lab.process._node is not None
    lab.process._node.bus.stats.packets += 1000
    for incarnation in (2, 3):
        await lab.expel(incarnation - 1)
        await lab.join(incarnation)
        await eventually(lambda: packets()[0] == lab.id(incarnation))  # noqa: B023
        assert 1000 <= packets()[1] < 1100
