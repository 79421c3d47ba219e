"""Gateways that serve streams, in the process of the test: the real module and port, a fake engine, a real Valkey."""

import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

from gateway.streams.listener import StreamListener
from iii_cluster.cluster.map import Role
from iii_cluster.config.settings import ModuleEntry, Settings
from iii_cluster.modules.host import ModuleHost
from iii_cluster.modules.load import make
from iii_cluster.modules.module import Request
from iii_cluster.modules.stream.module import StreamModule
from iii_cluster.telemetry.tracing import NO_TRACE, Trace
from tests.support.engine import FakeCluster, FakeEngine
from tests.support.eventually import eventually
from tests.support.valkey import ValkeyServer

SETTINGS = {"host": "127.0.0.1", "stream_port": 0, "redis_outage_limit": 10.0}


class StreamGateway:
    def __init__(self, cluster: FakeCluster, engine: FakeEngine, module: StreamModule) -> None:
        self.engine = engine
        self.module = module
        self.host = ModuleHost([module])
        self.listener = StreamListener(module, engine.settings, engine)

    @property
    def port(self) -> int:
        return self.listener.port

    async def call(self, function: str, data: Any, trace: Trace = NO_TRACE) -> Any:
        """As a worker gets it. Raises EngineError."""
        text = data if isinstance(data, bytes) else json.dumps(data).encode()
        traceparent, baggage = trace
        request = Request(function, text, traceparent=traceparent, baggage=baggage)
        result = await self.host.run(function, request)
        return None if result is None else json.loads(result)

    async def set(self, stream: str, group: str, item: str, data: Any) -> Any:
        names = {"stream_name": stream, "group_id": group, "item_id": item}
        return await self.call("stream::set", names | {"data": data})

    async def delete(self, stream: str, group: str, item: str) -> Any:
        return await self.call("stream::delete", {"stream_name": stream, "group_id": group, "item_id": item})

    async def send(self, stream: str, group: str, type: str, data: Any, item: str | None = None) -> None:
        names = {"stream_name": stream, "group_id": group} | ({} if item is None else {"id": item})
        await self.call("stream::send", names | {"type": type, "data": data})


class StreamCluster:
    """`functions`, triggers and the like of `cluster`; gateways made by `gateway`, shards by `shard`."""

    def __init__(self, url: str) -> None:
        self.cluster = FakeCluster()
        self._url = url
        self._stops: list[Callable[[], Any]] = []

    async def gateway(self, config: dict[str, Any] | None = None, url: str = "", **settings: Any) -> StreamGateway:
        url = url or self._url
        known = Settings(**{**SETTINGS, "redis_urls": (url,), **settings})
        engine = self.cluster.node(url, Role.GATEWAY, known)
        module = make(ModuleEntry("iii-stream", config or {}))
        assert isinstance(module, StreamModule)
        gateway = StreamGateway(self.cluster, engine, module)
        await gateway.host.initialize(engine)
        self._stops.append(gateway.host.shutdown)
        await gateway.listener.start()
        self._stops.append(lambda: gateway.listener.stop(0.0))
        return gateway

    async def shard(self, config: dict[str, Any] | None = None) -> ModuleHost:
        engine = self.cluster.node(self._url, Role.SHARD, Settings(redis_urls=(self._url,)))
        host = ModuleHost([make(ModuleEntry("iii-stream", config or {}))])
        await host.initialize(engine)
        self._stops.append(host.shutdown)
        return host

    async def close(self) -> None:
        for stop in reversed(self._stops):
            await stop()
        await self.cluster.close()


async def followed(valkey: ValkeyServer, stream: str, group: str) -> None:
    """Returns when a gateway hears what is told of a group."""
    channel = f"{{iii}}:stream-events:{stream}:{group}"
    await eventually(lambda: valkey.execute("PUBSUB", "NUMSUB", channel)[1])


@asynccontextmanager
async def streams(url: str) -> AsyncIterator[StreamCluster]:
    cluster = StreamCluster(url)
    try:
        yield cluster
    finally:
        await cluster.close()
