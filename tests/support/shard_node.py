"""A node around a shard's service, without processes: mail is handed over by the test, storage is a dict."""

import asyncio
from collections.abc import Callable, Iterable
from typing import Any

from redis.exceptions import ConnectionError as RedisDown

from iii_cluster.bus.envelopes import Announced, BindTrigger, Envelope, Trigger, encode_envelope
from iii_cluster.cluster.durable import DURABLE
from iii_cluster.cluster.keys import Keys
from iii_cluster.cluster.map import ClusterMap, NodeInfo, Role
from iii_cluster.config.settings import Settings
from iii_cluster.telemetry.telemetry import Telemetry
from shard.service import ShardService
from tests.support.eventually import eventually
from tests.support.shard import GATEWAYS, ME, cluster_map


class FakeBus:
    def __init__(self) -> None:
        self.handlers: dict[type[Envelope], Callable[[str, Any], None]] = {}
        self.sent: list[tuple[str, Envelope]] = []
        self.on_reset: Callable[[str], None] | None = None
        self.on_reachable: Callable[[str, bool], None] | None = None
        self.on_congestion: Callable[[str, bool], None] | None = None

    def on(self, kind: type[Envelope], handler: Callable[[str, Any], None]) -> None:
        self.handlers[kind] = handler

    def send(self, node: str, envelope: Envelope) -> None:
        self.sent.append((node, envelope))

    def congested(self, _node: str) -> bool:
        return False

    def get(self, src: str, *envelopes: Envelope) -> None:
        for envelope in envelopes:
            self.handlers[type(envelope)](src, envelope)


class FakeAsker:
    def __init__(self) -> None:
        self.responders: dict[str, Callable[[str, Any], Any]] = {}
        self.lost: list[str] = []
        self.told: dict[str, Callable[[str, Any], Any]] = {}  # by question: others' answers, or LookupError
        self.asked: list[tuple[str, str, Any]] = []  # node, question, body

    def answer(self, op: str, responder: Callable[[str, Any], Any]) -> None:
        self.responders[op] = responder

    def node_lost(self, node: str) -> None:
        self.lost.append(node)

    async def ask_all(
        self,
        nodes: Iterable[str],
        op: str,
        body: object = None,
        timeout: float = 0.0,  # noqa: ASYNC109
    ) -> tuple[dict[str, Any], set[str]]:
        """As the real one does."""
        said: dict[str, Any] = {}
        silent: set[str] = set()
        for node in nodes:
            self.asked.append((node, op, body))
            try:
                said[node] = self.told[op](node, body)
            except LookupError:
                silent.add(node)
        await asyncio.sleep(0)
        return said, silent

    async def ask(self, op: str, body: object = None) -> Any:
        answer = self.responders[op](GATEWAYS[0], body)
        return await answer if asyncio.iscoroutine(answer) else answer


class FakeMembership:
    def __init__(self) -> None:
        self.map = ClusterMap()
        self.healthy = True
        self.expelled = False
        self.subscribers: list[Callable[[ClusterMap, ClusterMap], None]] = []
        self.lease_subscribers: list[Callable[[], None]] = []

    def subscribe(self, fn: Callable[[ClusterMap, ClusterMap], None]) -> None:
        self.subscribers.append(fn)

    def subscribe_lease(self, fn: Callable[[], None]) -> None:
        self.lease_subscribers.append(fn)

    def take(self, new: ClusterMap) -> None:
        old, self.map = self.map, new
        for subscriber in self.subscribers:
            subscriber(old, new)


class FakeRedis:
    """One hash, and a switch for outages."""

    def __init__(self) -> None:
        self.hash: dict[bytes, bytes] = {}
        self.down = False
        self.reading = asyncio.Event()
        self.go_on = asyncio.Event()
        self.go_on.set()

    async def hgetall(self, _key: str) -> dict[bytes, bytes]:
        if self.down:
            raise RedisDown
        found = dict(self.hash)
        self.reading.set()
        await self.go_on.wait()
        return found

    async def hdel(self, _key: str, id: str) -> int:
        if self.down:
            raise RedisDown
        return int(self.hash.pop(id.encode(), None) is not None)


class FakeNode:
    def __init__(self) -> None:
        self.info = NodeInfo(id=ME, role=Role.SHARD)
        self.settings = Settings(barrier=30.0)
        self.telemetry = Telemetry(self.settings)
        self.keys = Keys("test")
        self.redis = FakeRedis()
        self.bus = FakeBus()
        self.asker = FakeAsker()
        self.membership = FakeMembership()
        self.service: ShardService | None = None

    def take(self, new: ClusterMap) -> None:
        self.membership.take(new)

    def keep(self, trigger: Trigger) -> None:
        self.redis.hash[trigger.id.encode()] = encode_envelope(BindTrigger(1, DURABLE, 1, trigger))

    def describe(self) -> dict[str, Any]:
        assert self.service is not None
        return self.service.describe()

    async def filled(self) -> None:
        """Owner of every slot, with both gateways heard."""
        self.take(cluster_map(1))
        assert self.service is not None
        await self.service.start()
        for gateway in GATEWAYS:
            self.bus.get(gateway, Announced(1))
        await eventually(lambda: self.describe()["slots_filling"] == 0)
