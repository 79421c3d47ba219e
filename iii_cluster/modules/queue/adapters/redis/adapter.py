"""The adapter `redis`: scripts put jobs in, consumers take them out, everybody may look."""

import asyncio
import logging
from collections.abc import Collection, Sequence
from typing import Any, ClassVar

import msgspec
from msgspec import Struct
from redis.exceptions import RedisError

from iii_cluster.cluster.map import Role
from iii_cluster.modules.engine import Engine
from iii_cluster.modules.queue.adapter import Dead, Deliver, Group, Job, Of, Queue, Stats
from iii_cluster.modules.queue.names import lane_key
from iii_cluster.redis.commands import Unavailable

from . import keys as names
from . import partitions, scripts
from .consumer import RedisConsumer, decode_job, read_tries
from .keys import LaneKeys
from .retention import LaneRetention

INDEX_POLL = 10.0  # seconds between looks at which lanes there are
BATCH = 200  # jobs of one script call of the management
REMEMBER_FACTOR = 3  # ids of done jobs are kept this many times as long as a command may be repeated

encode_job = msgspec.msgpack.Encoder().encode

logger = logging.getLogger(__name__)


class RedisConfig(Struct, frozen=True, forbid_unknown_fields=True):
    """`redis_url`: another server than the cluster's own."""

    redis_url: str = ""


class RedisAdapter:
    Config: ClassVar[Any] = RedisConfig
    broker_type: ClassVar[str] = "redis"

    def __init__(self, config: RedisConfig, engine: Engine) -> None:
        self._engine = engine
        self._commands = engine.commands_of(config.redis_url) if config.redis_url else engine.commands
        self._prefix = engine.prefix
        self._retention = LaneRetention(self._commands, engine.prefix)
        self._known: dict[str, list[str]] = {}  # lanes by queue id, as of the last look
        self._indexer: asyncio.Task[None] | None = None

    async def start(self) -> None:
        if self._engine.role is Role.SHARD:
            try:
                self._known = partitions.by_queue(await self._lanes())
            except (Unavailable, RedisError) as error:
                logger.warning("action=lanes_unknown error=%s", error)
            self._indexer = asyncio.get_running_loop().create_task(self._follow_lanes())

    async def stop(self) -> None:
        if self._indexer is not None:
            self._indexer.cancel()
            await asyncio.wait([self._indexer])

    async def _follow_lanes(self) -> None:
        while True:
            await asyncio.sleep(INDEX_POLL)
            try:
                self._known = partitions.by_queue(await self._lanes())
            except (Unavailable, RedisError):
                continue
            except Exception:
                logger.exception("action=lanes_unknown")

    async def _lanes(self) -> set[str]:
        stored: Collection[bytes] = await self._commands.execute("SMEMBERS", names.lanes(self._prefix), again=True)
        return {lane.decode(errors="replace") for lane in stored}

    # Putting in

    async def enqueue(self, queue: Queue, job: Job, delay_ms: int = 0) -> None:
        lane = partitions.lane_of(queue, job)
        keys = LaneKeys(self._prefix, lane)
        index = names.lanes(self._prefix)
        body = encode_job(job)
        if queue.fifo:
            script = scripts.ENQUEUE_FIFO
            used = (keys.jobs, keys.group + job.group, keys.groups, keys.delayed, keys.due, keys.done, index)
            arguments: tuple[Any, ...] = (lane, job.id, body, job.group, delay_ms)
        else:
            script = scripts.ENQUEUE
            used = (keys.jobs, keys.waiting, keys.delayed, keys.done, index)  # type: ignore[assignment]
            arguments = (lane, job.id, body, delay_ms)
        await self._commands.run(script, used, arguments, again=True)
        self._engine.nudge(lane_key(lane))

    async def publish(self, topic: str, job: Job, live: Collection[Group], delay_ms: int = 0) -> None:
        prefix = self._prefix
        used = (
            names.subscribers(prefix, topic),
            names.topics(prefix),
            names.lanes(prefix),
            names.lanes_prefix(prefix),
            names.attended(prefix),
        )
        lanes = [partitions.group_lane(group) for group in live]
        head = (topic, partitions.backlog_lane(topic), job.id, encode_job(job), delay_ms)
        for lane in await self._commands.run(scripts.PUBLISH, used, [*head, *lanes], again=True):
            self._engine.nudge(lane_key(lane.decode()))

    async def subscribe(self, group: Group) -> None:
        prefix, topic = self._prefix, group.topic
        lane, backlog = partitions.group_lane(group), partitions.backlog_lane(topic)
        old, new = LaneKeys(prefix, backlog), LaneKeys(prefix, lane)
        used = (
            names.subscribers(prefix, topic),
            names.topics(prefix),
            names.lanes(prefix),
            *(old.jobs, old.waiting, old.delayed, new.jobs, new.waiting, new.delayed),
            names.attended(prefix),
        )
        while (said := await self._commands.run(scripts.SUBSCRIBE, used, (topic, lane, backlog), again=True)) == 2:
            pass
        if said:
            self._engine.nudge(lane_key(lane))

    async def unsubscribe(self, group: Group) -> None:
        topic = group.topic
        backlog = LaneKeys(self._prefix, partitions.backlog_lane(topic))
        used = (names.subscribers(self._prefix, topic), names.topics(self._prefix), backlog.jobs)
        await self._commands.run(scripts.UNSUBSCRIBE, used, (topic, partitions.group_lane(group)), again=True)

    # Consuming

    def lanes(self, queue: Queue) -> Sequence[str]:
        return partitions.lanes_of(queue, self._known)

    def consume(self, queue: Queue, lane: str, token: int, deliver: Deliver) -> RedisConsumer:
        remember = REMEMBER_FACTOR * self._engine.settings.redis_outage_limit
        return RedisConsumer(self._engine, self._commands, lane, queue, token, deliver, remember)

    # Retention

    async def abandoned(self, retention_ms: int) -> Collection[str]:
        return await self._retention.abandoned(retention_ms)

    async def expire(self, lane: str, token: int, retention_ms: int) -> int | None:
        return await self._retention.expire(lane, token, retention_ms)

    # Management

    async def topics(self) -> Collection[str]:
        stored: Collection[bytes] = await self._commands.execute("SMEMBERS", names.topics(self._prefix), again=True)
        return sorted(topic.decode(errors="replace") for topic in stored)

    async def _lanes_of(self, of: Of) -> list[str]:
        known = await self._lanes()
        if isinstance(of, str):
            return partitions.topic_lanes(of, known)
        return partitions.lanes_of(of, partitions.by_queue(known))

    async def stats(self, of: Of) -> Stats:
        depth = delayed = dead = 0
        made = []
        for lane in await self._lanes_of(of):
            counts = await self._count(lane)
            depth, delayed, dead = depth + counts.depth, delayed + counts.delayed, dead + counts.dead
            made += [counts.oldest] if counts.oldest else []
        return Stats(depth, delayed, dead, min(made, default=0))

    async def dead(self, of: Of, offset: int, limit: int) -> Sequence[Dead]:
        lanes = await self._lanes_of(of)
        if len(lanes) == 1:
            return await self._browse(lanes[0], offset, limit)
        found = [dead for lane in lanes for dead in await self._browse(lane, 0, offset + limit)]
        found.sort(key=lambda dead: dead.failed_at, reverse=True)
        return found[offset : offset + limit]

    async def _browse(self, lane: str, offset: int, limit: int, *, oldest: bool = False) -> list[Dead]:
        keys = LaneKeys(self._prefix, lane)
        used = (keys.dead, keys.errors, keys.tries, keys.jobs)
        reply = await self._commands.run(scripts.BROWSE, used, (int(not oldest), offset, limit), again=True)
        found = []
        for at in range(0, len(reply), 5):
            _id, failed_at, body, tries, error = reply[at : at + 5]
            try:
                job = decode_job(body or b"")
            except msgspec.MsgspecError:
                continue
            found.append(Dead(job, error or b"", int(failed_at), read_tries(tries)[0]))
        return found

    async def redrive(self, of: Of) -> int:
        total = 0
        for lane in await self._lanes_of(of):
            left = (await self._count(lane)).dead
            while left > 0 and (batch := await self._browse(lane, 0, min(BATCH, left), oldest=True)):
                total += await self._redrive(lane, [dead.job for dead in batch])
                left -= len(batch)
        return total

    async def _count(self, lane: str) -> Stats:
        keys = LaneKeys(self._prefix, lane)
        used = (keys.jobs, keys.delayed, keys.dead, keys.waiting, keys.groups, keys.group)
        depth, delayed, dead, job = await self._commands.run(scripts.STATS, used, again=True)
        try:
            oldest = decode_job(job).created_at if job else 0
        except msgspec.MsgspecError:
            oldest = 0
        return Stats(depth, delayed, dead, oldest)

    async def _redrive(self, lane: str, jobs: Sequence[Job]) -> int:
        keys = LaneKeys(self._prefix, lane)
        used = (keys.dead, keys.errors, keys.tries, keys.jobs, keys.waiting, keys.groups, keys.group)
        pairs = [part for job in jobs for part in (job.id, job.group)]
        count: int = await self._commands.run(scripts.REDRIVE, used, (int(partitions.is_fifo(lane)), *pairs))
        if count:
            self._engine.nudge(lane_key(lane))
        return count

    async def redrive_message(self, of: Of, id: str) -> int:
        for lane in await self._lanes_of(of):
            keys = LaneKeys(self._prefix, lane)
            body = await self._commands.execute("HGET", keys.jobs, id, again=True)
            if body and (count := await self._redrive(lane, [decode_job(body)])):
                return count
        return 0

    async def discard_message(self, of: Of, id: str) -> int:
        for lane in await self._lanes_of(of):
            keys = LaneKeys(self._prefix, lane)
            if await self._commands.run(scripts.DISCARD, (keys.dead, keys.errors, keys.tries, keys.jobs), (id,)):
                return 1
        return 0

    async def purge(self, of: Of) -> int:
        total = 0
        for lane in await self._lanes_of(of):
            total += await (self._purge_fifo(lane) if partitions.is_fifo(lane) else self._purge(lane))
        return total

    async def _purge(self, lane: str) -> int:
        keys = LaneKeys(self._prefix, lane)
        used = (keys.waiting, keys.delayed, keys.jobs, keys.tries)
        counts = await self._count(lane)
        total, left = 0, counts.depth + counts.delayed
        while left > 0 and (count := await self._commands.run(scripts.PURGE, used, (BATCH,))):
            total, left = total + count, left - count
        return total

    async def _purge_fifo(self, lane: str) -> int:
        keys = LaneKeys(self._prefix, lane)
        execute = self._commands.execute
        groups: set[bytes] = set(await execute("ZRANGE", keys.groups, 0, -1, again=True))
        groups |= set(await execute("ZRANGE", keys.delayed, 0, -1, again=True))
        active = await execute("ZRANGE", keys.active, 0, -1, again=True)
        if active:
            bodies = await execute("HMGET", keys.jobs, *active, again=True)
            groups |= {decode_job(body).group.encode() for body in bodies if body}
        total = 0
        for group in groups:
            used = (
                keys.group.encode() + group,
                keys.active,
                keys.groups,
                keys.delayed,
                keys.due,
                keys.jobs,
                keys.tries,
            )
            while count := await self._commands.run(scripts.PURGE_GROUP, used, (group, BATCH)):
                total += count
        return total
