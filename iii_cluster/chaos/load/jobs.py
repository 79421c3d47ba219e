"""Numbered jobs: how they are asked for, what their handlers make of them, and how long to wait for the last ones."""

import asyncio
from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Any

from iii_cluster.chaos.effects import Attempt, DeadLetter, Job, Queue
from iii_cluster.chaos.history import OK
from iii_cluster.chaos.limits import EFFECT

from .client import Client
from .crew import Crew
from .pending import Frame

FAILING = 0.1  # of the jobs fail at first,
MOST_FAILURES = 2  # so often
DOOMED = 0.02  # of the jobs fail whenever they are tried
LONGEST_WORK = 0.1  # s
LONG = 0.02  # of the jobs take longer than a lease: whoever owns their queue may change meanwhile
LONG_WORK = (1.2, 2.0)  # leases
LOOK_INTERVAL = 0.5  # s between two looks at the dead letters
PAGE = 100  # dead letters asked for at once
FAILURE = {"code": "chaos_failure", "message": "this attempt was to fail"}


class Jobs:
    """Of some queues or topics, which are those of one workload; `kind` is that of the calls."""

    def __init__(self, crew: Crew, kind: str, queues: Sequence[Queue]) -> None:
        self._recorder = crew.recorder
        self._rng = crew.rng(f"{kind} jobs")
        self._kind = kind
        self._queues = queues
        self._jobs: list[Job] = []
        self._tried: Counter[tuple[int, str]] = Counter()
        self._done: set[tuple[int, str]] = set()
        self._dead: dict[str, list[DeadLetter]] = {}  # by queue
        self._looking = False

    # Asking

    async def ask(
        self, client: Client, queue: str, function: str, *, group: str = "", action: Frame | None = None
    ) -> asyncio.Future[Any] | None:
        """Enqueue a job (`action`) or publish it; None while there is no connection."""
        rng = self._rng
        doomed, fails = rng.random() < DOOMED, rng.random() < FAILING
        job = Job(
            n=self._recorder.number(),
            call=0,
            at=self._recorder.now(),
            queue=queue,
            group=group,
            fails=rng.randint(1, MOST_FAILURES) if fails else 0,
            doomed=doomed,
            wait=round(self._work_time(), 3),
        )
        data: dict[str, Any] = {"job": job.n, "wait": job.wait, "fails": job.fails, "doomed": doomed}
        if group:
            data["group"] = group
        made = await client.invoke(self._kind, function, data if action else {"topic": queue, "data": data}, action)
        if made is None:
            return None
        job.call = made[0].n
        self._jobs.append(job)
        self._recorder.history.jobs.append(job)
        return made[1]

    def _work_time(self) -> float:
        if self._rng.random() < LONG:
            return self._recorder.history.lease_ttl * self._rng.uniform(*LONG_WORK)
        return self._rng.uniform(0.0, LONGEST_WORK)

    # Doing

    def serve(self, client: Client, frame: Frame) -> None:
        """A handler: it takes a moment, and fails as often as the job says."""
        assert client.connection is not None
        data, function = frame["data"], frame["function_id"]
        attempt = Attempt(
            job=data["job"], function=function, connection=client.connection.id, began=self._recorder.now()
        )
        self._recorder.history.attempts.append(attempt)
        self._tried[attempt.job, function] += 1
        fails = data["doomed"] or self._tried[attempt.job, function] <= data["fails"]
        client.spawn(self._work(client, frame, attempt, fails))

    async def _work(self, client: Client, frame: Frame, attempt: Attempt, fails: bool) -> None:
        await asyncio.sleep(frame["data"]["wait"])
        attempt.ended = self._recorder.now()
        attempt.ok = not fails
        if attempt.ok:
            self._done.add((attempt.job, attempt.function))
        await client.answer(frame, None, FAILURE if fails else None)

    # Waiting

    @property
    def open(self) -> int:
        """Jobs that were acknowledged and are neither done nor dead, as far as is known."""
        return sum(1 for _ in self._open())

    async def rest(self, client: Client) -> None:
        """`client` reads the dead letters."""
        self._looking = True
        deadline = self._recorder.now() + EFFECT
        while True:
            complete = [await self._look(client, queue.name) for queue in self._queues]
            if (all(complete) and not self.open) or self._recorder.now() > deadline:
                break
            await asyncio.sleep(LOOK_INTERVAL)
        self._looking = False
        self._recorder.history.dead_letters += [letter for found in self._dead.values() for letter in found]

    @property
    def awaited(self) -> str:
        if not self._looking:
            return ""
        first = next(self._open(), None)
        return f"{self.open} jobs to be done, such as {first.n} of {first.queue}" if first else "the dead letters"

    def _open(self) -> Iterator[Job]:
        loss = self._recorder.history.last_loss
        calls = self._recorder.history.calls
        functions = {queue.name: queue.functions for queue in self._queues}
        letters = Counter(letter.job for found in self._dead.values() for letter in found)
        for job in self._jobs:
            if job.at > loss and calls[job.call - 1].outcome == OK:
                undone = sum((job.n, function) not in self._done for function in functions[job.queue])
                if undone > letters[job.n]:
                    yield job

    async def _look(self, client: Client, queue: str) -> bool:
        """Read the dead letters of a queue; False when that failed."""
        found: list[DeadLetter] = []
        while True:
            rows = await client.ask("engine::queue::dlq_messages", topic=queue, offset=len(found), limit=PAGE)
            if rows is None:
                return False
            found += [self._letter(queue, row) for row in rows]
            if len(rows) < PAGE:
                self._dead[queue] = found
                return True

    def _letter(self, queue: str, row: Frame) -> DeadLetter:
        return DeadLetter(
            job=row["payload"]["job"],
            queue=queue,
            at=self._recorder.at(row["failed_at"]),
            error=str(row["error"]),
            attempts=row["retries"],
        )
