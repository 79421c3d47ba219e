"""What becomes of the frames of workers under rules: the checks before the handlers of all others."""

import logging
from collections.abc import Callable
from functools import partial
from typing import Any

import msgspec

from gateway.call import Call
from gateway.core import GatewayCore
from gateway.worker import Handlers, Worker
from iii_cluster.access.reserved import Reserved
from iii_cluster.access.rules import Access, Verdict, denial
from iii_cluster.protocol import errors, messages

from .decisions import Decisions, not_for_others
from .guarded import Guarded
from .hooks import middleware_input
from .registrations import Ask, Registrations

log = logging.getLogger(__name__)

REGISTER_WORKER = "engine::workers::register"
ENQUEUE = "engine::queue::enqueue"
# These call functions again that others were allowed to call: no wildcard gives that away.
_BY_FULL_ID = frozenset({"iii::queue::redrive", "iii::queue::redrive_message"})

_MAX_UUID = 38  # characters with its quotes


class _Announced(msgspec.Struct):
    namespace: str | None = None


class _Job(msgspec.Struct):
    function_id: str
    namespace: str | None = None


class Guard:
    """Of all connections of a gateway that are under rules."""

    def __init__(self, core: GatewayCore, ask: Ask, reserved: Reserved) -> None:
        """`ask` calls a hook, with a time limit."""
        self._core = core
        self.decisions = Decisions(core.routes, core.builtins)
        self.registrations = Registrations(core, ask, reserved, self.decisions, self._on_call)
        core.guard = self._handlers
        core.offers.may_know = self._may_know
        own = dict(core.handlers)
        self._calls: Handlers = {**own, messages.InvokeFunction: self._on_invoke}  # a middleware, no rules
        registrations: dict[type, Callable[[Worker, Any], None]] = dict.fromkeys(
            (
                messages.RegisterFunction,
                messages.UnregisterFunction,
                messages.RegisterTriggerType,
                messages.UnregisterTriggerType,
                messages.RegisterTrigger,
                messages.UnregisterTrigger,
                messages.RegisterService,
            ),
            self.registrations.take,
        )
        self._all: Handlers = {
            **own,
            **registrations,
            messages.InvokeFunction: self._on_invoke,
            messages.InvocationResult: self._on_result,
        }

    def _handlers(self, worker: Worker) -> Handlers:
        access = worker.access
        assert access is not None
        worker.guarded = Guarded(access)
        worker.special = access.restricted
        return self._all if access.restricted else self._calls

    def close(self) -> None:
        self.registrations.line.close()

    # -- calls -------------------------------------------------------------------------------------

    def _on_invoke(self, worker: Worker, message: messages.InvokeFunction) -> None:
        guarded = worker.guarded
        assert guarded is not None
        if guarded.waiting and not guarded.held:
            self.registrations.line.put(worker, message)  # it may call what is being registered
        else:
            self._on_call(worker, message)

    def _on_call(self, worker: Worker, message: messages.InvokeFunction) -> None:
        namespace = "default" if message.namespace is None else message.namespace
        function = message.function_id
        if messages.is_blank(namespace) or len(function) > messages.MAX_ID or len(namespace) > messages.MAX_ID:
            self._core.on_invoke(worker, message)  # which refuses it
            return
        if isinstance(message.action, messages.Enqueue) and not self._for_others(worker, namespace, function):
            self._refuse(worker, message, not_for_others(function))
            return
        size = len(bytes(message.data)) + len(bytes(message.metadata))
        told = partial(self._decided, worker, message, namespace)
        self._decide(worker, namespace, function, size, told)

    def _decide(
        self, worker: Worker, namespace: str, function: str, size: int, then: Callable[[Verdict], None]
    ) -> None:
        """Calls that wait for a shard are bounded like all that do."""
        access, backpressure = _access(worker), self._core.backpressure
        if access.verdict(namespace, function) is not Verdict.METADATA:
            self.decisions.ask(access, namespace, function, then)
            return
        backpressure.to_lookup(worker, size)

        def known(verdict: Verdict) -> None:
            backpressure.looked_up(size)
            then(verdict)

        self.decisions.ask(access, namespace, function, known)

    def _decided(self, worker: Worker, message: messages.InvokeFunction, namespace: str, verdict: Verdict) -> None:
        if worker.gone:
            return
        function = message.function_id
        if verdict is not Verdict.ALLOWED:
            self._refuse(worker, message, denial(function, verdict))
        elif namespace == "default" and function in self._core.builtins:
            self._on_builtin(worker, message)
        else:
            self._go_on(worker, message, namespace)

    def _for_others(self, worker: Worker, namespace: str, function: str) -> bool:
        return not _access(worker).restricted or self.decisions.for_others(namespace, function)

    def _on_builtin(self, worker: Worker, message: messages.InvokeFunction) -> None:
        """What it asks for in its input is checked as well."""
        function = message.function_id
        restricted = _access(worker).restricted
        if function == REGISTER_WORKER:
            self._on_announcement(worker, message)
        elif restricted and function in _BY_FULL_ID and not _access(worker).names(function):
            self._refuse(worker, message, f"function '{function}' not allowed (name it in full to allow it)")
        elif restricted and function == ENQUEUE:
            self._on_job(worker, message)
        elif function.startswith("engine::") and not function.startswith("engine::queue::"):
            self._core.on_invoke(worker, message)  # no middleware sees the engine's own
        else:
            self._go_on(worker, message, "default")

    def _on_announcement(self, worker: Worker, message: messages.InvokeFunction) -> None:
        access, guarded = _access(worker), worker.guarded
        assert guarded is not None
        try:
            namespace = msgspec.json.decode(bytes(message.data) or b"{}", type=_Announced).namespace or "default"
        except (msgspec.MsgspecError, RecursionError):
            self._core.on_invoke(worker, message)  # which refuses it
            return
        if access.namespaces and namespace not in access.namespaces and not worker.announced:
            self._refuse(worker, message, f"namespace '{namespace}' not allowed (add to the namespaces of the worker)")
            return
        self._core.on_invoke(worker, message)
        if worker.announced:
            guarded.release()

    def _on_job(self, worker: Worker, message: messages.InvokeFunction) -> None:
        """It names the function that the queue will call."""
        try:
            job = msgspec.json.decode(bytes(message.data), type=_Job)
        except (msgspec.MsgspecError, RecursionError):
            self._go_on(worker, message, "default")  # nothing that the queue takes
            return
        namespace = job.namespace or "default"
        if not self.decisions.for_others(namespace, job.function_id):
            self._refuse(worker, message, not_for_others(job.function_id))
            return

        def decided(verdict: Verdict) -> None:
            if worker.gone:
                return
            if verdict is Verdict.ALLOWED:
                self._go_on(worker, message, "default")
            else:
                self._refuse(worker, message, denial(job.function_id, verdict))

        self._decide(worker, namespace, job.function_id, len(bytes(message.data)), decided)

    def _go_on(self, worker: Worker, message: messages.InvokeFunction, namespace: str) -> None:
        """To the middleware, or on as everybody's calls."""
        middleware = _access(worker).middleware
        if not middleware or ("function", "default", middleware) in worker.registrations:
            self._core.on_invoke(worker, message)  # also what the middleware itself calls
        else:
            self._through(worker, message, namespace, middleware)

    def _through(self, worker: Worker, message: messages.InvokeFunction, namespace: str, middleware: str) -> None:
        """The middleware is called instead; how that ends is how the call ends, whatever its action."""
        raw_id = usable_id(message)
        if raw_id is None:
            worker.drop("invokefunction", "invocation_id is not a UUID")
            return
        trace = (bytes(message.traceparent), bytes(message.baggage))
        wanted = b"" if isinstance(message.action, messages.Void) else raw_id
        if wanted and not self._core.may_call(worker):
            self._core.refuse_more(worker, wanted, message)
            return
        call = Call(worker, wanted, namespace, message.function_id, b"", trace)
        reply = self._core.invocations.answering(call)
        data = middleware_input(_access(worker), message, namespace)
        asked = Call(None, b"", "default", middleware, data, trace, done=reply, feeder=worker)
        self._core.telemetry.begin(asked, root=True)
        self._core.own.go_on(asked)

    def _refuse(self, worker: Worker, message: messages.InvokeFunction, reason: str) -> None:
        """The caller is told even if it wants no answer."""
        raw_id = usable_id(message)
        if raw_id is None:
            worker.drop("invokefunction", "invocation_id is not a UUID")
            return
        trace = (bytes(message.traceparent), bytes(message.baggage))
        wanted = raw_id or b'"%b"' % self._core.ids.new().encode()
        call = Call(worker, wanted, message.namespace or "default", message.function_id, b"", trace)
        self._core.telemetry.refuse(call)
        call.finish(b"", errors.error_body(errors.FORBIDDEN, reason))

    # -- answers, and triggers of other workers ----------------------------------------------------

    def _on_result(self, worker: Worker, message: messages.InvocationResult) -> None:
        """Only to calls that it was given, on this connection or on one that it proved to be its own."""
        guarded = worker.guarded
        assert guarded is not None
        id = message.invocation_id
        if id in guarded.inherited:
            guarded.inherited.discard(id)
        elif id not in worker.serving:
            worker.drop("invocationresult", "it was not given this call")
            return
        self._core.on_result(worker, message)

    def _may_know(self, worker: Worker, namespace: str, function: str, told: Callable[[bool], None]) -> None:
        """A provider calls the targets of its triggers, so it hears of those that it may call."""
        access = _access(worker)
        self.decisions.ask(access, namespace, function, lambda verdict: told(verdict is Verdict.ALLOWED))


def usable_id(message: messages.InvokeFunction) -> bytes | None:
    """As the caller wrote it, empty for none; None when it cannot be one."""
    raw_id = bytes(message.invocation_id)
    if raw_id in (b"", b"null"):
        return b""
    return raw_id if len(raw_id) == _MAX_UUID and raw_id[0] == 0x22 else None


def _access(worker: Worker) -> Access:
    assert worker.access is not None
    return worker.access
