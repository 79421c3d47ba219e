"""Slots: how registry keys are spread over shards."""

from zlib import crc32

SLOTS = 1024


def slot_of(key: str) -> int:
    """The slot of a function id, trigger type id, trigger id or service id.

    Namespaces do not take part: all owners of one id share a slot, so that one shard can say where else
    an id exists.
    """
    return crc32(key.encode()) % SLOTS
