"""Streams whose data a worker keeps. What it has changed is told of here, as it says what was there before."""

import msgspec
from msgspec import Raw

from iii_cluster.modules.module import Request
from iii_cluster.modules.updates.text import updated as applied
from iii_cluster.protocol.errors import EngineError
from iii_cluster.telemetry.tracing import NO_TRACE, Trace

from .adapter import Snapshot
from .inputs import Changed, ChangedInPart, Group, Item, Removed, SetItem, Stream, UpdateItem
from .providers import JSON_ERROR, Deleted, Providers, Updated, Written, shaped
from .publisher import Publisher, created, deleted, updated
from .turns import ItemTurns

SET_ERROR = "STREAM_SET_ERROR"
DELETE_ERROR = "STREAM_DELETE_ERROR"
UPDATE_ERROR = "STREAM_UPDATE_ERROR"

_NULL = b"null"
_encode = msgspec.json.Encoder().encode

Names = list[str]


class Provided:
    """Every method answers None if no worker provides the stream."""

    def __init__(self, providers: Providers, publisher: Publisher, turns: ItemTurns, max_value: int) -> None:
        self._providers = providers
        self._publisher = publisher
        self._turns = turns
        self._max_value = max_value  # bytes

    async def get(self, asked: Item, request: Request) -> tuple[bool, bytes | None]:
        """(whether it is provided, the value)"""
        function = await self._providers.of("get", asked.stream_name)
        if not function:
            return False, None
        return True, await self._providers.read(function, request.data, request.trace) or None

    async def list(self, asked: Group, request: Request) -> Raw | None:
        function = await self._providers.of("list", asked.stream_name)
        if not function:
            return None
        return Raw(_array(function, await self._providers.read(function, request.data, request.trace)))

    async def list_groups(self, asked: Stream, request: Request) -> Names | None:
        function = await self._providers.of("list_groups", asked.stream_name)
        if not function:
            return None
        answer = await self._providers.read(function, request.data, request.trace)
        return shaped(function, answer, Names)

    async def set(self, asked: SetItem, request: Request) -> object:
        function = await self._providers.of("set", asked.stream_name)
        if not function:
            return None
        async with self._turns.turn(*asked.path):
            written = await self._providers.write(function, request.data, Written, SET_ERROR, request.trace)
            await self._tell_written(asked, written, request.trace)
        return Changed(written.old_value, written.new_value)

    async def delete(self, asked: Item, request: Request) -> object:
        function = await self._providers.of("delete", asked.stream_name)
        if not function:
            return None
        async with self._turns.turn(*asked.path):
            gone = await self._providers.write(function, request.data, Deleted, DELETE_ERROR, request.trace)
            old = bytes(gone.old_value)
            if old != _NULL:
                await self._publisher.publish(self._publisher.notice(*asked.path, request.trace), deleted(old))
        return Removed(gone.old_value)

    async def update(self, asked: UpdateItem, request: Request) -> object:
        function = await self._providers.of("update", asked.stream_name)
        if not function:
            return await self._update_by_get_and_set(asked, request.trace)
        done = await self._providers.write(function, request.data, Updated, UPDATE_ERROR, request.trace)
        await self._tell_written(asked, Written(done.new_value, done.old_value), request.trace)
        result: dict[str, object] = {"old_value": done.old_value, "new_value": done.new_value}
        return result | {"errors": done.errors} if len(done.errors) else result

    async def _update_by_get_and_set(self, asked: UpdateItem, trace: Trace) -> object:
        """Published clients register no `update`: without this it would change what nobody reads."""
        get = await self._providers.of("get", asked.stream_name)
        set_ = await self._providers.of("set", asked.stream_name)
        if not get or not set_:
            return None
        where = {"stream_name": asked.stream_name, "group_id": asked.group_id, "item_id": asked.item_id}
        async with self._turns.turn(*asked.path):
            old = await self._providers.read(get, _encode(where), trace) or None
            new, failures = applied(old, asked.ops, self._max_value)
            data = _encode(where | {"data": Raw(new)})
            written = await self._providers.write(set_, data, Written, UPDATE_ERROR, trace)
            written.old_value = Raw(_NULL if old is None else old)
            await self._tell_written(asked, written, trace)
        changed = written.old_value, written.new_value
        return ChangedInPart(*changed, failures) if failures else Changed(*changed)

    async def snapshot(self, stream: str, group: str, item: str | None, after: int) -> Snapshot | None:
        """The moment comes first: what is told with a later timestamp may be contained, what came earlier is."""
        function = await self._providers.of("list" if item is None else "get", stream)
        if not function:
            return None
        moment = await self._publisher.moment(stream, group, after)
        where = {"stream_name": stream, "group_id": group}
        if item is None:
            answer = await self._providers.read(function, _encode(where), NO_TRACE)
            return Snapshot(moment, _array(function, answer))
        answer = await self._providers.read(function, _encode(where | {"item_id": item}), NO_TRACE)
        return Snapshot(moment, answer or _NULL)

    async def _tell_written(self, item: Item, written: Written, trace: Trace) -> None:
        """A provider that says nothing of an old value, or null, had none."""
        tell = created if bytes(written.old_value) == _NULL else updated
        await self._publisher.publish(self._publisher.notice(*item.path, trace), tell(bytes(written.new_value)))


def _array(function: str, answer: bytes) -> bytes:
    if not answer.startswith(b"["):
        raise EngineError(JSON_ERROR, f"{function} answered something else than an array")
    return answer
