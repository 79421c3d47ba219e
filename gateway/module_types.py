"""Trigger types that no worker provides: the engine and its modules fire them. Pure."""

import logging
from collections.abc import Callable, Mapping

from iii_cluster.bus.envelopes import Trigger
from iii_cluster.modules.conditions import check_condition
from iii_cluster.modules.module import TriggerType
from iii_cluster.protocol import errors
from iii_cluster.protocol.builtin_types import BUILTIN_TRIGGER_TYPES
from iii_cluster.protocol.errors import EngineError

log = logging.getLogger(__name__)


class ModuleTypes:
    """What the modules of this gateway say of triggers that are registered at it."""

    def __init__(self, types: Mapping[str, TriggerType]) -> None:
        """`types` by id, and by every other name they have."""
        self._types = types

    def reserved(self, name: str) -> bool:
        """Whether no worker can provide a type of this name."""
        return name in BUILTIN_TRIGGER_TYPES or name in self._types

    def canonical(self, name: str) -> str:
        """The id of the type that is called so."""
        known = self._types.get(name)
        return name if known is None else known.id

    def check(self, trigger: Trigger) -> None:
        """Raises EngineError when the type's module does not take the trigger."""
        known = self._types.get(trigger.type)
        if known is None:
            return
        check_condition(trigger)
        if known.check is None:
            return
        try:
            known.check(trigger)
        except EngineError:
            raise
        except Exception as error:
            log.exception("action=trigger_check_failed type=%s", trigger.type)
            raise EngineError(errors.INTERNAL_ERROR, f"it could not be checked: {type(error).__name__}") from error

    def registered(self, trigger: Trigger) -> None:
        known = self._types.get(trigger.type)
        if known is not None:
            _tell(known.registered, trigger)

    def unregistered(self, trigger: Trigger) -> None:
        known = self._types.get(trigger.type)
        if known is not None:
            _tell(known.unregistered, trigger)


def _tell(told: Callable[[Trigger], None] | None, trigger: Trigger) -> None:
    if told is None:
        return
    try:
        told(trigger)
    except Exception:
        log.exception("action=trigger_hook_failed type=%s", trigger.type)
