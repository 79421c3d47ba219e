"""What triggers say: which group of which topic they consume, and how. Pure."""

from collections.abc import Iterable
from typing import Any

import msgspec
from msgspec import Struct

from iii_cluster.bus.envelopes import Trigger

from .adapter import Group, Queue
from .config import MAX_CONCURRENCY, MAX_MS, MAX_NAME
from .names import group_queue

SHARED = "queue"  # trigger type: all triggers of a topic share its messages
DURABLE = "durable:subscriber"  # trigger type: every function gets each message

DEFAULT_CONCURRENCY = 10
DEFAULT_BACKOFF_MS = 1000
MAX_RETRIES = 2**31


class Subscription(Struct, frozen=True):
    """A trigger that was read."""

    trigger: Trigger
    group: Group
    queue: Queue
    configured: bool  # whether it says how


def read(trigger: Trigger, timeout: float) -> Subscription | None:
    """None when it names no topic; such triggers are let in and get nothing. `timeout` of handlers, seconds."""
    try:
        config = msgspec.json.decode(trigger.config)
    except msgspec.MsgspecError:
        return None
    if not isinstance(config, dict):
        return None
    topic = next((name for key in ("topic", "queue") if isinstance(name := config.get(key), str) and name), "")
    if not topic or len(topic.encode()) > MAX_NAME or not trigger.function:
        return None
    shared = trigger.type == SHARED
    group = Group(topic) if shared else Group(topic, trigger.function, trigger.namespace)
    how = config.get("queue_config")
    how = how if isinstance(how, dict) else {}
    return Subscription(trigger, group, _queue(group, how, timeout), bool(how))


def _queue(group: Group, how: dict[str, Any], timeout: float) -> Queue:
    fifo = how.get("type") == "fifo"
    concurrency = _number(how, "concurrency", MAX_CONCURRENCY, DEFAULT_CONCURRENCY)
    return Queue(
        id=group_queue(group),
        name=group.topic,
        group=group,
        fifo=fifo,
        concurrency=min(1, concurrency) if fifo else concurrency,
        max_retries=_number(how, "maxRetries", MAX_RETRIES, None),
        backoff_ms=_number(how, "backoffDelayMs", MAX_MS, DEFAULT_BACKOFF_MS),
        timeout=timeout,
        max_priority=_number(how, "maxPriority", 255, None),
    )


def _number(how: dict[str, Any], key: str, most: int, default: Any) -> Any:
    """What is no number from 0 to `most` counts as not said."""
    value = how.get(key)
    return value if isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= most else default


def by_group(subscriptions: Iterable[Subscription]) -> dict[str, tuple[Queue, list[Trigger]]]:
    """The queue of each group, by id, with its triggers. Who says how last is heard."""
    groups: dict[str, tuple[Queue, list[Trigger]]] = {}
    for subscription in subscriptions:
        queue = subscription.queue
        known = groups.get(queue.id)
        if known is None:
            groups[queue.id] = (queue, [subscription.trigger])
        else:
            known[1].append(subscription.trigger)
            if subscription.configured:
                groups[queue.id] = (queue, known[1])
    return groups
