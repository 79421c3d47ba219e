"""Histories of chaos runs made by hand, with jobs, ticks, numbers, streams and messages in them."""

from typing import Any

from iii_cluster.chaos.effects import (
    Attempt,
    Change,
    Count,
    CronJob,
    DeadLetter,
    Handled,
    Heard,
    Job,
    Noticed,
    Publication,
    Queue,
    Request,
    Routed,
    Shown,
    Tick,
    Total,
    Transfer,
    View,
    Viewing,
    Visit,
)
from iii_cluster.chaos.history import OK, Call, Connection

from .chaos import Story

UNKNOWN = "TIMEOUT"


class Effects(Story):
    """With a standard queue "mail", a fifo queue "steps" and a topic "news" of two functions."""

    def __init__(self) -> None:
        super().__init__()
        self.history.queues += [
            Queue(name="mail", at=1.0, functions=["f"], concurrency=2, attempts=3),
            Queue(name="steps", at=1.0, functions=["f"], concurrency=3, attempts=3, fifo=True),
            Queue(name="news", at=1.0, functions=["f", "g"], concurrency=2, attempts=3),
        ]
        self._viewings: dict[tuple[str, str, float], Viewing] = {}

    def _asked(self, kind: str, at: float, outcome: str, took: float = 0.1) -> Call:
        """One that failed is explained by its caller's gateway, which was hit."""
        return self.call(at, at + took, outcome, kind, kind=kind, answer=None, orphaned=outcome != OK)

    def forget(self, at: float) -> None:
        self.fault("redis-flush", at, at, "redis", forgot=True)

    # Jobs

    def job(self, at: float, queue: str = "mail", outcome: str = OK, **fields: Any) -> Job:
        call = self._asked("queue", at, outcome)
        made = Job(n=len(self.history.jobs) + 1, call=call.n, at=at, queue=queue, **fields)
        self.history.jobs.append(made)
        return made

    def attempt(
        self,
        job: Job,
        began: float,
        ended: float,
        *,
        ok: bool = True,
        function: str = "f",
        by: Connection | None = None,
    ) -> Attempt:
        connection = (by or self.first).id
        made = Attempt(job=job.n, function=function, connection=connection, began=began, ended=ended, ok=ok)
        self.history.attempts.append(made)
        return made

    def bury(self, job: Job, at: float, error: str = "handler failed", attempts: int = 3) -> None:
        letter = DeadLetter(job=job.n, queue=job.queue, at=at, error=error, attempts=attempts)
        self.history.dead_letters.append(letter)

    # Cron

    def cron(self, at: float, until: float) -> None:
        self.history.cron_jobs.append(CronJob(function="f", at=at, until=until))

    def tick(self, scheduled: float, at: float = 0.0, took: float = 0.1, by: Connection | None = None) -> None:
        connection, began = (by or self.first).id, at or scheduled + 0.01
        tick = Tick(function="f", connection=connection, at=began, scheduled=scheduled, ended=began + took)
        self.history.ticks.append(tick)

    # Numbers

    def count(
        self, at: float, value: int | None = None, *, read: bool = False, outcome: str = OK, took: float = 0.1
    ) -> None:
        call = self._asked("state", at, outcome, took)
        self.history.counts.append(Count(call=call.n, at=at, key="k", read=read, value=value))

    def total(self, value: int | None) -> None:
        self.history.totals.append(Total(key="k", gateway="gateway-1", at=59.0, value=value))

    def notice(self, at: float, value: int, by: Connection | None = None) -> None:
        self.history.noticed.append(Noticed(key="k", connection=(by or self.first).id, at=at, value=value))

    # Streams

    def change(self, at: float, v: int, outcome: str = OK, **fields: Any) -> None:
        call = self._asked("stream", at, outcome)
        self.history.changes.append(Change(call=call.n, at=at, item="i", v=v, **fields))

    def show(
        self,
        at: float,
        v: int | None,
        event: str = "update",
        *,
        timestamp: int = 0,
        gateway: str = "gateway-1",
        opened: float = 1.0,
    ) -> None:
        """On a connection that began at `opened`."""
        key = ("viewer", gateway, opened)
        if key not in self._viewings:
            number = 1000 + len(self._viewings)
            self._viewings[key] = Viewing(id=number, viewer="viewer", gateway=gateway, opened=opened)
            self.history.viewings.append(self._viewings[key])
        shown = Shown(
            viewing=self._viewings[key].id,
            at=at,
            item="i",
            event=event,
            timestamp=timestamp or round(at * 1000),
            v=v,
        )
        self.history.shown.append(shown)

    def view(self, has: dict[str, int], stored: dict[str, int]) -> None:
        self.history.views.append(View(viewer="viewer", at=59.0, items=has, stored=stored))

    # Messages

    def publish(self, n: int, at: float) -> None:
        call = self._asked("pubsub", at, OK)
        self.history.publications.append(Publication(n=n, call=call.n, at=at))

    def hear(self, n: int, at: float, by: Connection | None = None) -> None:
        self.history.heard.append(Heard(n=n, connection=(by or self.first).id, at=at))

    # HTTP

    def ask(
        self, at: float, status: int = 200, *, gateway: str = "gateway-1", took: float = 0.1, **fields: Any
    ) -> Request:
        """A request for the replicated route of `f`; a good one unless `fields` say otherwise."""
        visit = Visit(id=2000 + len(self.history.visits), client="browser", gateway=gateway, opened=at)
        self.history.visits.append(visit)
        n = len(self.history.requests) + 1
        fields = {"kind": "replicated", "function": "f", "answer": n if status == 200 else None, **fields}
        made = Request(n=n, visit=visit.id, at=at, ended=at + took, status=status, **fields)
        self.history.requests.append(made)
        return made

    def handle(self, request: Request, by: Connection | None = None) -> None:
        self.history.handled.append(Handled(n=request.n, connection=(by or self.first).id, at=request.at))

    def route(self, status: int, gateway: str = "gateway-1") -> None:
        self.history.routed.append(Routed(gateway=gateway, function="f", at=59.0, status=status))

    # Channels

    def transfer(self, at: float, *places: str, **fields: Any) -> Transfer:
        """Home, writer's and reader's gateway; a whole one of ten messages unless `fields` say otherwise."""
        home, writer, reader = places or ("gateway-1", "gateway-1", "gateway-2")
        call = self._asked("channel", at, OK)
        whole = {"total": 10, "sent": 10, "received": 10, "finished": True, "write_code": 1000, "read_code": 1000}
        made = Transfer(
            n=len(self.history.transfers) + 1,
            call=call.n,
            at=at,
            home=home,
            writer=writer,
            reader=reader,
            **{"ended": at + 1.0, **whole, **fields},
        )
        self.history.transfers.append(made)
        return made
