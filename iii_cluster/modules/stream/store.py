"""The functions of streams that read and write items: by the worker that provides the stream, or by the adapter."""

from collections.abc import Sequence

from msgspec import Raw

from iii_cluster.modules.failures import failed
from iii_cluster.modules.module import Request
from iii_cluster.modules.updates.turns import Turns
from iii_cluster.modules.values import NotFinite, compact
from iii_cluster.protocol import errors
from iii_cluster.protocol.errors import EngineError
from iii_cluster.telemetry.tracing import Trace

from .adapter import StreamAdapter, array, too_large
from .inputs import (
    All,
    Changed,
    ChangedInPart,
    Group,
    Item,
    Listed,
    Nothing,
    Removed,
    Send,
    SetItem,
    Stream,
    UpdateItem,
)
from .provided import Provided
from .publisher import Notice, Publisher, sent

MAX_NAME = 65_536  # characters of a stream, a group or an item
MAX_SENT = 3 * 2**20  # bytes of what is sent and not stored: unlike a large value, nobody can read it later


class _Stored:
    """One item, for updates."""

    __slots__ = ("_item", "_store")

    def __init__(self, store: "Store", item: Item) -> None:
        self._store = store
        self._item = item

    async def read(self) -> bytes | None:
        return await self._store.adapter.get(*self._item.path)

    async def swap(
        self, expected: bytes | None, steps: Sequence[bytes], traces: Sequence[Trace]
    ) -> tuple[bool, bytes | None]:
        notice = self._store.notice(self._item, *traces)
        swapped = await self._store.adapter.swap(*self._item.path, expected, steps, notice)
        self._store.publisher.wake(notice)
        return swapped


class Store:
    """Handlers of the functions."""

    def __init__(
        self, adapter: StreamAdapter, publisher: Publisher, provided: Provided, max_message: int, patience: float
    ) -> None:
        """`max_message`: bytes of anything; `patience`: seconds an update may be repeated."""
        self.adapter = adapter
        self.publisher = publisher
        self._provided = provided
        self._max_message = max_message
        self._turns = Turns(max_message, patience)

    async def close(self) -> None:
        await self._turns.close()
        await self.adapter.stop()

    def notice(self, item: Item, *traces: Trace) -> Notice:
        return self.publisher.notice(*item.path, *traces)

    async def set(self, asked: SetItem, request: Request) -> object:
        try:
            check_names(*asked.path)
            provided = await self._provided.set(asked, request)
            if provided is not None:
                return provided
            new = compact(asked.data)
            notice = self.notice(asked, request.trace)
            old = await self.adapter.set(*asked.path, new, notice)
            self.publisher.wake(notice)
        except NotFinite as error:
            raise EngineError(errors.DESERIALIZATION_ERROR, f"stream::set: {error} - at `$.data`") from None
        except Exception as error:
            raise failed("STREAM_SET_ERROR", error) from error
        return Changed(_or_null(old), Raw(new))

    async def get(self, asked: Item, request: Request) -> object:
        try:
            provided, value = await self._provided.get(asked, request)
            if not provided:
                value = await self.adapter.get(*asked.path)
        except Exception as error:
            raise failed("STREAM_GET_ERROR", error) from error
        return None if value is None else Raw(value)

    async def delete(self, asked: Item, request: Request) -> object:
        try:
            check_names(*asked.path)
            provided = await self._provided.delete(asked, request)
            if provided is not None:
                return provided
            notice = self.notice(asked, request.trace)
            old = await self.adapter.delete(*asked.path, notice)
            self.publisher.wake(notice)
        except Exception as error:
            raise failed("STREAM_DELETE_ERROR", error) from error
        return Removed(_or_null(old))

    async def update(self, asked: UpdateItem, request: Request) -> object:
        try:
            check_names(*asked.path)
            provided = await self._provided.update(asked, request)
            if provided is not None:
                return provided
            old, new, failures = await self._turns.update(asked.path, _Stored(self, asked), asked.ops, request.trace)
        except Exception as error:
            raise failed("STREAM_UPDATE_ERROR", error) from error
        changed = _or_null(old), Raw(new)
        return ChangedInPart(*changed, failures) if failures else Changed(*changed)

    async def list(self, asked: Group, request: Request) -> object:
        values: list[bytes] = []
        size = 0
        try:
            listed = await self._provided.list(asked, request)
            if listed is not None:
                return listed
            async for page in self.adapter.values(asked.stream_name, asked.group_id):
                values += page
                size += sum(map(len, page)) + len(page)
                if size > self._max_message:
                    raise too_large(self._max_message)
        except Exception as error:
            raise failed("STREAM_GET_GROUP_ERROR", error) from error
        return Raw(array(values))

    async def list_groups(self, asked: Stream, request: Request) -> object:
        try:
            listed = await self._provided.list_groups(asked, request)
            return sorted(set(await self.adapter.groups(asked.stream_name))) if listed is None else listed
        except Exception as error:
            raise failed("STREAM_LIST_GROUPS_ERROR", error) from error

    async def list_all(self, _asked: Nothing, _request: Request) -> object:
        """Of the adapter's own: providers cannot be asked for all of their streams."""
        try:
            streams = await self.adapter.streams()
        except Exception as error:
            raise failed("STREAM_LIST_ALL_ERROR", error) from error
        return All([Listed(name, sorted(groups)) for name, groups in sorted(streams.items())], len(streams))

    async def send(self, asked: Send, request: Request) -> None:
        try:
            check_names(asked.stream_name, asked.group_id, asked.id or "")
            event = sent(asked.type, compact(asked.data))
            if len(event) > MAX_SENT:
                raise ValueError(f"the event has {len(event)} bytes, more than {MAX_SENT}")
            notice = self.publisher.notice(asked.stream_name, asked.group_id, asked.id, request.trace)
            await self.publisher.publish(notice, event)
        except NotFinite as error:
            raise EngineError(errors.DESERIALIZATION_ERROR, f"stream::send: {error} - at `$.data`") from None
        except Exception as error:
            raise failed("STREAM_SEND_ERROR", error) from error


def check_names(*names: str) -> None:
    if any(len(name) > MAX_NAME for name in names):
        raise ValueError(f"the name of a stream, a group or an item has more than {MAX_NAME} characters")


def _or_null(value: bytes | None) -> Raw:
    return Raw(b"null" if value is None else value)
