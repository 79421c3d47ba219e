"""The trigger type `state`."""

import msgspec
from msgspec import Raw, Struct

from iii_cluster.bus.envelopes import Trigger
from iii_cluster.modules.events.kind import Kind, Pattern
from iii_cluster.protocol import errors
from iii_cluster.protocol.errors import EngineError

CONFIG_SCHEMA = Raw(
    b'{"type":"object","properties":{"scope":{"type":["string","null"]},"key":{"type":["string","null"]},'
    b'"condition_function_id":{"type":["string","null"]}}}'
)
EVENT_SCHEMA = Raw(
    b'{"type":"object","properties":{"type":{"const":"state"},'
    b'"event_type":{"enum":["state:created","state:updated","state:deleted"]},'
    b'"scope":{"type":"string"},"key":{"type":"string"},"old_value":{},"new_value":{}},'
    b'"required":["type","event_type","scope","key","old_value","new_value"]}'
)


class _Config(Struct):
    """None: any."""

    scope: str | None = None
    key: str | None = None
    condition_function_id: str | None = None


class _About(Struct):
    scope: str
    key: str


_decode_config = msgspec.json.Decoder(_Config).decode
_decode_about = msgspec.json.Decoder(_About).decode


def check(trigger: Trigger) -> None:
    """Refuses a configuration that says nothing sensible."""
    try:
        _decode_config(trigger.config)
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        message = f"the state trigger config could not be parsed: {error}"
        raise EngineError(errors.TRIGGER_REGISTRATION_FAILED, message) from None


def _pattern(trigger: Trigger) -> Pattern | None:
    try:
        config = _decode_config(trigger.config)
    except (msgspec.MsgspecError, UnicodeDecodeError):
        return None
    return config.scope, config.key


def _parts(event: bytes) -> tuple[str, ...]:
    about = _decode_about(event)
    return about.scope, about.key


STATE_EVENTS = Kind("state", _pattern, _parts)
