"""Rollups in Redis: one hash per level, from the second a bucket begins to what is in it."""

from collections.abc import Iterable, Mapping

import msgspec

from iii_cluster.redis.commands import Commands

from .rollups import LEVELS, Bucket, bucket_of

MAX_BYTES = 128 * 2**10  # of one bucket; a larger one is left out
PAGE = 16  # buckets read at once

_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(Bucket).decode


class RollupStore:
    """Every method raises what `Commands.execute` does."""

    def __init__(self, commands: Commands, prefix: str) -> None:
        self._commands = commands
        self._prefix = f"{prefix}:otel:rollups"

    async def known(self, level: int) -> set[int]:
        """Seconds in which the buckets that are kept begin."""
        return {int(start) for start in await self._commands.execute("HKEYS", self._key(level), again=True)}

    async def read(self, level: int, start_ns: int, end_ns: int) -> list[Bucket]:
        """Those that begin in this time, or in which it begins, in order."""
        first, last = bucket_of(start_ns, level), bucket_of(end_ns, level)
        return await self.get(level, [start for start in await self.known(level) if first <= start <= last])

    async def get(self, level: int, starts: Iterable[int]) -> list[Bucket]:
        """As far as they are there, in order."""
        wanted = sorted(starts)
        found: list[Bucket] = []
        for at in range(0, len(wanted), PAGE):
            bodies = await self._commands.execute("HMGET", self._key(level), *wanted[at : at + PAGE], again=True)
            found += [_decode(body) for body in bodies if body is not None]
        return found

    async def put(self, level: int, buckets: Mapping[int, Bucket]) -> None:
        """What is there stays: a bucket is made once."""
        for start, bucket in buckets.items():
            body = _encode(bucket)
            if len(body) > MAX_BYTES:
                body = _encode(Bucket())
            await self._commands.execute("HSETNX", self._key(level), start, body, again=True)
        await self._commands.execute("EXPIRE", self._key(level), 2 * LEVELS[level].kept, again=True)

    async def forget(self, level: int, starts: Iterable[int]) -> None:
        gone = list(starts)
        if gone:
            await self._commands.execute("HDEL", self._key(level), *gone, again=True)

    def _key(self, level: int) -> str:
        return f"{self._prefix}:{level}"
