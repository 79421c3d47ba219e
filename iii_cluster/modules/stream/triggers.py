"""The trigger types of streams: changes, clients that join and leave."""

import msgspec
from msgspec import Raw, Struct

from iii_cluster.bus.envelopes import Trigger
from iii_cluster.modules.events.kind import Kind, Parts, Pattern
from iii_cluster.protocol import errors
from iii_cluster.protocol.errors import EngineError

CHANGE = "stream"
JOIN = "stream:join"
LEAVE = "stream:leave"


class ChangeConfig(Struct):
    """None and "" ask for all."""

    stream_name: str
    group_id: str | None = None
    item_id: str | None = None
    condition_function_id: str | None = None


class HookConfig(Struct):
    stream_name: str | None = None
    condition_function_id: str | None = None


class _Message(Struct, rename="camel"):
    stream_name: str
    group_id: str
    id: str | None


_decode_change = msgspec.json.Decoder(ChangeConfig).decode
_decode_hook = msgspec.json.Decoder(HookConfig).decode
_decode_message = msgspec.json.Decoder(_Message).decode


def _pattern(trigger: Trigger) -> Pattern | None:
    try:
        config = _decode_change(trigger.config)
    except msgspec.MsgspecError:
        return None
    return config.stream_name, config.group_id or None, config.item_id or None


def _parts(message: bytes) -> Parts:
    """A message that is about no item has an empty one: no trigger asks for that."""
    message_ = _decode_message(message)
    return message_.stream_name, message_.group_id, message_.id or ""


KIND = Kind(CHANGE, _pattern, _parts)


def check_change(trigger: Trigger) -> None:
    try:
        if not _decode_change(trigger.config).stream_name:
            raise EngineError(errors.TRIGGER_REGISTRATION_FAILED, "a stream trigger needs a stream_name")
    except msgspec.MsgspecError as error:
        raise _refused(trigger, error) from None


def check_hook(trigger: Trigger) -> None:
    """Clients register these with all sorts of configs; none at all is fine, too."""
    try:
        hooked_stream(trigger)
    except msgspec.MsgspecError as error:
        raise _refused(trigger, error) from None


def hooked_stream(trigger: Trigger) -> str:
    """The stream a hook is for, "" for all."""
    return "" if trigger.config in (b"", b"null") else _decode_hook(trigger.config).stream_name or ""


def _refused(trigger: Trigger, error: Exception) -> EngineError:
    message = f"the config of the {trigger.type} trigger could not be parsed: {error}"
    return EngineError(errors.TRIGGER_REGISTRATION_FAILED, message)


def _schema(required: list[str], *optional: str) -> Raw:
    properties = {name: {"type": "string"} for name in required}
    properties |= {name: {"type": ["string", "null"]} for name in optional}  # type: ignore[dict-item]
    return Raw(msgspec.json.encode({"type": "object", "properties": properties, "required": required}))


CHANGE_SCHEMA = _schema(["stream_name"], "group_id", "item_id", "condition_function_id")
HOOK_SCHEMA = _schema([], "stream_name", "condition_function_id")
