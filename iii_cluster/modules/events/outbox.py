"""Names of outboxes. One outbox holds the events of many keys; all those of one key are in the same."""

from zlib import crc32

OUTBOXES = 256  # of one kind: the most shards that can share the work
FULL = 100_000  # events that wait in one outbox before further ones are dropped; the same in append.lua


def lane_of(parts: tuple[str, ...]) -> int:
    """Events of one lane are dispatched in order. Two keys that happen to share one do no harm."""
    return crc32("\0".join(parts).encode())


def outbox_of(kind: str, lane: int) -> str:
    """ "<kind>:<number>": what belongs to a shard, and what `nudge` names."""
    return f"{kind}:{lane % OUTBOXES}"


def outboxes(kind: str) -> list[str]:
    return [f"{kind}:{number}" for number in range(OUTBOXES)]


def stream_of(prefix: str, outbox: str) -> str:
    """The Redis stream of an outbox. Entries have the fields k (lane), t (trigger ids), e (event) and, if there
    is a trace, c (its context)."""
    return f"{prefix}:events:{outbox}"


def fences_of(prefix: str) -> str:
    """A hash: outbox -> highest token of its owners so far."""
    return f"{prefix}:events-fences"
