"""The triggers of one type as a module sees them."""

import asyncio
from collections.abc import Collection

from iii_cluster.bus.envelopes import Trigger

from .subscriptions import Changed, Subscriptions


class WatchedType:
    """Implements `iii_cluster.modules.engine.Watched`."""

    def __init__(self, subscriptions: Subscriptions, trigger_type: str, changed: Changed | None = None) -> None:
        self._known = asyncio.Event()
        self._subscription = subscriptions.watch(trigger_type, changed)
        if self._subscription.known:
            self._known.set()
        else:
            self._subscription.changed.insert(0, self._known.set)

    @property
    def known(self) -> bool:
        return self._subscription.known

    def all(self) -> Collection[Trigger]:
        return self._subscription.triggers()

    async def until_known(self) -> None:
        await self._known.wait()
