"""Names that cannot be mistaken for each other, whatever people call their queues, topics and functions."""

import re

from .adapter import Group

NUDGE_KIND = "queue"  # of the keys of lanes

_SPECIAL = re.compile(r"[%#@\x00-\x20\x7f]")


def quoted(name: str) -> str:
    """The name without `#`, `@` and control characters, which have a meaning here."""
    return _SPECIAL.sub(lambda found: f"%{ord(found[0]):02X}", name)


def named_queue(name: str, *, fifo: bool = False) -> str:
    """Id of a named queue. What is kept for a fifo queue looks different, so it has another id."""
    return f"{'fifo' if fifo else 'fn'}:{quoted(name)}"


def group_queue(group: Group) -> str:
    """Id of the queue of a topic's group."""
    if not group.function:
        return f"topic:{quoted(group.topic)}"
    return f"sub:{quoted(group.topic)}@{quoted(group.namespace)}@{quoted(group.function)}"


def lane_key(lane: str) -> str:
    """What decides who owns a lane, and what its owner is nudged with."""
    return f"{NUDGE_KIND}:{lane}"


def delivery_name(lane: str, job_id: str, attempt: str) -> str:
    """Of one attempt at one job."""
    return f"{NUDGE_KIND}:{lane}:{job_id}:{attempt}"
