"""One listener for each live trigger of a type."""

from collections.abc import Callable, Collection
from typing import Generic, Protocol, TypeVar

from iii_cluster.bus.envelopes import Trigger
from iii_cluster.modules.engine import Engine
from iii_cluster.protocol.errors import EngineError


class Listener(Protocol):
    trigger: Trigger

    def close(self) -> None:
        """Nothing more is told."""


L = TypeVar("L", bound=Listener)


class Following(Generic[L]):
    """`make` raises EngineError for what only another version of the engine lets pass: that has none. A trigger that
    was registered anew, with another configuration, has a new one."""

    def __init__(self, engine: Engine, type: str, make: Callable[[Trigger], L]) -> None:
        self._make = make
        self._listeners: dict[str, L] = {}  # by trigger
        self._stale = True
        self._watched = engine.watch(type, self._changed)

    async def any(self) -> bool:
        """Whether there are any now; looked at before each round."""
        if not self._watched.known:
            await self._watched.until_known()
        if self._stale:
            self._stale = False
            self._load()
        return bool(self._listeners)

    def all(self) -> Collection[L]:
        """As of the last look."""
        return self._listeners.values()

    def forget(self) -> None:
        for listener in self._listeners.values():
            listener.close()
        self._listeners.clear()
        self._stale = True

    def _changed(self) -> None:
        self._stale = True

    def _load(self) -> None:
        old, self._listeners = self._listeners, {}
        for trigger in self._watched.all():
            known = old.get(trigger.id)
            if known is not None and known.trigger == trigger:
                self._listeners[trigger.id] = old.pop(trigger.id)
                continue
            try:
                self._listeners[trigger.id] = self._make(trigger)
            except EngineError:
                continue
        for listener in old.values():
            listener.close()
