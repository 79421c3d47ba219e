"""The interface of state adapters.

class MyAdapter(StateAdapter):
    class Config(Struct, forbid_unknown_fields=True): ...

Values are compact JSON as bytes and are never decoded. Scopes and keys are any text, NUL included: an adapter that
cannot keep one raises EngineError. Errors of the store are raised as OSError, Unavailable or any other exception: the
module puts them into the code of the function that was called, with their text.

An adapter whose data is not in Redis appends events by `events.append`, see `swap`.
"""

from collections.abc import AsyncIterator, Sequence
from typing import Any, ClassVar, NamedTuple

from iii_cluster.modules.engine import Engine
from iii_cluster.modules.events.writer import EventWriter, Target
from iii_cluster.redis.commands import Commands

from .event import EventText


class Notice(NamedTuple):
    """What a write tells of itself. None instead of it: nobody wants to know."""

    target: Target
    text: EventText  # makes the event: text.written(old, new), text.deleted(old)


class StateAdapter:
    """Base of the adapters, made in every gateway and shard; only in gateways started and asked."""

    Config: ClassVar[Any]  # a msgspec Struct

    def __init__(self, config: Any, engine: Engine) -> None: ...

    @property
    def outbox(self) -> Commands | None:
        """The server that events are kept on if it is not the cluster's: writes and events in one script need that."""
        return None

    async def start(self, events: EventWriter) -> None:
        """Begin; raises what makes that impossible."""

    async def stop(self) -> None: ...

    async def get(self, scope: str, key: str) -> bytes | None:
        raise NotImplementedError

    async def set(self, scope: str, key: str, value: bytes, notice: Notice | None) -> bytes | None:
        """Store; returns what was there. Event: created or updated."""
        raise NotImplementedError

    async def delete(self, scope: str, key: str, notice: Notice | None) -> bytes | None:
        """Remove; returns what was there. Event: deleted, also when nothing was."""
        raise NotImplementedError

    async def swap(
        self, scope: str, key: str, expected: bytes | None, steps: Sequence[bytes], notice: Notice | None
    ) -> tuple[bool, bytes | None]:
        """If `expected` (None: nothing) is what is there, go through `steps`, one or more values: the last one is
        stored, and for each there is an event, created or updated, with its predecessor as the old value.

        Returns (True, None), or (False, what is there) when it is something else; then nothing was done.
        """
        raise NotImplementedError

    def pages(self, scope: str) -> AsyncIterator[Sequence[tuple[str, bytes]]]:
        """All keys and values of a scope, a bounded lot at a time; empty for unknown scopes. What is written meanwhile
        may be missing, nothing comes twice."""
        raise NotImplementedError

    async def groups(self) -> list[str]:
        """All scopes that hold anything, in any order."""
        raise NotImplementedError
