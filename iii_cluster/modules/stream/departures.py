"""Clients of gateways that have died: a shard tells hooks that they left."""

import asyncio
import logging
from collections.abc import Iterable

import msgspec
from redis.exceptions import RedisError

from iii_cluster.modules.engine import Engine
from iii_cluster.redis.commands import Commands, Unavailable
from iii_cluster.redis.script import Script

from . import names
from .hooks import Hooks, Membership
from .presence import LEASE, departure
from .scripts import PACKAGE

KEY = "stream-departures:all"  # what its owner looks after
INTERVAL = 2.0  # seconds between looks
MEMORY = 24 * 3600 * 1000  # ms a dead gateway is remembered; one that was paused longer would come back
AWAY = 6000  # ms without a look after which all leases begin anew: Redis may have been away, for gateways as well
PAGE = 100  # clients told of at the same time

_GONE = Script(PACKAGE, "presence_gone.lua")
_CLAIM = Script(PACKAGE, "presence_claim.lua")
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
            try:
                if self._engine.ownership.token(KEY) and self._hooks.knows_leaving:
                    await self.look()
            except (RedisError, Unavailable) as error:
                log.debug("action=stream_departures_unread error=%s", error)
            except Exception:  # nobody else looks
                log.exception("action=stream_departures_failed")

    async def look(self) -> None:
        """Tell of all that is to be told now."""
        prefix = self._engine.prefix
        keys = names.gateways(prefix), names.dead(prefix), names.untold(prefix), names.looked(prefix)
        for gateway in await self._commands.run(_GONE, keys, (MEMORY, AWAY, round(LEASE * 1000)), again=True):
            told = await self._tell(gateway.decode())
            await self._commands.execute(b"SREM", names.untold(prefix), gateway, again=True)
            log.info("action=stream_clients_left gateway=%s subscriptions=%d", gateway.decode(), told)

    async def _tell(self, gateway: str) -> int:
        key, told = names.present(self._engine.prefix, gateway), 0
        while page := await self._commands.execute(b"HRANDFIELD", key, PAGE, b"WITHVALUES", again=True):
            records = dict(page)
            leaving = {number: membership for number in records if (membership := self._hooked(records[number]))}
            claimed = await self._claim(gateway, leaving) if leaving else []
            await asyncio.gather(
                *(self._hooks.left(leaving[number], departure(gateway, int(number))) for number in claimed)
            )
            told += len(claimed)
            await self._commands.execute(b"HDEL", key, *records, again=True)
        return told

    def _hooked(self, record: bytes) -> Membership | None:
        """Who has left, if some hook wants to know."""
        try:
            membership = _decode(record)
        except msgspec.MsgspecError:
            log.warning("action=stream_departure_unread reason=the record has another form")
            return None
        return membership if self._hooks.told_of_leaving(membership) else None

    async def _claim(self, gateway: str, numbers: Iterable[bytes]) -> list[bytes]:
        """Those that the gateway has not taken back, as one does that was paused and goes on."""
        keys = names.present(self._engine.prefix, gateway), names.told(self._engine.prefix, gateway)
        claimed: list[bytes] = await self._commands.run(_CLAIM, keys, (MEMORY, *numbers), again=True)
        return claimed
