"""The Redis of a cluster: the Valkey of one of our own, or a server that ran here before."""

import asyncio
import contextlib
import os
import signal
from urllib.parse import urlsplit

import redis.asyncio
from redis.exceptions import RedisError

from .children import Children

VALKEY = "valkey"  # its name among the children
LOCAL_HOSTS = ("127.0.0.1", "localhost", "::1")
# With "everysec" a reply may be sent up to 2 s before the log is written, while the disk is busy with what came before;
# with "no" the log is always written first. Processes are killed here, not machines.
DURABLE = ("--appendfsync", "no")
INTERVAL = 0.25  # s between two looks whether it is back


class NotLocal(Exception):
    """There is no Redis on this host that could be broken; says why."""


class _Server:
    """What a client can do to a server."""

    def __init__(self, client: redis.asyncio.Redis) -> None:
        self._client = client

    async def flush(self) -> None:
        await self._client.flushall()

    async def deafen(self) -> None:
        await self._client.client_kill_filter(_type="pubsub")

    async def close(self) -> None:
        await self._client.aclose()


class OwnRedis(_Server):
    """The Valkey among `children`."""

    keeps = True  # as long as it writes its log before it answers, see DURABLE

    def __init__(self, children: Children, host: str, port: int) -> None:
        super().__init__(redis.asyncio.Redis(host=host, port=port, socket_timeout=5.0))
        self._children = children

    def kill(self, away: float) -> None:
        self._children.kill(VALKEY, away)

    async def back(self) -> None:
        await self._children.back(VALKEY)

    def freeze(self) -> None:
        self._children.signal(VALKEY, signal.SIGSTOP)

    def thaw(self) -> None:
        self._children.signal(VALKEY, signal.SIGCONT)


class LocalRedis(_Server):
    """A server on this host, started again by whoever keeps it when it dies."""

    def __init__(self, url: str) -> None:
        super().__init__(redis.asyncio.Redis.from_url(url, socket_timeout=2.0))
        self.keeps = False
        self._url = url
        self._pid = 0

    async def find(self) -> None:
        """Raises NotLocal unless the server is a process of this host."""
        try:
            info = await self._client.info("server")
        except (RedisError, OSError) as error:
            raise NotLocal(f"no Redis answers at --redis-url: {error}") from None
        pid = int(info["process_id"])
        if urlsplit(self._url).hostname not in LOCAL_HOSTS or not _is_redis(pid):
            raise NotLocal("--redis-faults needs a Redis that runs on this host")
        self._pid = pid
        with contextlib.suppress(RedisError):  # who may not ask has to expect the worst
            self.keeps = (await self._client.config_get("appendonly"))["appendonly"] == "yes"

    def kill(self, away: float) -> None:
        os.kill(self._pid, signal.SIGKILL)

    async def back(self) -> None:
        while True:
            with contextlib.suppress(NotLocal):
                await self.find()
                return
            await asyncio.sleep(INTERVAL)

    def freeze(self) -> None:
        os.kill(self._pid, signal.SIGSTOP)

    def thaw(self) -> None:
        with contextlib.suppress(ProcessLookupError):
            os.kill(self._pid, signal.SIGCONT)


def _is_redis(pid: int) -> bool:
    with contextlib.suppress(OSError), open(f"/proc/{pid}/comm") as file:
        return file.read().startswith(("redis", "valkey"))
    return False
