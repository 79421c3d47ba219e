"""Makes rollups, in the shard that has the turn: every minute of the minute that is over, and of any missed before."""

import time

from .rollups import LEVELS, Bucket, bucket_of, first_kept, merged, rolled, sampled
from .sources import Sources
from .times import SECOND
from .turns import patiently

GRACE = 10 * SECOND  # ns after the end of a minute until everything received in it is surely in the store


class Roller:
    def __init__(self, sources: Sources) -> None:
        self._sources = sources
        self._store = sources.rollups
        self._rolled = 0  # the last minute that was looked at

    async def roll(self, now: int | None = None) -> None:
        """Costs nothing most of the time. Raises what `Commands.execute` does. `now`: ns."""
        now = time.time_ns() if now is None else now
        minute = bucket_of(now - GRACE, 0) - LEVELS[0].width  # the last one that is over
        if minute <= self._rolled:
            return
        await self._roll_minutes(minute, now)
        for level in (1, 2):
            await self._merge(level, minute + LEVELS[0].width, now)
        self._rolled = minute

    async def _roll_minutes(self, last: int, now: int) -> None:
        known = await self._known(0, now)
        oldest = first_kept(now, 0)
        missing = set(range(oldest, last + 1, LEVELS[0].width)) - known
        source = self._sources.metrics
        kept = await source.metrics() if source is not None else []
        made = {start: bucket for start, bucket in (await patiently(rolled(kept))).items() if start in missing}
        if last in missing:
            sample = sampled((await self._sources.numbers()).values(), self._sources.config.service_name, last)
            made.setdefault(last, Bucket([], [])).rollups.extend(sample.rollups)
        await self._store.put(0, made)

    async def _merge(self, level: int, until: int, now: int) -> None:
        """All buckets of a level that are over by `until` and whose parts are there."""
        width = LEVELS[level].width
        known = await self._known(level, now)
        parts = await self._store.known(level - 1)
        by_bucket: dict[int, list[int]] = {}
        for part in parts:
            by_bucket.setdefault(part // width * width, []).append(part)
        made = {}
        for start, own in by_bucket.items():
            if start not in known and start + width <= until and start >= first_kept(now, level):
                made[start] = merged(await self._store.get(level - 1, own), start, level)
        if made:
            await self._store.put(level, made)

    async def _known(self, level: int, now: int) -> set[int]:
        """What is kept, without what is too old, which goes."""
        known = await self._store.known(level)
        old = {start for start in known if start < first_kept(now, level)}
        await self._store.forget(level, old)
        return known - old
