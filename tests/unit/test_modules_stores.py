"""A module's own Redis is asked when the module begins."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest

from iii_cluster.cluster.map import Role
from iii_cluster.config.settings import ModuleEntry
from iii_cluster.modules import stores
from iii_cluster.modules.host import ModuleHost
from iii_cluster.modules.load import make
from tests.support.engine import FakeCluster, FakeEngine
from tests.support.eventually import eventually
from tests.support.ports import release_port, reserve_port
from tests.support.valkey import ValkeyServer


@pytest.fixture
async def engine(valkey: ValkeyServer) -> AsyncIterator[FakeEngine]:
    cluster = FakeCluster()
    yield cluster.node(valkey.url, Role.GATEWAY)
    await cluster.close()


def host_with(adapter: dict[str, Any] | None) -> ModuleHost:
    return ModuleHost([make(ModuleEntry("iii-state", {} if adapter is None else {"adapter": adapter}))])


async def test_a_server_that_does_not_answer_is_told_and_the_module_runs(
    engine: FakeEngine, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stores, "LIMIT", 0.05)
    port = reserve_port()
    url = f"redis://user:secret@127.0.0.1:{port}"
    host = host_with({"name": "redis", "config": {"redis_url": url}})
    await host.initialize(engine)

    def told() -> list[str]:
        return [text for text in caplog.messages if "module_store_unreachable" in text]

    (text,) = await eventually(told)
    assert f"module=iii-state adapter=redis address=redis://***@127.0.0.1:{port} " in text
    assert "no answer within" in text
    assert "secret" not in text
    await host.shutdown()
    release_port(port)


async def test_servers_that_answer_are_not_told(
    engine: FakeEngine, valkey: ValkeyServer, caplog: pytest.LogCaptureFixture
) -> None:
    for adapter in (None, {"name": "memory"}, {"config": {"redis_url": valkey.url}}):
        host = host_with(adapter)
        await host.initialize(engine)
        await asyncio.gather(*host.checks.running)
        await host.shutdown()
    assert not [text for text in caplog.messages if "module_store" in text]


async def test_a_check_under_way_ends_with_the_process(engine: FakeEngine) -> None:
    port = reserve_port()
    host = host_with({"name": "redis", "config": {"redis_url": f"redis://127.0.0.1:{port}"}})
    await host.initialize(engine)
    assert host.checks.running
    await host.shutdown()
    assert not host.checks.running
    release_port(port)
