"""The functions of state: their inputs checked, carried out by an adapter, what went wrong under each one's code."""

import asyncio
from collections.abc import Sequence

from msgspec import Raw

from iii_cluster.config.settings import Settings
from iii_cluster.modules.events.writer import EventWriter
from iii_cluster.modules.failures import failed
from iii_cluster.modules.module import Request
from iii_cluster.modules.updates.turns import Turns
from iii_cluster.modules.values import NotFinite, compact
from iii_cluster.protocol import errors
from iii_cluster.protocol.errors import EngineError
from iii_cluster.telemetry.tracing import Trace

from .adapter import Notice, StateAdapter
from .event import EventText
from .inputs import KeyInput, ScopeInput, SetInput, Updated, UpdatedInPart, UpdateInput

MAX_NAME = 65_536  # characters of a scope or a key
DELETES_AT_ONCE = 256  # of a scope that is cleared

_NULL = Raw(b"null")


class _Stored:
    """One key, for updates."""

    __slots__ = ("_key", "_scope", "_store")

    def __init__(self, store: "Store", scope: str, key: str) -> None:
        self._store = store
        self._scope = scope
        self._key = key

    async def read(self) -> bytes | None:
        return await self._store.adapter.get(self._scope, self._key)

    async def swap(
        self, expected: bytes | None, steps: Sequence[bytes], traces: Sequence[Trace]
    ) -> tuple[bool, bytes | None]:
        store = self._store
        notice = store.notice(self._scope, self._key, *traces)
        swapped = await store.adapter.swap(self._scope, self._key, expected, steps, notice)
        store.wake(notice)
        return swapped


class Store:
    """Handlers of the functions; called between `start` and `stop`."""

    def __init__(self, max_value: int | None) -> None:
        """`max_value`: bytes of a value that is set."""
        self.adapter: StateAdapter
        self._events: EventWriter | None = None
        self._turns: Turns
        self._max_value = max_value
        self._max_message = 0

    async def start(self, adapter: StateAdapter, events: EventWriter, told: bool, settings: Settings) -> None:
        """`told`: whether anybody is told of what is written."""
        self._max_message = settings.max_message_bytes
        self._turns = Turns(settings.max_message_bytes, settings.redis_outage_limit)
        await adapter.start(events)
        self.adapter = adapter
        self._events = events if told else None

    async def stop(self) -> None:
        await self._turns.close()
        await self.adapter.stop()

    def notice(self, scope: str, key: str, *traces: Trace) -> Notice | None:
        """`traces`: of whoever writes, one for each event."""
        target = None if self._events is None else self._events.target(scope, key, traces=traces)
        return None if target is None else Notice(target, EventText.of(scope, key))

    def wake(self, notice: Notice | None) -> None:
        if notice is not None and self._events is not None:
            self._events.wake(notice.target)

    async def set(self, asked: SetInput, request: Request) -> object:
        try:
            _check_names(asked.scope, asked.key)
            new = compact(asked.value if len(asked.value) else asked.data)
            if self._max_value is not None and len(new) > self._max_value:
                raise EngineError(
                    "VALUE_TOO_LARGE", f"the value has {len(new)} bytes, more than max_value_bytes = {self._max_value}"
                )
            notice = self.notice(asked.scope, asked.key, request.trace)
            old = await self.adapter.set(asked.scope, asked.key, new, notice)
            self.wake(notice)
        except NotFinite as error:
            raise EngineError(errors.DESERIALIZATION_ERROR, f"state::set: {error} - at `$.value`") from None
        except Exception as error:
            raise failed("SET_ERROR", error) from error
        return Updated(_NULL if old is None else Raw(old), Raw(new))

    async def get(self, asked: KeyInput, _request: Request) -> object:
        try:
            value = await self.adapter.get(asked.scope, asked.key)
        except Exception as error:
            raise failed("GET_ERROR", error) from error
        return None if value is None else Raw(value)

    async def delete(self, asked: KeyInput, request: Request) -> object:
        try:
            _check_names(asked.scope, asked.key)
            old = await self._delete(asked.scope, asked.key, request.trace)
        except Exception as error:
            raise failed("DELETE_ERROR", error) from error
        return None if old is None else Raw(old)

    async def update(self, asked: UpdateInput, request: Request) -> object:
        try:
            _check_names(asked.scope, asked.key)
            stored = _Stored(self, asked.scope, asked.key)
            item = (asked.scope, asked.key)
            old, new, errors = await self._turns.update(item, stored, asked.ops, request.trace)
        except Exception as error:
            raise failed("UPDATE_ERROR", error) from error
        old_value = _NULL if old is None else Raw(old)
        return UpdatedInPart(old_value, Raw(new), errors) if errors else Updated(old_value, Raw(new))

    async def list(self, asked: ScopeInput, _request: Request) -> object:
        values: list[bytes] = []
        size = 0
        try:
            async for page in self.adapter.pages(asked.scope):
                values += [value for _key, value in page]
                size += sum(len(value) + 1 for _key, value in page)
                if size > self._max_message:
                    raise EngineError("LIST_ERROR", f"the values have more than {self._max_message} bytes together")
        except Exception as error:
            raise failed("LIST_ERROR", error) from error
        return Raw(b"[" + b",".join(values) + b"]")

    async def list_groups(self, _asked: Raw, _request: Request) -> object:
        try:
            groups = sorted(set(await self.adapter.groups()))
        except Exception as error:
            raise failed("LIST_GROUPS_ERROR", error) from error
        if sum(map(len, groups)) > self._max_message:
            raise EngineError("LIST_GROUPS_ERROR", f"the names have more than {self._max_message} bytes together")
        return {"groups": groups}

    async def clear(self, asked: ScopeInput, request: Request) -> object:
        deleted = 0
        try:
            async for page in self.adapter.pages(asked.scope):
                for at in range(0, len(page), DELETES_AT_ONCE):
                    keys = [key for key, _value in page[at : at + DELETES_AT_ONCE]]
                    olds = await asyncio.gather(*(self._delete(asked.scope, key, request.trace) for key in keys))
                    deleted += sum(old is not None for old in olds)
        except Exception as error:
            raise failed("DELETE_ERROR", error) from error
        return {"deleted": deleted}

    async def _delete(self, scope: str, key: str, trace: Trace) -> bytes | None:
        notice = self.notice(scope, key, trace)
        old = await self.adapter.delete(scope, key, notice)
        self.wake(notice)
        return old


def _check_names(scope: str, key: str) -> None:
    if len(scope) > MAX_NAME or len(key) > MAX_NAME:
        raise ValueError(f"a scope or a key has more than {MAX_NAME} characters")
