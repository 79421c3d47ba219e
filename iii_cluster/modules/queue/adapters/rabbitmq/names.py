"""Names of exchanges and queues. Pure.

They are the reference engine's as long as these can be had: the client library accepts letters, digits, spaces and
-_.:@#,/+ and at most 127 bytes for an exchange, 255 for a queue. Anything else is written as #XX, the bytes of its
UTF-8; so are characters that would make two names one.
"""

import re
from hashlib import blake2b
from typing import NamedTuple

from iii_cluster.modules.queue.adapter import Group, Queue

# Bytes of the part that people choose, such that all names stay below their limits.
MAX_IN_EXCHANGE = 100
MAX_IN_QUEUE = 200
KEPT = 60  # bytes of a longer one that people may recognise it by
DIGEST = 16  # bytes

_FOREIGN = re.compile(r"[^a-zA-Z0-9\-_.:,/+ ]")
_DERIVED = re.compile(r"::(?=retry|dlq|delay)")  # what this adapter appends to the name of a queue


class Names(NamedTuple):
    """What belongs to one queue. An exchange "" is the default one, where the key is the name of a queue."""

    exchange: str  # jobs go in here,
    key: str  # with this routing key
    queue: str
    retry_exchange: str
    retry_key: str
    retry_queue: str
    dead_exchange: str
    dead_key: str
    dead_queue: str
    delay: str  # first part of the queues of delayed jobs

    def delay_queue(self, ms: int) -> str:
        return f"{self.delay}.{ms}"


def names_of(queue: Queue) -> Names:
    return names_of_group(queue.group) if queue.group is not None else names_of_named(queue.name)


def names_of_named(name: str) -> Names:
    key = _short(_DERIVED.sub("#3A#3A", _escaped(name)), MAX_IN_EXCHANGE)
    base = f"iii.__fn_queue::{key}"
    retry, dead = f"{base}::retry", f"{base}::dlq"
    return Names(base, key, f"{base}.queue", retry, key, f"{retry}.queue", dead, key, f"{dead}.queue", f"{base}::delay")


def names_of_group(group: Group) -> Names:
    part = _topic(group.topic)
    if group.function:  # without dots: where the topic ends must be seen
        part = f"{part}.{_escaped(group.function).replace('.', '#2E')}@{_escaped(group.namespace)}"
    base = f"iii.{_short(part, MAX_IN_QUEUE)}"
    queue, retry, dead = f"{base}.queue", f"{base}.retry", f"{base}.dlq"
    return Names("", queue, queue, "", retry, retry, "", dead, dead, f"{base}.delay")


def topic_exchange(topic: str) -> str:
    """Every group of the topic is bound to it."""
    return f"iii.{_short(_topic(topic), MAX_IN_EXCHANGE)}.exchange"


def backlog(topic: str) -> Names:
    """Where messages wait for the first group of their topic."""
    base = f"iii.{_short(_topic(topic), MAX_IN_QUEUE)}"
    queue = f"{base}.backlog"
    return Names("", queue, queue, "", queue, queue, "", queue, queue, f"{queue}.delay")


def _topic(topic: str) -> str:
    """A topic's queues must not look like a named queue's."""
    escaped = _escaped(topic)
    return "#5F" + escaped[1:] if escaped.startswith("__fn_queue::") else escaped


def _escaped(name: str) -> str:
    return _FOREIGN.sub(lambda found: "".join(f"#{byte:02X}" for byte in found[0].encode()), name)


def _short(part: str, most: int) -> str:
    """The mark #- stands in no escaped name."""
    if len(part) <= most:
        return part
    return f"{part[:KEPT]}#-{blake2b(part.encode(), digest_size=DIGEST).hexdigest()}"
