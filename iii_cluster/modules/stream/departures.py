"""Clients of gateways that have died: a shard tells hooks that they left."""

import asyncio
import logging
from contextlib import suppress

import msgspec
from redis.exceptions import RedisError

from iii_cluster.modules.engine import Engine
from iii_cluster.redis.commands import Commands, Unavailable
from iii_cluster.redis.script import Script

from . import names
from .hooks import Hooks, Membership
from .presence import departure
from .scripts import PACKAGE

KEY = "stream-departures:all"  # what its owner looks after
INTERVAL = 2.0  # seconds between looks
MEMORY = 24 * 3600 * 1000  # ms a dead gateway is remembered; one that was paused longer would come back
PAGE = 100  # clients told of at the same time

_GONE = Script(PACKAGE, "presence_gone.lua")
_decode = msgspec.json.Decoder(Membership).decode

log = logging.getLogger(__name__)


class Departures:
    def __init__(self, engine: Engine, commands: Commands, hooks: Hooks) -> None:
        self._engine = engine
        self._commands = commands
        self._hooks = hooks
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        self._task = asyncio.get_running_loop().create_task(self._run())

    async def stop(self) -> None:
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait([self._task])

    async def _run(self) -> None:
        while True:
            await asyncio.sleep(INTERVAL)
            if self._engine.ownership.token(KEY):
                with suppress(RedisError, Unavailable):
                    await self.look()

    async def look(self) -> None:
        """Tell of all that is to be told now."""
        prefix = self._engine.prefix
        keys = names.gateways(prefix), names.dead(prefix), names.untold(prefix)
        for gateway in await self._commands.run(_GONE, keys, (MEMORY,), again=True):
            told = await self._tell(gateway.decode())
            await self._commands.execute(b"SREM", names.untold(prefix), gateway, again=True)
            log.info("action=stream_clients_left gateway=%s subscriptions=%d", gateway.decode(), told)

    async def _tell(self, gateway: str) -> int:
        key, told = names.present(self._engine.prefix, gateway), 0
        while True:
            _, page = await self._commands.execute(b"HSCAN", key, b"0", b"COUNT", PAGE, again=True)
            if not page:
                return told
            records = dict(zip(page[::2], page[1::2], strict=True))
            await asyncio.gather(
                *(
                    self._hooks.left(_decode(membership), departure(gateway, number.decode()))
                    for number, membership in records.items()
                )
            )
            await self._commands.execute(b"HDEL", key, *records, again=True)
            told += len(records)
