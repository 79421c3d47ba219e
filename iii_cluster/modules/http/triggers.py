"""Checks `http` triggers where they are registered."""

import logging
from typing import Any

import msgspec

from iii_cluster.bus.envelopes import Trigger
from iii_cluster.protocol import errors
from iii_cluster.protocol.errors import EngineError

from .paths import METHODS, read_route

MIDDLEWARE_KEY = "middleware_function_ids"
MAX_MIDDLEWARE = 32

logger = logging.getLogger(__name__)


def check(trigger: Trigger) -> None:
    """Refuses what can never be routed. An unknown method is only warned of: such triggers wait for nothing."""
    route = read_route(trigger)
    middleware_of(trigger)
    if route.method not in METHODS:
        line = "action=http_method_unsupported trigger=%s function=%r path=%r method=%.20r"
        logger.warning(line, trigger.id, trigger.function, route.path.text, route.method)


def middleware_of(trigger: Trigger) -> tuple[str, ...]:
    """The functions to ask before the trigger's own, in order. Raises EngineError when the config has no such list."""
    if MIDDLEWARE_KEY.encode() not in trigger.config:
        return ()
    config = msgspec.json.decode(trigger.config)
    value: Any = config.get(MIDDLEWARE_KEY) if isinstance(config, dict) else None
    if value is None:
        return ()
    if not isinstance(value, list) or not all(isinstance(name, str) and name for name in value):
        message = f"{MIDDLEWARE_KEY} of http triggers must be a list of ids of functions"
        raise EngineError(errors.TRIGGER_REGISTRATION_FAILED, message)
    if len(value) > MAX_MIDDLEWARE:
        message = f"an http trigger has at most {MAX_MIDDLEWARE} functions in {MIDDLEWARE_KEY}"
        raise EngineError(errors.TRIGGER_REGISTRATION_FAILED, message)
    return tuple(value)
