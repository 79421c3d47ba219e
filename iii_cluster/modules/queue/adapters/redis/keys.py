"""Names in Redis of lanes and topics; the package says what they hold."""

from iii_cluster.modules.queue.names import quoted


class LaneKeys:
    """Keys of one lane."""

    __slots__ = (
        "active",
        "dead",
        "delayed",
        "done",
        "due",
        "errors",
        "group",
        "groups",
        "jobs",
        "token",
        "tries",
        "waiting",
    )

    def __init__(self, prefix: str, lane: str) -> None:
        base = f"{lanes_prefix(prefix)}{lane}:"
        self.token = f"{base}token"
        self.jobs = f"{base}jobs"
        self.tries = f"{base}tries"
        self.waiting = f"{base}waiting"
        self.delayed = f"{base}delayed"
        self.active = f"{base}active"
        self.groups = f"{base}groups"
        self.group = f"{base}group:"  # prefix
        self.due = f"{base}due"
        self.dead = f"{base}dead"
        self.errors = f"{base}errors"
        self.done = f"{base}done"


def lanes_prefix(prefix: str) -> str:
    return f"{prefix}:queue:"


def lanes(prefix: str) -> str:
    return f"{prefix}:queues:lanes"


def topics(prefix: str) -> str:
    return f"{prefix}:queues:topics"


def attended(prefix: str) -> str:
    return f"{prefix}:queues:attended"


def subscribers(prefix: str, topic: str) -> str:
    return f"{prefix}:queues:subscribers:{quoted(topic)}"
