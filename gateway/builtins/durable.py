"""engine::register_trigger and ::unregister_trigger: triggers that outlive the connection that asked for them."""

from uuid import uuid4

import msgspec

from gateway.access.hooks import Denied
from gateway.access.registrations import Registrations
from gateway.module_types import ModuleTypes
from gateway.registry import MAX_DEFINITION
from gateway.stamps import Stamps
from gateway.worker import Worker
from iii_cluster.access.rules import Access
from iii_cluster.access.triggers import scoped, unscoped
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

    def __init__(
        self,
        stored: DurableTriggers,
        bus: Bus,
        asker: Asker,
        survey: Survey,
        types: ModuleTypes,
        guarded: Registrations,
        stamps: Stamps,
    ) -> None:
        """`guarded` decides about those of workers under rules."""
        self._stored = stored
        self._bus = bus
        self._asker = asker
        self._survey = survey
        self._types = types
        self._guarded = guarded
        self._stamps = stamps

    async def register(self, worker: Worker | None, data: bytes) -> bytes:
        asked = parse(REGISTER, data, arguments.RegisterTriggerInput)
        if len(data) > MAX_DEFINITION:
            raise EngineError(errors.PAYLOAD_TOO_LARGE, f"a trigger may have {MAX_DEFINITION} bytes")
        if messages.is_blank(asked.trigger_namespace):
            raise EngineError(errors.INVALID_NAMESPACE, errors.BLANK_NAMESPACE)
        access = _rules(worker)
        id = shown = str(uuid4())
        if access is not None:
            asked, id = await self._decided(access, asked, id)
            shown = unscoped(access.realm, id)
        trigger = Trigger(
            id,
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
        epoch, stamp = self._survey.map.epoch, self._stamps.next()
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
        return msgspec.json.encode({"id": shown})

    async def _decided(
        self, access: Access, asked: arguments.RegisterTriggerInput, id: str
    ) -> tuple[arguments.RegisterTriggerInput, str]:
        """What is registered for a worker under rules, and its id. Raises EngineError(FORBIDDEN)."""
        message = messages.RegisterTrigger(
            id, asked.trigger_type, asked.function_id, asked.config, asked.metadata, None, asked.trigger_namespace
        )
        try:
            final, reason = await self._guarded.decide_trigger(access, message)
        except Denied:
            final, reason = message, "the registration was denied"
        if reason:
            raise EngineError(errors.FORBIDDEN, reason)
        decided = msgspec.structs.replace(
            asked, trigger_type=final.trigger_type, function_id=final.function_id, config=final.config
        )
        return decided, final.id

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

    async def unregister(self, worker: Worker | None, data: bytes) -> bytes:
        """Workers under rules name those of their realm."""
        asked = parse(UNREGISTER, data, arguments.UnregisterTriggerInput)
        access = _rules(worker)
        id = asked.id if access is None else scoped(access.realm, asked.id)
        known = await self._survey.owner(id, "triggers.get", {"id": id})
        if known:
            self._send(id, RemoveTrigger(id, self._survey.map.epoch))
            if not known[0]["owner"]:  # else the gateway of its owner is told
                self._types.unregistered(_trigger(known[0]))
        return msgspec.json.encode({"removed": bool(known)})

    def _send(self, key: str, envelope: PutTrigger | BindTrigger | RemoveTrigger) -> None:
        shard = self._survey.map.owner(key)
        if shard:
            self._bus.send(shard, envelope)


def _rules(worker: Worker | None) -> Access | None:
    access = worker.access if worker is not None else None
    return access if access is not None and access.restricted else None


def _trigger(row: Row) -> Trigger:
    """From a shard's row."""
    return Trigger(row["id"], row["type"], row["function"], row["config"], row["metadata"], row["namespace"])
