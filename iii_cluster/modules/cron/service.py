"""Cron on one shard: the core's effects on Redis and functions."""

import asyncio
import logging
import time
from collections.abc import Callable, Coroutine, Mapping
from typing import Any

from redis.exceptions import ResponseError

from iii_cluster.bus.envelopes import Trigger
from iii_cluster.modules.calling import call
from iii_cluster.modules.conditions import Conditions
from iii_cluster.modules.engine import Engine
from iii_cluster.modules.spans import DeliverySpan, deliver
from iii_cluster.protocol.errors import EngineError
from iii_cluster.redis.commands import Unavailable
from iii_cluster.telemetry.records import Kind
from iii_cluster.telemetry.tracing import NO_TRACE

from .clock import RedisClock
from .core import SECOND, CronCore
from .jobs import TYPE, Job, Jobs, payload
from .records import CLAIMED, EARLY, KEEP, Fenced, Records

GATHER = 0.02  # seconds in which changes of triggers are taken together
UPKEEP = 5.0  # seconds
LONGEST_SLEEP = 60.0  # seconds; the clock may be corrected meanwhile
BEAT = 0.25  # seconds
STALL = 0.5  # seconds that a beat comes late when the process stood still
LAST_WRITES = 0.5  # seconds they may take at the end
ADOPT_AGAIN = 1.0  # seconds until gateways that did not answer are asked again

Step = Callable[..., Coroutine[Any, Any, None]]  # (job, ...)

logger = logging.getLogger(__name__)


class CronService:
    """The jobs that this shard owns. One task per job at a time."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._loop = asyncio.get_running_loop()
        self._records = Records(engine.commands, engine.prefix)
        self._clock = RedisClock(int(time.time() * SECOND), self._loop.time())
        self._conditions = Conditions(engine)
        self._core = CronCore(self)
        self._triggers = Jobs()
        self._jobs: dict[str, Job] = {}  # all of the cluster
        self._tasks: dict[str, asyncio.Task[None]] = {}  # by job
        self._writes: set[asyncio.Task[None]] = set()
        self._failing: set[str] = set()  # jobs
        self._ticks = 0
        self._timer: asyncio.TimerHandle | None = None
        self._updating: asyncio.TimerHandle | None = None
        self._next_beat = self._loop.time() + BEAT
        self._beating = self._loop.call_at(self._next_beat, self._beat)
        self._stopped = False
        self._watched = engine.watch(TYPE, self._triggers_changed)
        engine.ownership.subscribe(self._update)
        self._upkeep = self._loop.create_task(self._keep_up())
        self._update()

    async def stop(self) -> None:
        """Forget everything; the next owners take over what is under way."""
        self._stopped = True
        self._beating.cancel()
        for handle in (self._timer, self._updating):
            if handle is not None:
                handle.cancel()
        tasks = [self._upkeep, *self._tasks.values()]
        for task in tasks:
            task.cancel()
        await asyncio.wait(tasks)
        if self._writes:
            _, late = await asyncio.wait(self._writes, timeout=LAST_WRITES)
            for write in late:
                write.cancel()

    def describe(self) -> Mapping[str, Any]:
        return {
            "jobs": len(self._jobs),
            "owned": len(self._core),
            "running": self._core.running,
            "ticks": self._ticks,
            "failing": len(self._failing),
        }

    # -- effects of the core

    def take(self, job: str, token: int) -> None:
        self._spawn(self._take, job, token)

    def adopt(self, job: str, token: int, tick: int, started: int) -> None:
        self._spawn(self._adopt, job, token, tick, started)

    def claim(self, job: str, token: int, tick: int) -> None:
        self._spawn(self._claim, job, token, tick)

    def run(self, job: str, token: int, tick: int, now: int) -> None:
        self._engine.telemetry.metrics.cron.run(now / SECOND - tick)
        self._spawn(self._run, job, token, tick, now)

    def finish(self, job: str, token: int, tick: int, skipped: int) -> None:
        self._write(self._records.finish, job, token, tick, skipped)

    def leave(self, job: str, token: int) -> None:
        self._failing.discard(job)
        self._write(self._records.leave, job, token)

    def drop(self, job: str) -> None:
        task = self._tasks.pop(job, None)
        if task is not None:
            task.cancel()

    # -- one job

    async def _take(self, job: str, token: int) -> None:
        now, record = await self._records.take(job, token)
        self._clock.heard(now, self._loop.time())
        self._core.taken(job, now, record)

    async def _claim(self, job: str, token: int, tick: int) -> None:
        verdict, now = await self._records.claim(job, token, tick)
        if verdict == EARLY:
            self._clock.correct(now, self._loop.time())
            self._core.early(job, now)
            return
        self._clock.heard(now, self._loop.time())
        if verdict != CLAIMED:
            self._core.claimed_before(job)
        elif self._owns(job, token):
            self._core.claimed(job, tick, self._now())

    async def _run(self, job: str, token: int, tick: int, now: int) -> None:
        self._ticks += 1
        made = self._jobs[job]
        trigger = made.trigger
        data = payload(made, tick, now)
        name = f"call {trigger.function}"
        span = deliver(self._engine, name, NO_TRACE, Kind.PRODUCER, function=trigger.function, root=True)
        span.set("faas.trigger", "timer")
        span.set("job_id", trigger.id)
        try:
            with span:
                if made.conditional and not await self._conditions.allow(trigger, data, span.trace):
                    span.refused()
                elif self._owns(job, token):
                    await self._call(job, token, tick, trigger, data, span)
                else:
                    span.left()
                    return
        except EngineError as error:
            self._failed(job, error)
        self._core.ended(job, self._now())

    async def _call(self, job: str, token: int, tick: int, trigger: Trigger, data: bytes, span: DeliverySpan) -> None:
        def sent(gateway: str) -> None:
            span.sent(gateway)
            self._sent(job, token, tick, gateway)

        traceparent, baggage = span.trace
        await call(
            self._engine,
            trigger.function,
            data,
            namespace=trigger.namespace,
            metadata=trigger.metadata,
            traceparent=traceparent,
            baggage=baggage,
            once=_name(job, tick),
            sent=sent,
        )
        self._worked(job)

    async def _adopt(self, job: str, token: int, tick: int, started: int) -> None:
        name = _name(job, tick)
        end: asyncio.Future[bytes] = self._loop.create_future()

        def done(_name: str, error: bytes) -> None:
            if not end.done():
                end.set_result(error)

        limit = started + int(self._engine.settings.handler_timeout * SECOND)
        while True:
            adopted = await self._engine.adopt([name], done)
            if name in adopted.serving:
                self._sent(job, token, tick, adopted.serving[name])
                await asyncio.wait([end], timeout=max(limit - self._now(), 0) / SECOND)
                self._core.ended(job, self._now())
            elif name in adopted.ended:
                self._core.ended(job, self._now(), ran=False)
            elif adopted.complete:
                self._core.lost(job, self._now(), adopted.gateways)
            elif self._now() >= limit:
                self._core.ended(job, self._now(), ran=False)
            else:
                await asyncio.sleep(ADOPT_AGAIN)
                continue
            return

    def _sent(self, job: str, token: int, tick: int, gateway: str) -> None:
        """Written down while the call goes on: if that gateway dies, nobody else knows that the tick ran."""
        self._write(self._records.sent, job, token, tick, gateway)

    def _owns(self, job: str, token: int) -> bool:
        """Whether the job is still ours to run; the record is read again when it is not, or not for now."""
        if self._engine.ownership.token(job) == token:
            return True
        self._core.failed(job, self._now())
        return False

    def _failed(self, job: str, error: EngineError) -> None:
        if job not in self._failing:
            self._failing.add(job)
            logger.warning("action=cron_failing function=%s error=%s", self._jobs[job].trigger.function, error)

    def _worked(self, job: str) -> None:
        if job in self._failing:
            self._failing.discard(job)
            logger.info("action=cron_recovered function=%s", self._jobs[job].trigger.function)

    # -- all jobs

    def _triggers_changed(self) -> None:
        if self._updating is None and not self._stopped:
            self._updating = self._loop.call_later(GATHER, self._update)

    def _update(self) -> None:
        if self._updating is not None:
            self._updating.cancel()
            self._updating = None
        if self._stopped or not self._watched.known:
            return
        self._jobs = self._triggers.update(self._watched.all())
        self._core.update({key: job.expression for key, job in self._jobs.items()}, self._engine.ownership.token)
        self._arm()

    def _arm(self) -> None:
        """Wake when the core has something to do."""
        due = self._core.next_due
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if due is not None and not self._stopped:
            delay = max(due - self._now(), 0) / SECOND
            self._timer = self._loop.call_later(min(delay, LONGEST_SLEEP), self._expire)

    def _expire(self) -> None:
        self._core.expire(self._now())
        self._arm()

    def _beat(self) -> None:
        at = self._loop.time()
        if at > self._next_beat + STALL:
            self._core.stood_still(self._now())
        self._next_beat = at + BEAT
        self._beating = self._loop.call_at(self._next_beat, self._beat)

    async def _keep_up(self) -> None:
        kept = self._loop.time()
        while True:
            await asyncio.sleep(UPKEEP)
            try:
                self._clock.heard(await self._records.now(), self._loop.time())
                if self._loop.time() - kept > KEEP:
                    kept = self._loop.time()
                    await self._records.keep(self._core.keys())
            except (Unavailable, ResponseError) as error:
                logger.debug("action=cron_upkeep_failed error=%s", error)
            except Exception:
                logger.exception("action=cron_upkeep_failed")
            self._update()

    def _now(self) -> int:
        return self._clock.now(self._loop.time())

    # -- tasks

    def _spawn(self, step: Step, job: str, *arguments: int) -> None:
        task = self._loop.create_task(self._guard(step, job, *arguments))
        self._tasks[job] = task
        task.add_done_callback(lambda task: self._tasks.pop(job) if self._tasks.get(job) is task else None)

    async def _guard(self, step: Step, job: str, *arguments: int) -> None:
        """Whatever goes wrong, the job goes on: its record tells where."""
        try:
            await step(job, *arguments)
        except (Unavailable, Fenced, ResponseError) as error:
            logger.debug("action=cron_record_unavailable job=%s error=%s", job, error)
            self._core.failed(job, self._now())
        except Exception:
            logger.exception("action=cron_job_failed job=%s", job)
            self._core.failed(job, self._now())
        self._arm()

    def _write(self, write: Step, job: str, *arguments: int | str) -> None:
        task = self._loop.create_task(self._quietly(write, job, *arguments))
        self._writes.add(task)
        task.add_done_callback(self._writes.discard)

    async def _quietly(self, write: Step, job: str, *arguments: int | str) -> None:
        """What cannot be written now is found out by whoever owns the job next."""
        try:
            await write(job, *arguments)
        except (Unavailable, Fenced, ResponseError) as error:
            logger.debug("action=cron_write_failed job=%s error=%s", job, error)


def _name(job: str, tick: int) -> str:
    """Of the delivery: "cron:<digest>:<tick>"."""
    return f"{job}:{tick}"
