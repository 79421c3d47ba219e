"""What a module says of its events."""

from collections.abc import Callable

from msgspec import Struct

from iii_cluster.bus.envelopes import Trigger

Parts = tuple[str, ...]  # what an event is about: scope and key, or stream, group and item
Pattern = tuple[str | None, ...]  # what a trigger asks for, None: anything


class Kind(Struct, frozen=True):
    """One kind of events. `name` is the trigger type and, in `nudge`, the first part of the names of its outboxes."""

    name: str
    pattern: Callable[[Trigger], Pattern | None]  # None: it asks for nothing that can be
    parts: Callable[[bytes], Parts]  # of an event, JSON
