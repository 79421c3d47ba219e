"""Conditions of triggers: functions that are asked before the trigger's own is called."""

import logging

import msgspec

from iii_cluster.bus.envelopes import Trigger
from iii_cluster.protocol import errors
from iii_cluster.protocol.errors import EngineError
from iii_cluster.telemetry.tracing import NO_TRACE, Trace

from .calling import call
from .engine import Engine

CONDITION_KEYS = ("condition_function_id", "_condition_path")  # the second one is of the oldest clients
MAX_REMEMBERED = 10_000  # triggers whose condition failed last time

logger = logging.getLogger(__name__)


def check_condition(trigger: Trigger) -> None:
    """Refuses a trigger whose condition is not the id of a function: it would fire as if it had none."""
    if not any(key.encode() in trigger.config for key in CONDITION_KEYS):
        return
    try:
        config = msgspec.json.decode(trigger.config)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        message = f"the config of the {trigger.type} trigger could not be parsed: {error}"
        raise EngineError(errors.TRIGGER_REGISTRATION_FAILED, message) from None
    for key in CONDITION_KEYS if isinstance(config, dict) else ():
        if not isinstance(config.get(key), str | None):
            message = f"the {key} of the {trigger.type} trigger must be the id of a function, as text"
            raise EngineError(errors.TRIGGER_REGISTRATION_FAILED, message)


def condition_of(trigger: Trigger) -> str:
    """The id of a trigger's condition function, "" without one."""
    if not any(key.encode() in trigger.config for key in CONDITION_KEYS):
        return ""
    config = msgspec.json.decode(trigger.config)
    names = [config.get(key) for key in CONDITION_KEYS] if isinstance(config, dict) else []
    return next((name for name in names if isinstance(name, str) and name), "")


async def allowed(engine: Engine, trigger: Trigger, data: bytes, trace: Trace = NO_TRACE) -> bool:
    """Whether the trigger's condition, called with the event, lets it fire: anything but `false` does.

    Raises EngineError when the condition fails or does not answer.
    """
    condition = condition_of(trigger)
    if not condition:
        return True
    traceparent, baggage = trace
    answer = await call(engine, condition, data, namespace=trigger.namespace, traceparent=traceparent, baggage=baggage)
    return answer != b"false"


class Conditions:
    """A condition that fails says no, with one log line when it starts to, instead of one per event."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._failing: dict[str, None] = {}  # by trigger id, oldest first

    async def allow(self, trigger: Trigger, data: bytes, trace: Trace = NO_TRACE) -> bool:
        """Whether the trigger may fire; `data` is what its function would get. A condition that fails says no."""
        try:
            yes = await allowed(self._engine, trigger, data, trace)
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
