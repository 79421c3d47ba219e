"""What a queue adapter is asked to do: it keeps the jobs, hands them out on the shard that owns the queue, and takes
back how they ended. What a delivery consists of (condition, call, time limit) it is given as `Deliver`."""

from collections.abc import Callable, Collection, Sequence
from typing import Any, ClassVar, Protocol

from msgspec import Struct

from iii_cluster.modules.engine import Engine


class Group(Struct, frozen=True):
    """Who consumes a topic together: every group gets each message once.

    One group per function of `durable:subscriber` triggers; all triggers of type `queue` share the one without a
    function.
    """

    topic: str
    function: str = ""
    namespace: str = ""


class Queue(Struct, frozen=True, kw_only=True):
    """One queue and how it is to be consumed. Times are ms unless said otherwise."""

    id: str  # unique among named queues and groups of topics; see names.py
    name: str  # for people: of the queue, or of the topic
    group: Group | None = None  # of a topic; None: a named queue
    fifo: bool = False
    concurrency: int = 10  # handlers at once in the whole cluster; 0: none, jobs wait
    max_retries: int | None = None  # as configured, which adapters count differently; None: not said
    backoff_ms: int = 1000
    poll_interval_ms: int = 100
    timeout: float = 300.0  # seconds a handler may take
    partitions: int = 1  # lanes, each consumed by a shard of its own
    max_priority: int | None = None
    priority_field: str | None = None  # of the data: an integer


class Job(Struct, frozen=True, array_like=True):
    """One message. `data` is JSON; `traceparent` and `baggage` are JSON strings, quotes included, or empty."""

    id: str  # the receipt its sender has
    data: bytes
    created_at: int  # ms since 1970
    function: str = ""  # of a named queue's job; a topic's are for whoever has subscribed
    namespace: str = "default"  # of `function`
    group: str = ""  # message group of a fifo queue
    traceparent: bytes = b""
    baggage: bytes = b""


def function_of(queue: Queue, job: Job) -> str:
    """Whom the job is for; "" for the triggers of a topic."""
    return job.function or (queue.group.function if queue.group else "")


class Dead(Struct, frozen=True):
    """A job that was given up. `error` is the error body of the last attempt, JSON."""

    job: Job
    error: bytes
    failed_at: int  # ms since 1970
    attempts: int


class Stats(Struct, frozen=True):
    """Counts of jobs."""

    depth: int = 0  # waiting or in flight
    delayed: int = 0  # not due yet, the retried ones too
    dead: int = 0
    oldest: int = 0  # when the job that waits longest was made, ms since 1970; 0: none waits, or nobody knows


Ended = Callable[[bytes], None]  # the error body, JSON; b"" for success


class Delivery(Protocol):
    """A job on its way through its handler."""

    def forget(self) -> None:
        """Nobody waits for its end here any more: `ended` will not be called. The handler is not disturbed."""


class Deliver(Protocol):
    def __call__(self, job: Job, name: str, ended: Ended) -> Delivery:
        """Call whoever is to handle the job. `ended` is called once, unless forgotten, and within the time limit of
        the queue; never before this returns. A condition that says no counts as success.

        `name` is the same for a repetition of the same attempt (see `names.delivery_name`), and for nothing else: a
        handler that serves it already, or has answered, is not called again.
        """


class Consumer(Protocol):
    """Takes jobs out of one lane of a queue while this shard owns it."""

    def wake(self) -> None:
        """There may be new jobs."""

    def configure(self, queue: Queue) -> None:
        """Go on with other settings."""

    async def stop(self) -> None:
        """This shard does not own the lane any more, or is about to stop: forget the deliveries under way and touch
        the lane no more. Its next owner finds the jobs as they are."""


Of = Queue | str  # a named queue, or a topic with all its groups


class Adapter(Protocol):
    """Made in every process; gateways put jobs in, shards consume.

    Every method may raise EngineError, or Unavailable when the broker cannot be reached in time.
    """

    Config: ClassVar[Any]
    broker_type: ClassVar[str]  # as listed

    def __init__(self, config: Any, engine: Engine) -> None: ...

    async def start(self) -> None: ...

    async def stop(self) -> None:
        """After the last consumer was stopped."""

    # Putting in

    async def enqueue(self, queue: Queue, job: Job, delay_ms: int = 0) -> None:
        """The job is durable when this returns. The same id a second time changes nothing."""

    async def publish(self, topic: str, job: Job, live: Collection[Group], delay_ms: int = 0) -> None:
        """To every group of the topic; kept for the first group to come while there is none.

        `live` are those that have triggers: they get it even if the broker has lost its memory of them.
        """

    async def subscribe(self, group: Group) -> None:
        """From now on the group gets what is published. It is repeated for as long as the group has triggers."""

    async def unsubscribe(self, group: Group) -> None:
        """The group gets no new messages. What it has stays, should it subscribe again."""

    # Consuming, on shards

    def lanes(self, queue: Queue) -> Sequence[str]:
        """The lanes of a queue, by id: the shard that owns `names.lane_key(lane)` consumes the lane."""

    def consume(self, queue: Queue, lane: str, token: int, deliver: Deliver) -> Consumer:
        """Begin; `token` is the fencing token of this shard's ownership."""

    # Retention, on shards

    async def abandoned(self, retention_ms: int) -> Collection[str]:
        """Lanes of groups that nobody subscribed for that long; and whatever lanes hold messages for the first group
        to come, if some have waited that long."""

    async def expire(self, lane: str, token: int, retention_ms: int) -> int | None:
        """If that is still so, the group gets no more messages and what it has is deleted: returns how many jobs. None
        if it stays. Of messages that wait for a group only those go that are so old."""

    # Management

    async def topics(self) -> Collection[str]:
        """Topics that have groups or messages."""

    async def stats(self, of: Of) -> Stats: ...

    async def dead(self, of: Of, offset: int, limit: int) -> Sequence[Dead]:
        """Newest first; they stay where they are."""

    async def redrive(self, of: Of) -> int:
        """All dead jobs begin anew, the oldest first; returns how many."""

    async def redrive_message(self, of: Of, id: str) -> int:
        """1, or 0 when there is no such dead job."""

    async def discard_message(self, of: Of, id: str) -> int:
        """Delete one dead job; returns as `redrive_message`."""

    async def purge(self, of: Of) -> int:
        """Delete all jobs that are not in flight and not dead; returns how many."""
