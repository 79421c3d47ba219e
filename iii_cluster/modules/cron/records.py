"""The records of jobs in Redis, whose clock is the one that counts."""

from collections.abc import Iterable
from typing import Any

from redis.exceptions import ResponseError

from iii_cluster.redis.commands import Commands
from iii_cluster.redis.script import Script

from .core import SECOND, Record

# A record must outlive its owner, and jobs that come back; an idle one is kept by KEEP.
TIME_TO_LIVE = 24 * 3600.0  # seconds
KEEP = 3600.0  # seconds between renewals

CLAIMED, EARLY, BEFORE = 1, 0, -1  # verdicts on a claim

_TAKE, _CLAIM, _SENT, _FINISH, _LEAVE = (
    Script(__package__, f"{name}.lua") for name in ("take", "claim", "sent", "finish", "leave")
)


class Fenced(Exception):
    """A later owner has taken the job over."""


class Records:
    """All times are microseconds. Methods may raise Unavailable."""

    def __init__(self, commands: Commands, prefix: str) -> None:
        self._commands = commands
        self._prefix = prefix
        self._ttl_ms = int(TIME_TO_LIVE * 1000)

    async def now(self) -> int:
        seconds, micros = await self._commands.execute("TIME", again=True)
        return int(seconds) * SECOND + int(micros)

    async def take(self, job: str, token: int) -> tuple[int, Record]:
        """The time and the record. Raises Fenced."""
        now, known, tick, started, gateway = await self._run(_TAKE, job, [token, self._ttl_ms])
        return now, Record(known, tick, started, gateway.decode())

    async def claim(self, job: str, token: int, tick: int) -> tuple[int, int]:
        """The verdict and the time. Raises Fenced."""
        verdict, now = await self._run(_CLAIM, job, [token, tick, self._ttl_ms])
        return verdict, now

    async def sent(self, job: str, token: int, tick: int, gateway: str) -> None:
        await self._run(_SENT, job, [token, tick, gateway])

    async def finish(self, job: str, token: int, tick: int, skipped: int) -> None:
        await self._run(_FINISH, job, [token, tick, skipped])

    async def leave(self, job: str, token: int) -> None:
        await self._run(_LEAVE, job, [token])

    async def keep(self, jobs: Iterable[str]) -> None:
        """These are still owned and wanted."""
        for job in jobs:
            await self._commands.execute("PEXPIRE", self._key(job), self._ttl_ms, again=True)

    def _key(self, job: str) -> str:
        return f"{self._prefix}:{job}"

    async def _run(self, script: Script, job: str, arguments: list[int | str]) -> Any:
        try:
            return await self._commands.run(script, [self._key(job)], arguments, again=True)
        except ResponseError as error:
            if str(error).startswith("FENCED"):
                raise Fenced from None
            raise
