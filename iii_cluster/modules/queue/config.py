"""`config:` of the queue module."""

from typing import Annotated, Any, Literal

from msgspec import Meta, Struct, field

from iii_cluster.modules.adapters import AdapterChoice
from iii_cluster.modules.imports import BadConfig, convert, together

from .adapter import Queue
from .names import named_queue

DEFAULT_QUEUE = "default"
MAX_NAME = 1024  # bytes of the name of a queue or topic
MAX_PARTITIONS = 64
MAX_CONCURRENCY = 100_000
MAX_HOURS = 100 * 365 * 24
MAX_MS = 365 * 24 * 3600 * 1000  # of one setting: a year

Positive = Annotated[int, Meta(ge=1)]
Milliseconds = Annotated[int, Meta(ge=0, le=MAX_MS)]


class QueueConfig(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One named queue. Times are ms."""

    type: Literal["standard", "fifo"] = "standard"
    max_retries: Annotated[int, Meta(ge=0)] = 3  # all attempts, the first one, too
    concurrency: Annotated[int, Meta(ge=1, le=MAX_CONCURRENCY)] = 10  # in the whole cluster
    message_group_field: str | None = None  # of the data; fifo only
    backoff_ms: Milliseconds = 1000  # doubles with every failure
    poll_interval_ms: Positive = 100  # not needed: consumers are told of new jobs
    max_priority: Annotated[int, Meta(ge=1, le=255)] | None = None  # RabbitMQ only
    priority_field: str | None = None  # RabbitMQ only
    partitions: Annotated[int, Meta(ge=1, le=MAX_PARTITIONS)] = 1  # shards that may serve it at once
    timeout_ms: Annotated[int, Meta(ge=1, le=MAX_MS)] | None = None  # of a handler; the setting handler_timeout
    delay_ms: Milliseconds = 0  # before the first attempt

    def __post_init__(self) -> None:
        if self.type == "fifo" and not self.message_group_field:
            raise ValueError("a fifo queue needs a message_group_field")
        if self.partitions > self.concurrency:
            raise ValueError("a queue has at most as many partitions as its concurrency")


class Config(Struct, frozen=True, forbid_unknown_fields=True):
    """`queue_configs` by name; see `all_queues`."""

    adapter: AdapterChoice | None = None
    group_retention_hours: Annotated[float, Meta(ge=0, le=MAX_HOURS)] = 168.0  # 0: for ever
    queue_configs: dict[str, Any] = field(default_factory=dict)


def all_queues(config: Config) -> dict[str, QueueConfig]:
    """The named queues, with the one that is always there. Raises BadConfig for all that are wrong, saying where."""
    queues, errors = {DEFAULT_QUEUE: QueueConfig()}, list[BadConfig]()
    for name, said in config.queue_configs.items():
        try:
            queues[name] = _queue(name, said)
        except BadConfig as error:
            errors.append(error)
    if errors:
        raise together(errors)
    return queues


def _queue(name: str, said: object) -> QueueConfig:
    place = ("queue_configs", name)
    if not name or len(name.encode()) > MAX_NAME:
        raise BadConfig(f"the name of a queue has 1 to {MAX_NAME} bytes", *place)
    if not isinstance(said, dict | None):
        raise BadConfig(f"`{'.'.join(place)}` must be a mapping", *place)
    queue: QueueConfig = convert(said or {}, QueueConfig, *place)
    return queue


def queue_of(name: str, config: QueueConfig, handler_timeout: float) -> Queue:
    """The queue as adapters see it."""
    fifo = config.type == "fifo"
    return Queue(
        id=named_queue(name, fifo=fifo),
        name=name,
        fifo=fifo,
        concurrency=config.concurrency,
        max_retries=config.max_retries,
        backoff_ms=config.backoff_ms,
        poll_interval_ms=config.poll_interval_ms,
        timeout=handler_timeout if config.timeout_ms is None else config.timeout_ms / 1000,
        partitions=config.partitions,
        max_priority=config.max_priority,
        priority_field=config.priority_field,
    )
