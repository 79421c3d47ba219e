import os
import socket
import stat
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path

import pytest
from redis.asyncio import Redis

from iii_cluster.local.data_dir import DataDirError, DataDirInUse
from iii_cluster.local.ports import PortError
from iii_cluster.local.supervisor import Supervisor
from iii_cluster.local.valkey import EmbeddedValkey


@pytest.fixture
def embedded(tmp_path: Path) -> Iterator[EmbeddedValkey]:
    server = EmbeddedValkey(tmp_path / "data", 0)
    yield server
    server.close()


async def serve(server: EmbeddedValkey, use: Callable[[Redis], Awaitable[object]]) -> object:
    """Start the server, let `use` talk to it, and stop it."""
    supervisor = Supervisor(lambda text: None, lambda name, line: None)
    try:
        await supervisor.start([server.spec(0)], 30)
        client = Redis.from_url(server.url, decode_responses=True)
        try:
            return await use(client)
        finally:
            await client.aclose()
    finally:
        assert await supervisor.stop(10) == []


async def test_data_survives_a_stop(embedded: EmbeddedValkey, tmp_path: Path) -> None:
    async def write(client: Redis) -> None:
        await client.set("key", "value")

    async def read(client: Redis) -> object:
        return await client.get("key")

    await serve(embedded, write)
    assert await serve(embedded, read) == "value"


async def test_it_is_set_up_to_keep_data_and_slow_subscribers(embedded: EmbeddedValkey) -> None:
    async def settings(client: Redis) -> object:
        names = ("bind", "appendonly", "appendfsync", "maxmemory-policy", "client-output-buffer-limit")
        return [(await client.config_get(name))[name] for name in names]

    found = await serve(embedded, settings)
    assert isinstance(found, list)
    assert found[:4] == ["127.0.0.1", "yes", "everysec", "noeviction"]
    assert "pubsub 268435456 134217728 60" in found[4]


async def test_only_the_data_stays_behind(embedded: EmbeddedValkey) -> None:
    async def nothing(client: Redis) -> None:
        await client.set("key", "value")

    await serve(embedded, nothing)
    assert [path.name for path in embedded.data_dir.iterdir()] == ["appendonlydir"]
    assert stat.S_IMODE(embedded.data_dir.stat().st_mode) == 0o700


def test_a_data_directory_in_use_is_refused(embedded: EmbeddedValkey) -> None:
    with pytest.raises(DataDirInUse, match=r"in use by another `iii-cluster up`; .* --data-dir"):
        EmbeddedValkey(embedded.data_dir, 0)


def test_a_data_directory_is_free_again_after_close(tmp_path: Path) -> None:
    EmbeddedValkey(tmp_path, 0).close()
    EmbeddedValkey(tmp_path, 0).close()


def test_a_data_directory_that_cannot_be_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(DataDirError, match="cannot use the data directory"):
        EmbeddedValkey(tmp_path / "file", 0)


def test_a_taken_port_is_refused_and_locks_nothing(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as stranger, pytest.raises(PortError, match="--redis-port"):
        EmbeddedValkey(tmp_path / "other", stranger.getsockname()[1])
    assert not os.path.exists(tmp_path / "other")
