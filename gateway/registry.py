"""Registrations of this gateway's workers: taken from frames, kept per connection, announced to shards. Pure."""

from collections.abc import Container
from typing import TYPE_CHECKING

import msgspec

from iii_cluster.bus.envelopes import RemoveTrigger, Trigger
from iii_cluster.bus.outbox import Outbox
from iii_cluster.protocol import errors, frames, messages
from iii_cluster.protocol.errors import EngineError
from iii_cluster.routing.table import RouteTable

from .announcer import BINDING, FUNCTION, SERVICE, TRIGGER, TRIGGER_TYPE, Announcer, Registration
from .backpressure import Backpressure
from .external.outside import NotConfigured, Outside
from .limits import Limits
from .module_types import ModuleTypes
from .stamps import Stamps
from .worker import Worker

if TYPE_CHECKING:
    from iii_cluster.modules.http_functions.definition import HttpFunction

# Largest definition of a function, or configuration of a trigger, bytes: less than any client's message limit.
MAX_DEFINITION = 1_000_000


class Registry:
    """Takes registrations in the order of their frames; the connection that sent one is its only owner."""

    def __init__(
        self,
        announcer: Announcer,
        routes: RouteTable,
        builtins: Container[str],
        types: ModuleTypes,
        backpressure: Backpressure,
        outbox: Outbox,
        max_registrations: int = 0,
        limits: Limits | None = None,
    ) -> None:
        self._announcer = announcer
        self._routes = routes
        self._builtins = builtins
        self._types = types
        self._backpressure = backpressure
        self._outbox = outbox
        self._max = max_registrations  # per connection; 0: unlimited
        self._limits = limits or Limits()
        self.stamps = Stamps()
        self.outside: Outside = NotConfigured()

    # -- functions ---------------------------------------------------------------------------------

    def register_function(self, worker: Worker, message: messages.RegisterFunction) -> None:
        outside = None
        if not messages.is_null(message.invocation):
            outside = self.outside.admit(worker, message)
            if outside is None:
                return
            worker.special = True
        if self._reserved(message.id, worker.namespace):
            self.refuse_reserved(worker, message.id, worker.namespace)
            return
        definition = _definition(
            description=_text(message.description),
            request_format=message.request_format,
            response_format=message.response_format,
            metadata=message.metadata,
        )
        if self._put(worker, FUNCTION, worker.namespace, message.id, definition, outside):
            self._routes.export(worker.namespace, message.id, worker.target, trusted=not worker.realm)

    def _reserved(self, function: str, namespace: str) -> bool:
        return function in self._builtins if namespace == "default" else function.startswith("engine::")

    def refuse_reserved(self, worker: Worker, function: str, namespace: str) -> None:
        worker.drop(f"registerfunction {function}", "the id is reserved")
        worker.outlet.send(frames.function_rejected(errors.FUNCTION_NAMESPACE_CONFLICT, namespace, function, ""))

    def unregister_function(self, worker: Worker, message: messages.UnregisterFunction) -> None:
        self._drop(worker, (FUNCTION, worker.namespace, message.id))

    def revoke_function(self, worker: Worker, namespace: str, function: str, stamp: int) -> bool:
        """The shard refused it. False when a newer one crossed the refusal.

        It is dropped there all the same, and below: an announcement may have crossed the refusal on its way.
        """
        registration = self._revoked(worker, (FUNCTION, namespace, function), stamp)
        if registration is None:
            return False
        self._announcer.drop(registration)
        self._routes.withdraw(namespace, function, worker.target)
        return True

    # -- trigger types -----------------------------------------------------------------------------

    def register_trigger_type(self, worker: Worker, message: messages.RegisterTriggerType) -> None:
        namespace = worker.namespace if message.namespace is None else message.namespace
        if messages.is_blank(namespace):
            worker.drop(f"registertriggertype {message.id}", errors.BLANK_NAMESPACE)
            return
        if self._types.reserved(message.id):
            worker.drop(f"registertriggertype {message.id}", "the engine provides this type")
            return
        definition = _definition(
            description=_text(message.description),
            trigger_request_format=message.trigger_request_format,
            call_request_format=message.call_request_format,
        )
        self._put(worker, TRIGGER_TYPE, namespace, message.id, definition)

    def unregister_trigger_type(self, worker: Worker, message: messages.UnregisterTriggerType) -> None:
        namespace = worker.namespace if message.namespace is None else message.namespace
        self._drop(worker, (TRIGGER_TYPE, namespace, message.id))

    # -- triggers ----------------------------------------------------------------------------------

    def register_trigger(self, worker: Worker, message: messages.RegisterTrigger) -> None:
        if messages.is_blank(message.namespace) or messages.is_blank(message.trigger_namespace):
            self._refuse_trigger(worker, message, errors.INVALID_NAMESPACE, errors.BLANK_NAMESPACE)
            return
        if len(bytes(message.config)) + len(bytes(message.metadata)) > MAX_DEFINITION:
            reason = f"config and metadata may have {MAX_DEFINITION} bytes together"
            self._refuse_trigger(worker, message, errors.PAYLOAD_TOO_LARGE, reason)
            return
        trigger = Trigger(
            message.id,
            self._types.canonical(message.trigger_type),
            message.function_id,
            bytes(message.config) or b"null",
            b"" if messages.is_null(message.metadata) else bytes(message.metadata),
            message.namespace or "default",
            worker.namespace,
            message.trigger_namespace,
        )
        try:
            self._types.check(trigger)
        except EngineError as error:
            self._refuse_trigger(worker, message, errors.TRIGGER_REGISTRATION_FAILED, error.message)
            return
        if (TRIGGER, "", trigger.id) not in worker.registrations and (reason := self._no_room(worker, 2)):
            worker.drop(f"registertrigger {message.id}", reason)
            self._refuse_trigger(worker, message, errors.LIMIT_EXCEEDED, reason)
            return
        before = worker.registrations.get((BINDING, "", trigger.id))
        if before is not None and before.slot_key != trigger.type:
            self._drop_binding(worker, trigger.id)  # it lives elsewhere than that of another type
        if self._put(worker, TRIGGER, "", trigger.id, trigger) and self._put(worker, BINDING, "", trigger.id, trigger):
            self._types.registered(trigger)

    def _refuse_trigger(self, worker: Worker, message: messages.RegisterTrigger, code: str, reason: str) -> None:
        error = errors.error_body(code, reason)
        self.trigger_failed(worker, message.id, message.trigger_type, message.function_id, error)

    def trigger_failed(self, worker: Worker, id: str, type: str, function: str, error: bytes) -> None:
        """Tell its owner, in the names that it used."""
        named = worker.guarded.triggers.get(id) if worker.guarded is not None else None
        worker.outlet.send(frames.trigger_failed(*(named or (id, type, function)), error))

    def unregister_trigger(self, worker: Worker, message: messages.UnregisterTrigger) -> None:
        """By id only; the trigger may belong to any connection of the cluster."""
        if not self._drop(worker, (TRIGGER, "", message.id)):
            shard = self._announcer.map.owner(message.id)
            if shard:
                self._outbox.send(shard, RemoveTrigger(message.id, self._announcer.map.epoch))
                self._backpressure.to_node(worker, shard)
        self._drop_binding(worker, message.id)

    def revoke_trigger(self, worker: Worker, trigger_id: str, stamp: int, *, removed: bool) -> bool:
        """Somebody else removed it, or replaced it. False when the worker has registered it again since."""
        registration = self._revoked(worker, (TRIGGER, "", trigger_id), stamp)
        if registration is None:
            return False
        self._announcer.drop(registration)
        self._drop_binding(worker, trigger_id, wanted=removed)
        return True

    def _drop_binding(self, worker: Worker, trigger_id: str, *, wanted: bool = True) -> None:
        """`wanted`: some worker asked for it."""
        binding = worker.registrations.get((BINDING, "", trigger_id))
        if binding is not None:
            self._drop(worker, binding.key)
            if wanted and isinstance(binding.body, Trigger):
                self._types.unregistered(binding.body)

    # -- services ----------------------------------------------------------------------------------

    def register_service(self, worker: Worker, message: messages.RegisterService) -> None:
        definition = _definition(
            name=_text(message.name or message.id),
            description=_text(message.description),
            parent_service_id=_text(message.parent_service_id),
        )
        self._put(worker, SERVICE, worker.namespace, message.id, definition)

    # -- whole connections -------------------------------------------------------------------------

    def move(self, worker: Worker, namespace: str) -> None:
        """The worker announced its namespace: what it registered so far belongs there."""
        old, worker.namespace = worker.namespace, namespace
        for registration in list(worker.registrations.values()):
            body = registration.body
            if isinstance(body, Trigger):
                moved = msgspec.structs.replace(body, home=namespace)
                self._put(worker, registration.kind, "", registration.id, moved)
            elif registration.namespace == old:
                self._drop(worker, registration.key)
                if registration.kind == FUNCTION and self._reserved(registration.id, namespace):
                    self.refuse_reserved(worker, registration.id, namespace)
                    continue
                put = self._put(worker, registration.kind, namespace, registration.id, body, registration.outside)
                if put and registration.kind == FUNCTION:
                    self._routes.export(namespace, registration.id, worker.target, trusted=not worker.realm)

    def release(self, worker: Worker) -> None:
        """The connection is closed: stop serving and announcing; the coordinator takes it off the shards."""
        for registration in worker.registrations.values():
            self._announcer.forget(registration)
            if registration.kind == FUNCTION:
                self._routes.withdraw(registration.namespace, registration.id, worker.target)
        worker.registrations.clear()

    def withdraw_all(self, worker: Worker) -> None:
        """Take everything off the shards at once: its owner is, or soon will be, on another connection.

        Its triggers stay bound until it registers them there.
        """
        for key in list(worker.registrations):
            self._drop(worker, key, back=True)

    def withdraw_functions(self, worker: Worker) -> None:
        """As `withdraw_all`, for what others may be calling: they wait for the next connection."""
        for key in [key for key in worker.registrations if key[0] == FUNCTION]:
            self._drop(worker, key, back=True)

    def reincarnate(self, worker: Worker, node: str) -> None:
        """The worker's connection belongs to `node` now; the announcer is told by itself."""
        worker.registrations = {key: known.moved_to(node) for key, known in worker.registrations.items()}

    def _no_room(self, worker: Worker, count: int = 1) -> str:
        """Why it may not register `count` things more; "" if it may."""
        limits = self._limits
        if self._max and len(worker.registrations) + count > self._max:
            reason = f"a connection may register {self._max} things"
        elif self._announcer.count + count > limits.registrations:
            reason = f"the workers of the cluster may register {limits.cluster.registrations} things"
        else:
            return ""
        limits.refused_registrations += 1
        return reason

    def _put(
        self,
        worker: Worker,
        kind: str,
        namespace: str,
        name: str,
        body: bytes | Trigger,
        outside: "HttpFunction | None" = None,
    ) -> bool:
        stamp = self.stamps.next()
        registration = Registration(kind, worker.owner, namespace, name, stamp, body, worker.realm, outside)
        known = registration.key in worker.registrations
        if not known and (reason := self._no_room(worker)):
            worker.drop(f"{kind} {name}", reason)
            return False
        if not isinstance(body, Trigger) and len(body) > MAX_DEFINITION:
            worker.drop(f"{kind} {name}", f"a definition may have {MAX_DEFINITION} bytes")
            return False
        worker.registrations[registration.key] = registration
        shard = self._announcer.put(registration)
        if shard:
            self._backpressure.to_node(worker, shard)
        return True

    def _revoked(self, worker: Worker, key: tuple[str, str, str], stamp: int) -> Registration | None:
        """Take the registration a shard speaks of; None if the worker has registered it again since."""
        registration = worker.registrations.get(key)
        if registration is None or (stamp and registration.stamp > stamp):
            return None
        return worker.registrations.pop(key)

    def _drop(self, worker: Worker, key: tuple[str, str, str], *, back: bool = False) -> bool:
        registration = worker.registrations.pop(key, None)
        if registration is None:
            return False
        self._announcer.drop(registration, back=back)
        if registration.kind == FUNCTION:
            self._routes.withdraw(registration.namespace, registration.id, worker.target)
        return True


def _text(value: str | None) -> msgspec.Raw:
    return messages.ABSENT if value is None else msgspec.Raw(msgspec.json.encode(value))


def _definition(**members: msgspec.Raw) -> bytes:
    """A JSON object of what was given; absent and null members are left out."""
    return msgspec.json.encode({name: raw for name, raw in members.items() if not messages.is_null(raw)})
