"""Names that cannot be mistaken for each other, whatever people call their queues, topics and functions."""

import re

from .adapter import Group

NUDGE_KIND = "queue"  # of the keys of lanes

_SPECIAL = re.compile(r"[%#@\x00-\x20\x7f]")
_QUOTED = re.compile("%([0-9A-F]{2})")


def quoted(name: str) -> str:
    """The name without `#`, `@` and control characters, which have a meaning here."""
    return _SPECIAL.sub(lambda found: f"%{ord(found[0]):02X}", name)


def _unquoted(name: str) -> str:
    return _QUOTED.sub(lambda found: chr(int(found[1], 16)), name)


def named_queue(name: str, *, fifo: bool = False) -> str:
    """Id of a named queue. What is kept for a fifo queue looks different, so it has another id."""
    return f"{'fifo' if fifo else 'fn'}:{quoted(name)}"


def group_queue(group: Group) -> str:
    """Id of the queue of a topic's group."""
    if not group.function:
        return f"topic:{quoted(group.topic)}"
    return f"sub:{quoted(group.topic)}@{quoted(group.namespace)}@{quoted(group.function)}"


def group_of(id: str) -> Group:
    """The group that `group_queue` was given; of other queues of a topic, one with that topic."""
    topic, namespace, function = [_unquoted(part) for part in (id.partition(":")[2] + "@@").split("@")][:3]
    return Group(topic, function, namespace)


def lane_key(lane: str) -> str:
    """What decides who owns a lane, and what its owner is nudged with."""
    return f"{NUDGE_KIND}:{lane}"


def delivery_name(lane: str, job_id: str, attempt: str) -> str:
    """Of one attempt at one job. `attempt` is its number, after "<times it was redriven>." if it was."""
    return f"{NUDGE_KIND}:{lane}:{job_id}:{attempt}"


def attempt_of(delivery: str) -> str:
    """The number of the attempt that a delivery is."""
    return delivery.rpartition(":")[2].rpartition(".")[2]
