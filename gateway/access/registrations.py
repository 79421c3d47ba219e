"""What workers under rules register: who may what, hooks, prefixes, and the names things get."""

from collections.abc import Awaitable, Callable

import msgspec
from msgspec.structs import replace

from gateway.announcer import BINDING, FUNCTION, TRIGGER_TYPE
from gateway.core import GatewayCore
from gateway.worker import Worker
from iii_cluster.access.reserved import Reserved
from iii_cluster.access.rules import Access, Verdict, denial
from iii_cluster.access.triggers import named_functions, scoped
from iii_cluster.protocol import errors, messages
from iii_cluster.protocol.errors import EngineError
from iii_cluster.protocol.frames import trigger_failed

from . import hooks
from .decisions import Decisions, not_for_others
from .guarded import Named
from .hooks import Denied
from .line import Line, guarded_of

Ask = Callable[[str, bytes], Awaitable[bytes]]  # calls a hook; raises EngineError, also when it takes too long
Calls = Callable[[Worker, messages.InvokeFunction], None]


class Registrations:
    """What needs no hook and no metadata is decided at once, like the registrations of all others."""

    def __init__(self, core: GatewayCore, ask: Ask, reserved: Reserved, decisions: Decisions, call: Calls) -> None:
        """`call` takes calls that waited behind a registration."""
        self._registry = core.registry
        self._canonical = core.types.canonical
        self._ask = ask
        self._reserved = reserved
        self._decisions = decisions
        self._call = call
        self.line = Line(self._in_turn)

    def take(self, worker: Worker, message: messages.Message) -> None:
        guarded = guarded_of(worker)
        if guarded.held or guarded.moving or _waits(guarded.access, message):
            self.line.put(worker, message)
        else:
            self._at_once(worker, message)

    def _at_once(self, worker: Worker, message: messages.Message) -> None:
        guarded = guarded_of(worker)
        try:
            match message:
                case messages.RegisterFunction():
                    _check_function(guarded.access, message)
                    self._put_function(worker, message.id, message)
                case messages.RegisterTriggerType():
                    _check_type(guarded.access, message)
                    self._put_type(worker, message.id, message)
                case messages.RegisterTrigger():
                    final = self._final(guarded.access, message)
                    self._put_trigger(
                        worker, message, final, self._why_not_by_id(guarded.access, message.function_id, final)
                    )
                case messages.UnregisterFunction():
                    function = guarded.forget_function(message.id)
                    if function is not None:
                        self._registry.unregister_function(worker, replace(message, id=function))
                case messages.UnregisterTriggerType():
                    type = guarded.forget_type(message.id)
                    if type is not None:
                        self._registry.unregister_trigger_type(worker, replace(message, id=type))
                case messages.UnregisterTrigger():
                    trigger = guarded.forget_trigger(message.id)
                    self._registry.unregister_trigger(worker, replace(message, id=trigger))
                case messages.RegisterService():
                    raise Denied("workers under rules announce no services")
                case messages.InvokeFunction():
                    self._call(worker, message)
        except Denied as denied:
            _dropped(worker, message, denied)

    async def _in_turn(self, worker: Worker, message: messages.Message) -> None:
        access = guarded_of(worker).access
        try:
            if isinstance(message, messages.RegisterFunction):
                _check_function(access, message)
                function = await self._ask_about_function(access, message, worker.namespace)
                if not worker.gone:
                    self._put_function(worker, message.id, function)
            elif isinstance(message, messages.RegisterTriggerType):
                _check_type(access, message)
                type = await self._ask_about_type(access, message)
                if not worker.gone:
                    self._put_type(worker, message.id, type)
            elif isinstance(message, messages.RegisterTrigger):
                trigger, reason = await self.decide_trigger(access, message)
                if not worker.gone:
                    self._put_trigger(worker, message, trigger, reason)
            else:
                self._at_once(worker, message)
        except Denied as denied:
            _dropped(worker, message, denied)

    # -- functions ---------------------------------------------------------------------------------

    async def _ask_about_function(
        self, access: Access, message: messages.RegisterFunction, namespace: str
    ) -> messages.RegisterFunction:
        if not access.hooks.function:
            return message
        answer = await self._answer(access.hooks.function, hooks.function_input(access, message, namespace))
        return hooks.function_as_answered(message, answer)

    def _put_function(self, worker: Worker, own: str, message: messages.RegisterFunction) -> None:
        guarded = guarded_of(worker)
        registered = _fitting(guarded.access.prefix + message.id)
        if (worker.namespace, registered) in self._reserved:
            self._registry.refuse_reserved(worker, own, worker.namespace)
            return
        before = guarded.forget_function(own)
        if before is not None and before != registered:
            self._registry.unregister_function(worker, messages.UnregisterFunction(before))
        self._registry.register_function(worker, replace(message, id=registered))
        if (FUNCTION, worker.namespace, registered) in worker.registrations:
            guarded.name_function(own, registered)

    # -- trigger types -----------------------------------------------------------------------------

    async def _ask_about_type(
        self, access: Access, message: messages.RegisterTriggerType
    ) -> messages.RegisterTriggerType:
        if not access.hooks.trigger_type:
            return message
        answer = await self._answer(access.hooks.trigger_type, hooks.type_input(access, message))
        return hooks.type_as_answered(message, answer)

    def _put_type(self, worker: Worker, own: str, message: messages.RegisterTriggerType) -> None:
        guarded = guarded_of(worker)
        before = guarded.forget_type(own)
        if before is not None and before != message.id:
            self._registry.unregister_trigger_type(
                worker, messages.UnregisterTriggerType(before, namespace=message.namespace)
            )
        self._registry.register_trigger_type(worker, message)
        namespace = worker.namespace if message.namespace is None else message.namespace
        if (TRIGGER_TYPE, namespace, message.id) in worker.registrations:
            guarded.name_type(own, message.id)

    # -- triggers ----------------------------------------------------------------------------------

    async def decide_trigger(
        self, access: Access, message: messages.RegisterTrigger
    ) -> tuple[messages.RegisterTrigger, str]:
        """The trigger as it is to be registered, and why its owner is told that it is not; "" if it is.

        Raises Denied for what nobody is told of.
        """
        own = message
        self._check_trigger_type(access, message.trigger_type)
        if access.hooks.trigger:
            answer = await self._answer(access.hooks.trigger, hooks.trigger_input(access, message))
            message = hooks.trigger_as_answered(message, answer)
        final = self._final(access, message)
        for namespace, function, spoken in _called(final, own.function_id):
            if not self._decisions.for_others(namespace, function):
                return final, not_for_others(spoken)
            verdict = await self._decisions.wait(access, namespace, function)
            if verdict is not Verdict.ALLOWED:
                return final, denial(spoken, verdict)
        return final, ""

    def _why_not_by_id(self, access: Access, own: str, final: messages.RegisterTrigger) -> str:
        """As above, when no metadata decides; `own` is what the worker calls the target."""
        for namespace, function, spoken in _called(final, own):
            if not self._decisions.for_others(namespace, function):
                return not_for_others(spoken)
            verdict = access.verdict(namespace, function)
            if verdict is not Verdict.ALLOWED:
                return denial(spoken, verdict)
        return ""

    def _final(self, access: Access, message: messages.RegisterTrigger) -> messages.RegisterTrigger:
        self._check_trigger_type(access, message.trigger_type)
        return replace(
            message,
            id=_fitting(scoped(access.realm, message.id)),
            function_id=_fitting(access.prefix + message.function_id),
        )

    def _check_trigger_type(self, access: Access, type: str) -> None:
        if not access.may_use_type(type, self._canonical):
            raise Denied(f"it may not use the trigger type {type}")

    def _put_trigger(
        self, worker: Worker, own: messages.RegisterTrigger, final: messages.RegisterTrigger, reason: str
    ) -> None:
        if reason:
            error = errors.error_body(errors.FORBIDDEN, reason)
            worker.outlet.send(trigger_failed(own.id, own.trigger_type, own.function_id, error))
            return
        guarded = guarded_of(worker)
        before = guarded.trigger(own.id)
        if before != final.id and before in guarded.triggers:
            self._registry.unregister_trigger(worker, messages.UnregisterTrigger(before))
        guarded.name_trigger(Named(own.id, own.trigger_type, own.function_id), final.id)
        self._registry.register_trigger(worker, final)
        if (BINDING, "", final.id) not in worker.registrations:
            guarded.forget_trigger(own.id)

    async def _answer(self, hook: str, asked: bytes) -> bytes:
        """Whatever goes wrong is a denial."""
        try:
            return await self._ask(hook, asked)
        except EngineError as error:
            raise Denied(f"{hook} failed: {error}") from None


def _waits(access: Access, message: messages.Message) -> bool:
    """Whether somebody has to be asked."""
    if isinstance(message, messages.RegisterTrigger):
        return bool(access.hooks.trigger) or access.by_metadata
    if isinstance(message, messages.RegisterFunction):
        return bool(access.hooks.function)
    return isinstance(message, messages.RegisterTriggerType) and bool(access.hooks.trigger_type)


def _check_function(access: Access, message: messages.RegisterFunction) -> None:
    if not access.allow_functions:
        raise Denied("it may not register functions")
    if not messages.is_null(message.invocation):
        raise Denied("the gateway makes no requests for workers under rules")


def _check_type(access: Access, message: messages.RegisterTriggerType) -> None:
    if not access.allow_types:
        raise Denied("it may not register trigger types")
    if access.namespaces and message.namespace is not None and message.namespace not in access.namespaces:
        raise Denied("the namespace is none of its own")


def _called(trigger: messages.RegisterTrigger, own: str) -> list[tuple[str, str, str]]:
    """Every function that the trigger could have called: namespace, id, and the id in the words of its worker."""
    try:
        named = named_functions(bytes(trigger.config))
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        raise Denied("its config cannot be read") from None
    namespace = trigger.namespace or "default"
    return [(namespace, trigger.function_id, own), *((namespace, function, function) for function in named)]


def _fitting(id: str) -> str:
    if len(id) > messages.MAX_ID:
        raise Denied(f"its id would have more than {messages.MAX_ID} characters")
    return id


def _dropped(worker: Worker, message: messages.Message, denied: Denied) -> None:
    name = getattr(message, "id", "")
    worker.drop(f"{type(message).__name__.lower()} {name}", str(denied))
