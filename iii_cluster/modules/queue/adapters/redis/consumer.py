"""Serves one lane while this shard owns it: turns with Redis, deliveries to handlers."""

import asyncio
import logging
import random
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

import msgspec
from redis.exceptions import RedisError

from iii_cluster.cluster.outage import Outage
from iii_cluster.modules.engine import Adopted, Engine
from iii_cluster.modules.queue.adapter import Deliver, Delivery, Ended, Job, Queue, function_of
from iii_cluster.modules.queue.names import delivery_name
from iii_cluster.modules.queue.retries import retry_delay
from iii_cluster.protocol import errors
from iii_cluster.redis.commands import Argument, Commands, Unavailable

from . import scripts
from .keys import LaneKeys
from .lane import LEASE, Lane, Result, Taken, Turn
from .partitions import is_fifo, share

POLL = 5.0  # seconds until an idle lane is looked at though nobody said that there is anything
MAX_POLL = 15.0  # seconds, of a lane that has been idle for long
ADOPTION = 1.0  # seconds between questions after deliveries that some gateway did not answer for
LOG_INTERVAL = 1.0  # seconds between lines about dead jobs of one lane
RETRY = 0.5  # seconds between attempts to read a lane that Redis refuses

decode_job = msgspec.msgpack.Decoder(Job).decode

logger = logging.getLogger(__name__)


class Fenced(Exception):
    """Somebody else owns the lane."""


class _Inherited:
    """A delivery of an earlier owner. Nobody knows since when its handler is at it; it gets the whole time limit."""

    def __init__(self, ended: Ended, limit: float) -> None:
        error = errors.error_body(errors.TIMEOUT, f"the handler did not answer within {limit:g} s")
        self._timer = asyncio.get_running_loop().call_later(limit, ended, error)

    def forget(self) -> None:
        self._timer.cancel()


class RedisConsumer:
    """`remember`: seconds that ids of done jobs are kept."""

    def __init__(
        self, engine: Engine, commands: Commands, lane: str, queue: Queue, token: int, deliver: Deliver, remember: float
    ) -> None:
        self._engine = engine
        self._commands = commands
        self._lane = lane
        self._queue = queue
        self._token = token
        self._deliver = deliver
        self._fifo = is_fifo(lane)
        self._serial = "1" if queue.fifo and not self._fifo else "0"
        self._script = scripts.TURN_FIFO if self._fifo else scripts.TURN
        self._remember = int(remember * 1000)
        keys = LaneKeys(engine.prefix, lane)
        self._load_keys = (keys.token, keys.active, keys.jobs, keys.tries)
        common = (keys.delayed, keys.active, keys.dead, keys.errors, keys.done)
        source = (keys.groups, *common, keys.due, keys.group) if self._fifo else (keys.waiting, *common)
        self._turn_keys = (keys.token, keys.jobs, keys.tries, *source)
        self._number = 0  # of the last turn
        self._loop = asyncio.get_running_loop()
        self._wakeup = asyncio.Event()
        self._poll = POLL
        self._deliveries: dict[str, Delivery] = {}  # by job id
        self._outage = Outage(logger, "queue_lane")
        self._died = 0  # jobs, since the last line of the log about them
        self._log_again = 0.0
        self._core = Lane(self, self._limit(), self._loop.time())
        self._tasks = [self._loop.create_task(self._run())]

    def wake(self) -> None:
        self._poll = POLL
        self._core.woken()
        self._wakeup.set()

    def configure(self, queue: Queue) -> None:
        self._queue = queue
        self._serial = "1" if queue.fifo and not self._fifo else "0"
        self._core.limit = self._limit()
        self.wake()

    async def stop(self) -> None:
        for task in self._tasks:
            task.cancel()
        for delivery in self._deliveries.values():
            delivery.forget()  # before anybody asks what is on its way
        self._deliveries.clear()
        await asyncio.wait(self._tasks)
        if self._number:
            self._tell_the_rest()

    def _limit(self) -> int:
        limit = share(self._queue, self._lane)
        return min(limit, 1) if self._serial == "1" else limit

    # Effects of the core

    def deliver(self, taken: Taken) -> None:
        job = taken.job
        name = delivery_name(self._lane, job.id, taken.attempt)
        try:
            self._deliveries[job.id] = self._deliver(job, name, partial(self._ended, job.id))
        except Exception as error:
            logger.exception("action=delivery_failed lane=%r job=%s", self._lane, job.id)
            failed = errors.error_body(errors.INTERNAL_ERROR, f"it could not be delivered: {type(error).__name__}")
            self._loop.call_soon(self._ended, job.id, failed)

    def retry_delay(self, failures: int) -> int | None:
        return retry_delay(self._queue, failures)

    def _ended(self, id: str, error: bytes) -> None:
        self._deliveries.pop(id, None)
        self._core.ended(id, error)
        self._wakeup.set()

    # Turns

    async def _run(self) -> None:
        begin = self._take_over
        while True:
            try:
                await begin()
                begin = self._catch_up
                await self._take_turns()
            except Fenced:
                logger.info("action=lane_fenced lane=%r token=%d", self._lane, self._token)
                return
            except Exception:
                logger.exception("action=lane_failed lane=%r", self._lane)
                await asyncio.sleep(RETRY)

    async def _catch_up(self) -> None:
        """After a turn of which nobody knows whether it was done, or whatever else went wrong."""
        self._core.lost()
        self._core.found([taken for taken, _lease in await self._load()])

    async def _take_turns(self) -> None:
        """Returns after one of which nobody knows whether it was done."""
        while True:
            self._wakeup.clear()
            turn = self._core.turn(self._loop.time())
            if turn is None:
                await self._rest()
            elif not await self._exchange(turn):
                return

    async def _rest(self) -> None:
        """Until something happens, or the core wants to be asked again."""
        now = self._loop.time()
        poll = now + self._poll * random.uniform(0.8, 1.2)
        wakes = self._core.wakes()
        try:
            async with asyncio.timeout_at(poll if wakes is None else min(poll, wakes)):
                await self._wakeup.wait()
        except TimeoutError:
            if self._loop.time() >= poll:
                self._poll = min(self._poll * 1.5, MAX_POLL)
                self._core.woken()

    async def _exchange(self, turn: Turn) -> bool:
        """Whether Redis is known to have done it."""
        try:
            reply = await self._send(turn)
        except Unavailable as error:
            self._outage.failed(self._loop.time(), error)
            return False
        except RedisError as error:
            _check_fence(error)
            self._outage.failed(self._loop.time(), error)
            await asyncio.sleep(RETRY)
            return False
        self._outage.worked(self._loop.time())
        due_in, waiting = int(reply[0]), int(reply[1])
        due = None if due_in < 0 else self._loop.time() + due_in / 1000
        self._core.turned(self._decoded(reply, 2, 3), waiting, due)
        self._log_dead([result for result in turn.results if result.error and result.delay is None])
        return True

    def _send(self, turn: Turn) -> "asyncio.Future[Any]":
        done: list[Argument] = []
        repeated: list[Argument] = []
        dead: list[Argument] = []
        counts = [0, 0, 0]
        for result in turn.results:
            taken = result.taken
            whose = (taken.job.id, taken.job.group) if self._fifo else (taken.job.id,)
            if not result.error:
                counts[0] += 1
                done += whose
            elif result.delay is not None:
                counts[1] += 1
                repeated += [*whose, _tries(taken), result.delay]
            else:
                counts[2] += 1
                dead += [*whose, _tries(taken), result.error]
        self._number += 1
        head = (self._token, int(LEASE * 1000), turn.want, self._number, self._remember, self._serial)
        arguments = (*head, len(turn.renew), *counts, *turn.renew, *done, *repeated, *dead)
        return self._commands.start(self._script, self._turn_keys, arguments)

    async def _load(self) -> list[tuple[Taken, float]]:
        """What is in flight, with the ends of the leases; tries until Redis answers."""
        while True:
            try:
                reply = await self._commands.run(scripts.LOAD, self._load_keys, (self._token,), again=True)
            except (Unavailable, RedisError) as error:
                _check_fence(error)
                self._outage.failed(self._loop.time(), error)
                await asyncio.sleep(RETRY)
                continue
            self._number = int(reply[0])
            now = self._loop.time()
            leases = {reply[at]: now + int(reply[at + 3]) / 1000 for at in range(1, len(reply), 4)}
            return [(taken, leases[taken.job.id.encode()]) for taken in self._decoded(reply, 1, 4)]

    def _decoded(self, reply: Sequence[Any], first: int, step: int) -> list[Taken]:
        taken = []
        for at in range(first, len(reply), step):
            try:
                job = decode_job(reply[at + 1])
            except msgspec.MsgspecError as error:
                logger.error("action=job_unreadable lane=%r job=%r error=%s", self._lane, reply[at], error)
                continue
            failures, redriven = read_tries(reply[at + 2])
            taken.append(Taken(job, failures, redriven))
        return taken

    def _tell_the_rest(self) -> None:
        """Nobody waits for it; a newer owner refuses it."""
        self._core.lost()
        self._core.limit = 0
        turn = self._core.turn(self._loop.time())
        if turn is not None:
            self._send(turn).add_done_callback(lambda told: told.cancelled() or told.exception())

    def _log_dead(self, dead: Sequence[Result]) -> None:
        """The last of those that died since the line before, once in a while."""
        self._died += len(dead)
        now = self._loop.time()
        if dead and now >= self._log_again:
            last = dead[-1].taken
            line = "action=job_dead queue=%r count=%d last=%s function=%r code=%r attempts=%d"
            trace = (last.job.traceparent, last.job.baggage)
            who = function_of(self._queue, last.job), errors.code(dead[-1].error)
            said = self._queue.name, self._died, last.job.id, *who, last.failures
            logger.warning(line, *said, extra={"trace": trace})
            self._died, self._log_again = 0, now + LOG_INTERVAL

    # Taking over

    async def _take_over(self) -> None:
        active = await self._load()
        self._core.inherited(active)
        if active:
            logger.info("action=lane_inherited lane=%r in_flight=%d", self._lane, len(active))
            self._tasks.append(self._loop.create_task(self._adopt()))

    async def _adopt(self) -> None:
        """Find out what became of the deliveries of earlier owners."""
        while unclear := self._core.unclear:
            asked = {delivery_name(self._lane, taken.job.id, taken.attempt): taken for taken in unclear}
            try:
                said = await self._engine.adopt(asked, partial(self._told, asked))
            except Exception:
                logger.exception("action=adoption_failed lane=%r", self._lane)
                said = Adopted({}, {}, complete=False, gateways=())
            serving = [asked[name].job.id for name in said.serving if name in asked]
            for id in serving:
                if self._core.held(id) is not None:
                    self._deliveries[id] = _Inherited(partial(self._ended, id), self._queue.timeout)
            ended = {asked[name].job.id: error for name, error in said.ended.items() if name in asked}
            self._core.adopted(serving, ended, said.complete, self._loop.time())
            self._wakeup.set()
            if self._core.unclear:
                await asyncio.sleep(ADOPTION)

    def _told(self, asked: Mapping[str, Taken], name: str, error: bytes) -> None:
        """An earlier owner's delivery has ended; perhaps too late, and the job has gone on since."""
        taken = asked[name]
        held = self._core.held(taken.job.id)
        if held is not None and held.attempt == taken.attempt:
            delivery = self._deliveries.get(taken.job.id)
            if delivery is not None:
                delivery.forget()
            self._ended(taken.job.id, error)


def _check_fence(error: Exception) -> None:
    if str(error).startswith("FENCED"):
        raise Fenced from None


def _tries(taken: Taken) -> str:
    return f"{taken.failures}/{taken.redriven}"


def read_tries(stored: bytes | None) -> tuple[int, int]:
    """How often a job failed and how often it was redriven."""
    if not stored:
        return 0, 0
    failures, _, redriven = stored.partition(b"/")
    return int(failures), int(redriven or 0)
