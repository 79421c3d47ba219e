"""engine::register_trigger and ::unregister_trigger: triggers that outlive the connection that asked for them."""

import time
from uuid import uuid4

import msgspec

from gateway.module_types import ModuleTypes
from gateway.registry import MAX_DEFINITION
from iii_cluster.bus.ask import Asker, AskError
from iii_cluster.bus.envelopes import BindTrigger, PutTrigger, RemoveTrigger, Trigger
from iii_cluster.bus.service import Bus
from iii_cluster.cluster.durable import DURABLE, DurableTriggers
from iii_cluster.protocol import errors, messages
from iii_cluster.protocol.errors import EngineError

from . import arguments
from .arguments import parse
from .survey import Row, Survey

REGISTER = "engine::register_trigger"
UNREGISTER = "engine::unregister_trigger"

# How long a provider may take to answer before its silence counts as consent, seconds.
PROVIDER_PATIENCE = 10.0


class DurableRegistrations:
    """Keeps the trigger in Redis first, then tells the shards; they load it again when slots move."""

    def __init__(self, stored: DurableTriggers, bus: Bus, asker: Asker, survey: Survey, types: ModuleTypes) -> None:
        self._stored = stored
        self._bus = bus
        self._asker = asker
        self._survey = survey
        self._types = types

    async def register(self, data: bytes) -> bytes:
        asked = parse(REGISTER, data, arguments.RegisterTriggerInput)
        if len(data) > MAX_DEFINITION:
            raise EngineError(errors.PAYLOAD_TOO_LARGE, f"a trigger may have {MAX_DEFINITION} bytes")
        if messages.is_blank(asked.trigger_namespace):
            raise EngineError(errors.INVALID_NAMESPACE, errors.BLANK_NAMESPACE)
        trigger = Trigger(
            str(uuid4()),
            self._types.canonical(asked.trigger_type),
            asked.function_id,
            bytes(asked.config) or b"null",
            b"" if messages.is_null(asked.metadata) else bytes(asked.metadata),
            provider_namespace=asked.trigger_namespace,
        )
        try:
            self._types.check(trigger)
        except EngineError as refusal:
            raise EngineError(errors.TRIGGER_REGISTRATION_FAILED, str(refusal)) from None
        epoch, stamp = self._survey.map.epoch, time.time_ns() // 1_000_000
        bind = BindTrigger(epoch, DURABLE, stamp, trigger)
        if not await self._stored.add(bind):
            raise EngineError(errors.TRIGGER_REGISTRATION_FAILED, "there are too many durable triggers")
        self._send(trigger.id, PutTrigger(epoch, DURABLE, stamp, trigger))
        self._send(trigger.type, bind)
        error = await self._provider_error(trigger)
        if error:
            self._send(trigger.id, RemoveTrigger(trigger.id, epoch))
            raise EngineError(errors.TRIGGER_REGISTRATION_FAILED, str(errors.read(error)))
        self._types.registered(trigger)
        return msgspec.json.encode({"id": trigger.id})

    async def _provider_error(self, trigger: Trigger) -> bytes:
        """What the provider answered: empty for success, for silence, and while there is no provider."""
        shard = self._survey.map.owner(trigger.type)
        if not shard:
            return b""
        try:
            answer: bytes = await self._asker.ask(
                shard, "bindings.outcome", {"id": trigger.id, "type": trigger.type}, timeout=PROVIDER_PATIENCE
            )
        except (AskError, TimeoutError):
            return b""
        return answer

    async def unregister(self, data: bytes) -> bytes:
        asked = parse(UNREGISTER, data, arguments.UnregisterTriggerInput)
        known = await self._survey.owner(asked.id, "triggers.get", {"id": asked.id})
        if known:
            self._send(asked.id, RemoveTrigger(asked.id, self._survey.map.epoch))
            if not known[0]["owner"]:  # else the gateway of its owner is told
                self._types.unregistered(_trigger(known[0]))
        return msgspec.json.encode({"removed": bool(known)})

    def _send(self, key: str, envelope: PutTrigger | BindTrigger | RemoveTrigger) -> None:
        shard = self._survey.map.owner(key)
        if shard:
            self._bus.send(shard, envelope)


def _trigger(row: Row) -> Trigger:
    """From a shard's row."""
    return Trigger(row["id"], row["type"], row["function"], row["config"], row["metadata"], row["namespace"])
