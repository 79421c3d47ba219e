"""Conditions of triggers whose failure means: not this time."""

import logging

from iii_cluster.bus.envelopes import Trigger
from iii_cluster.protocol.errors import EngineError

from .calling import allowed
from .engine import Engine

MAX_REMEMBERED = 10_000  # triggers whose condition failed last time

logger = logging.getLogger(__name__)


class Conditions:
    """One log line when a trigger's condition starts to fail, instead of one per event."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._failing: dict[str, None] = {}  # by trigger id, oldest first

    async def allow(self, trigger: Trigger, data: bytes) -> bool:
        """Whether the trigger may fire; `data` is what its function would get. A condition that fails says no."""
        try:
            yes = await allowed(self._engine, trigger, data)
        except EngineError as error:
            if trigger.id not in self._failing:
                self._remember(trigger)
                logger.warning("action=condition_failed trigger=%s type=%s error=%s", trigger.id, trigger.type, error)
            return False
        self._failing.pop(trigger.id, None)
        return yes

    def _remember(self, trigger: Trigger) -> None:
        self._failing[trigger.id] = None
        if len(self._failing) > MAX_REMEMBERED:
            del self._failing[next(iter(self._failing))]
