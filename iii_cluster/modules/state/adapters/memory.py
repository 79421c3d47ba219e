"""State in the memory of one gateway, for tests and trials.

Other gateways do not see it, and it ends with the process.
"""

from collections.abc import AsyncIterator, Sequence
from itertools import islice

from msgspec import Struct

from iii_cluster.modules.engine import Engine
from iii_cluster.modules.events.writer import EventWriter
from iii_cluster.modules.state.adapter import Notice, StateAdapter

PAGE = 1000  # elements


class MemoryConfig(Struct, frozen=True, forbid_unknown_fields=True):
    pass


class MemoryAdapter(StateAdapter):
    """Every write is done, and its events are on their way, before anything else runs."""

    Config = MemoryConfig

    def __init__(self, _config: MemoryConfig, _engine: Engine) -> None:
        self._scopes: dict[str, dict[str, bytes]] = {}
        self._events: EventWriter

    async def start(self, events: EventWriter) -> None:
        self._events = events

    async def get(self, scope: str, key: str) -> bytes | None:
        return self._scopes.get(scope, {}).get(key)

    async def set(self, scope: str, key: str, value: bytes, notice: Notice | None) -> bytes | None:
        values = self._scopes.setdefault(scope, {})
        old = values.get(key)
        values[key] = value
        if notice is not None:
            await self._events.append(notice.target, notice.text.written(old, value))
        return old

    async def delete(self, scope: str, key: str, notice: Notice | None) -> bytes | None:
        values = self._scopes.get(scope, {})
        old = values.pop(key, None)
        if not values:
            self._scopes.pop(scope, None)
        if notice is not None:
            await self._events.append(notice.target, notice.text.deleted(old))
        return old

    async def swap(
        self, scope: str, key: str, expected: bytes | None, steps: Sequence[bytes], notice: Notice | None
    ) -> tuple[bool, bytes | None]:
        old = self._scopes.get(scope, {}).get(key)
        if old != expected:
            return False, old
        self._scopes.setdefault(scope, {})[key] = steps[-1]
        if notice is not None:
            await self._events.append(notice.target, *notice.text.steps(old, steps))
        return True, None

    async def pages(self, scope: str) -> AsyncIterator[Sequence[tuple[str, bytes]]]:
        values = iter(list(self._scopes.get(scope, {}).items()))
        while page := list(islice(values, PAGE)):
            yield page

    async def groups(self) -> list[str]:
        return list(self._scopes)
