"""The interface of stream adapters.

class MyAdapter(StreamAdapter):
    class Config(Struct, forbid_unknown_fields=True): ...

Values are compact JSON as bytes and are never decoded. Names are any text, NUL included: an adapter that cannot keep
one raises EngineError. Errors of the store are raised as OSError, Unavailable or any other exception: the module puts
them into the code of the function that was called, with their text.

Every change is told to clients and triggers. An adapter tells as soon as it has stored, in the order of the writes of
an item, by `publisher.publish(notice, created(value))` and its like.
"""

from collections.abc import AsyncIterator, Mapping, Sequence
from typing import Any, ClassVar, NamedTuple

from iii_cluster.modules.engine import Engine
from iii_cluster.protocol.errors import EngineError

from .publisher import Notice, Publisher


class Snapshot(NamedTuple):
    """`data`: a value, b"null" for none; or an array of values."""

    timestamp: int  # ms: messages of the group with earlier ones are contained in it, later ones may be
    data: bytes


class StreamAdapter:
    """Base of the adapters, made in every gateway and shard; only in gateways started and asked."""

    Config: ClassVar[Any]  # a msgspec Struct

    def __init__(self, config: Any, engine: Engine) -> None: ...

    @property
    def server(self) -> str:
        """URL of the Redis server that carries the messages, "" for the cluster's: data and messages in one script need
        that."""
        return ""

    async def start(self, publisher: Publisher) -> None:
        """Begin; raises what makes that impossible."""

    async def stop(self) -> None: ...

    async def get(self, stream: str, group: str, item: str) -> bytes | None:
        raise NotImplementedError

    async def set(self, stream: str, group: str, item: str, value: bytes, notice: Notice) -> bytes | None:
        """Store; returns what was there. Told as created or updated."""
        raise NotImplementedError

    async def delete(self, stream: str, group: str, item: str, notice: Notice) -> bytes | None:
        """Remove; returns what was there. Told as deleted, if anything was."""
        raise NotImplementedError

    async def swap(
        self,
        stream: str,
        group: str,
        item: str,
        expected: bytes | None,
        steps: Sequence[bytes],
        notice: Notice,
    ) -> tuple[bool, bytes | None]:
        """If `expected` (None: nothing) is what is there, store the last of `steps`, one or more values, each told of
        as created or updated.

        Returns (True, None), or (False, what is there) when it is something else; then nothing was done.
        """
        raise NotImplementedError

    def values(self, stream: str, group: str) -> AsyncIterator[Sequence[bytes]]:
        """All values of a group, a bounded lot at a time; empty for unknown groups."""
        raise NotImplementedError

    async def snapshot(self, stream: str, group: str, item: str | None, after: int) -> Snapshot:
        """An item, or a whole group, with a timestamp later than `after`."""
        raise NotImplementedError

    async def groups(self, stream: str) -> Sequence[str]:
        """Groups of a stream that hold anything, in any order."""
        raise NotImplementedError

    async def streams(self) -> Mapping[str, Sequence[str]]:
        """All streams that hold anything, and their groups, in any order."""
        raise NotImplementedError


def array(values: Sequence[bytes]) -> bytes:
    return b"[" + b",".join(values) + b"]"


def too_large(limit: int) -> EngineError:
    """Of the items of a group, together."""
    return EngineError("STREAM_GET_GROUP_ERROR", f"the items have more than {limit} bytes together")
