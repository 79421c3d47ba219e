"""What a gateway does with each frame of a worker and each envelope of a node. Pure: `Effects` does the rest."""

import logging
from collections.abc import Callable, Mapping
from typing import Protocol

import msgspec
from msgspec.structs import replace

from iii_cluster.access.rules import Access
from iii_cluster.bus.envelopes import (
    Cleanup,
    CleanupDone,
    Owner,
    RejectFunction,
    RevokeTrigger,
    TriggerFailed,
)
from iii_cluster.bus.outbox import Links
from iii_cluster.cluster.map import ClusterMap
from iii_cluster.config.settings import Duplicates
from iii_cluster.modules.module import TriggerType
from iii_cluster.protocol import errors, frames, messages
from iii_cluster.protocol.payload import BadPayload, check_text, why_unreadable, with_caller
from iii_cluster.protocol.unreadable import about
from iii_cluster.routing.ids import Ids
from iii_cluster.routing.table import RouteTable
from iii_cluster.telemetry.context import NO_TRACE

from .announcer import Announcer
from .answering import Builtin, OwnFunctions
from .backpressure import Backpressure, target_released
from .call import Call
from .call_telemetry import CallTelemetry
from .enqueue import enqueue
from .invocations import Invocations
from .limits import Limits
from .membership import WorkerMembership
from .module_types import ModuleTypes
from .offers import Offers
from .registry import Registry
from .worker import Handlers, Outlet, Worker

log = logging.getLogger(__name__)


class Effects(Links, Protocol):
    def reattach(self, worker: Worker, previous: str, token: str) -> None:
        """Retire the old connection, wherever it is; hold the new one's frames until that is done."""


class GatewayCore:
    """Everything a gateway knows, and what it does with what it hears."""

    def __init__(
        self,
        node: str,
        effects: Effects,
        *,
        duplicates: Duplicates = Duplicates.BALANCE,
        max_registrations: int = 0,
        reattach_window: float = 0.0,
        types: Mapping[str, TriggerType] | None = None,
        limits: Limits | None = None,
        telemetry: CallTelemetry | None = None,
    ) -> None:
        """`types` are the modules', by all their names."""
        self.node = node
        self.effects = effects
        self.ids = Ids(node)
        self.limits = limits or Limits()
        self.telemetry = telemetry or CallTelemetry()
        self._shared_calls = self.limits.cluster.in_flight > 0
        self.workers: dict[int, Worker] = {}
        self.by_id: dict[str, Worker] = {}
        self.builtins: dict[str, Builtin] = {}
        self.routes = RouteTable(node, effects, trust_local=duplicates is Duplicates.BALANCE, released=target_released)
        self.backpressure = Backpressure(self.routes, effects)
        self.invocations = Invocations(
            node, self.ids, self.routes, self.workers, self.backpressure, effects, reattach_window
        )
        self.own = OwnFunctions(self.builtins, self.invocations, self.telemetry)
        self.offers = Offers(self.workers, lambda: self.map, effects)
        self.on_offer = self.offers.on_offer
        self.on_withdraw = self.offers.on_withdraw
        self.announcer = Announcer(effects, self.offers.of)
        self.types = ModuleTypes(types or {})
        self.registry = Registry(
            self.announcer,
            self.routes,
            self.builtins,
            self.types,
            self.backpressure,
            effects,
            max_registrations,
            self.limits,
        )
        self.membership = WorkerMembership(self.workers, effects)
        self._next_conn = 0
        self.guard: Callable[[Worker], Handlers] = lambda _: {}  # handlers of workers that may not do everything
        self.handlers: Handlers = {
            messages.InvokeFunction: self.on_invoke,
            messages.InvocationResult: self.on_result,
            messages.RegisterFunction: self.registry.register_function,
            messages.UnregisterFunction: self.registry.unregister_function,
            messages.RegisterTriggerType: self.registry.register_trigger_type,
            messages.UnregisterTriggerType: self.registry.unregister_trigger_type,
            messages.RegisterTrigger: self.registry.register_trigger,
            messages.UnregisterTrigger: self.registry.unregister_trigger,
            messages.RegisterService: self.registry.register_service,
            messages.TriggerRegistrationResult: self.offers.answered,
            messages.Reattach: self._on_reattach,
            messages.Ping: lambda worker, _: worker.outlet.send(frames.PONG),
            messages.Pong: lambda _worker, _message: None,
        }

    @property
    def map(self) -> ClusterMap:
        return self.announcer.map

    # -- workers -----------------------------------------------------------------------------------

    def connect(self, outlet: Outlet, address: str, token: str, access: Access | None = None) -> Worker:
        """A socket finished its handshake; `token` is its reattach secret. Without `access` it may do anything."""
        self._next_conn += 1
        owner = Owner(self.node, self._next_conn, self.ids.new())
        target = self.routes.own_target(owner.conn, owner.worker)
        worker = Worker(owner, token, outlet, target, address, self.handlers)
        if access is not None:
            worker.access, worker.realm = access, access.realm
            worker.handlers = self.guard(worker)
        self.workers[owner.conn] = worker
        self.by_id[owner.worker] = worker
        outlet.send(frames.worker_registered(worker.id, token))
        return worker

    def disconnect(self, worker: Worker, *, back: bool, in_order: bool = False) -> None:
        """The socket is closed; the coordinator cleans up after it.

        With `back` that was not the worker's wish: it is expected on another connection, and its calls are kept.
        With `in_order` nothing that was on its way to the worker, or from it, was lost.
        """
        if worker.gone:
            return
        if back:
            self.registry.withdraw_functions(worker)
        worker.gone = True
        self.workers.pop(worker.number, None)
        self.by_id.pop(worker.id, None)
        self.registry.release(worker)
        self.routes.release_target(worker.target)
        self.invocations.losses.worker_gone(worker, back=back, in_order=in_order, now=self.routes.now)
        self.backpressure.worker_reads_again(worker)
        self.membership.down(worker, back=back)

    @property
    def unfinished(self) -> bool:
        """Calls have not ended yet, or their answers wait for callers that are expected back."""
        calls = self.invocations
        return calls.in_flight > 0 or calls.kept > 0 or calls.outside.in_flight > 0

    def withdraw(self, worker: Worker) -> None:
        """The connection will be closed soon: nothing new for it, its worker is expected elsewhere."""
        self.registry.withdraw_all(worker)

    def send_away(self, worker: Worker) -> None:
        """The connection is about to be closed: answers are for the next one."""
        self.invocations.losses.leaving(worker)

    def retire(self, worker_id: str, token: str, same: Callable[[str, str], bool], realm: str = "") -> bool:
        """Evict a connection whose worker proved to be back on another one; `same` compares secrets.

        One of another realm than the new one stays: its calls must not get into a connection with other rights.
        """
        worker = self.by_id.get(worker_id)
        if worker is None or worker.realm != realm or not same(worker.token, token):
            return False
        log.info("action=worker_retired worker=%s", worker.id)
        self.registry.withdraw_all(worker)
        worker.outlet.abort()
        self.disconnect(worker, back=True)
        return True

    def hold(self, worker: Worker) -> None:
        """Let the worker's frames wait; its socket is not read meanwhile."""
        if worker.held is None:
            worker.held = []
            worker.outlet.pause()

    def unhold(self, worker: Worker) -> None:
        """Go on with what waited, in order."""
        held, worker.held = worker.held or [], None
        for at, text in enumerate(held):
            self.on_text(worker, text)
            if worker.held is not None:  # one of them made it wait again
                worker.held += held[at + 1 :]
                break
        worker.outlet.resume()

    # -- frames ------------------------------------------------------------------------------------

    def on_text(self, worker: Worker, text: bytes) -> None:
        """One message of a worker. Bad ones are logged and dropped; nothing else happens to the connection."""
        if worker.gone:
            return
        if worker.held is not None:
            worker.held.append(text)
            return
        try:
            check_text(text)
            message = messages.decode(text)
        except (msgspec.MsgspecError, RecursionError, BadPayload) as error:
            if text.strip():
                self._unreadable(worker, text, why_unreadable(text, error))
            return
        if not worker.known:
            worker.known = True
            self.membership.up(worker)
        self._handle(worker, message)

    def _handle(self, worker: Worker, message: messages.Message) -> None:
        try:
            worker.handlers[type(message)](worker, message)
        except Exception:
            log.exception("action=frame_failed worker=%s frame=%s", worker.id, type(message).__name__)

    def _unreadable(self, worker: Worker, text: bytes, reason: str) -> None:
        """Who would wait for the end of a call for ever, because this was its result, or the call, is told."""
        worker.drop("any", reason)
        said = about(text)
        if said.type == "invocationresult":
            error = errors.error_body(errors.SERIALIZATION_ERROR, f"the result cannot be read: {reason}")
            self._handle(
                worker, messages.InvocationResult(said.invocation_id, said.function_id, error=msgspec.Raw(error))
            )
        elif said.type == "invokefunction" and len(said.invocation_id) == messages.UUID:
            error = errors.error_body(errors.DESERIALIZATION_ERROR, f"the call cannot be read: {reason}")
            Call(worker, frames.text(said.invocation_id), "", said.function_id, b"").finish(b"", error)

    def on_invoke(self, worker: Worker, message: messages.InvokeFunction) -> None:
        raw_id = bytes(message.invocation_id)
        if raw_id == b"null":
            raw_id = b""
        elif raw_id and (len(raw_id) != messages.UUID + 2 or raw_id[0] != 0x22):
            worker.drop("invokefunction", "invocation_id is not a UUID")
            return
        action = message.action
        if type(action) is messages.Void:
            raw_id = b""
        elif raw_id and (len(worker.calling) >= self.limits.calls_of_one or (self._shared_calls and self._no_more())):
            self.refuse_more(worker, raw_id, message)
            return
        namespace = message.namespace
        if namespace is None:
            namespace = "default"
        elif messages.is_blank(namespace):
            self._refuse(worker, raw_id, message, errors.INVALID_NAMESPACE, errors.BLANK_NAMESPACE)
            return
        if len(message.function_id) > messages.MAX_ID or len(namespace) > messages.MAX_ID:
            self._refuse(
                worker, raw_id, message, errors.FUNCTION_NOT_FOUND, f"ids have at most {messages.MAX_ID} characters"
            )
            return
        absent = messages.ABSENT
        metadata = b"" if message.metadata is absent else bytes(message.metadata)
        trace = NO_TRACE
        if message.traceparent is not absent or message.baggage is not absent:
            trace = (bytes(message.traceparent), bytes(message.baggage))
        if type(action) is messages.Enqueue:
            call = Call(worker, raw_id, namespace, message.function_id, b"", trace)
            enqueue(self.own, self.telemetry, call, message, self.ids.new(), self.invocations.answering(call))
            return
        data = with_caller(bytes(message.data), worker.suffix)
        function = message.function_id
        call = Call(worker, raw_id, namespace, function, data, trace, metadata)
        if namespace == "default" and function in self.builtins:
            self.telemetry.begin(call, root=False)
            self.builtins[function](call, self.invocations.answering(call))
        else:
            telemetry = self.telemetry
            call.began, call.on_end = telemetry.clock(), telemetry.ended
            if telemetry.tracer.enabled:
                telemetry.trace(call, root=True)
            self.invocations.start(call)

    def _no_more(self) -> bool:
        """The cluster has all the calls it may have."""
        return self.invocations.waiting.count >= self.limits.calls

    def may_call(self, worker: Worker) -> bool:
        """Whether one more call of its may wait for an answer."""
        return len(worker.calling) < self.limits.calls_of_one and not self._no_more()

    def refuse_more(self, worker: Worker, raw_id: bytes, message: messages.InvokeFunction) -> None:
        """Too many of its calls, or of the whole cluster's, wait for their answers."""
        reason = self.limits.refuse_call(len(worker.calling))
        worker.drop(f"invokefunction {message.function_id}", reason)
        self._refuse(worker, raw_id, message, errors.LIMIT_EXCEEDED, reason)

    def _refuse(self, worker: Worker, raw_id: bytes, message: messages.InvokeFunction, code: str, reason: str) -> None:
        trace = (bytes(message.traceparent), bytes(message.baggage))
        call = Call(worker, raw_id, message.namespace or "default", message.function_id, b"", trace)
        self.telemetry.refuse(call)
        call.finish(b"", errors.error_body(code, reason))

    def on_result(self, worker: Worker, message: messages.InvocationResult) -> None:
        error = b"" if message.error is messages.ABSENT else errors.regular(bytes(message.error))
        result = bytes(message.result)
        self.invocations.on_result(worker, message.invocation_id, b"" if result == b"null" else result, error)

    def _on_reattach(self, worker: Worker, message: messages.Reattach) -> None:
        if message.reattach_token and message.previous_worker_id != worker.id:
            self.effects.reattach(worker, message.previous_worker_id, message.reattach_token)

    # -- envelopes ---------------------------------------------------------------------------------

    def on_trigger_failed(self, _node: str, said: TriggerFailed) -> None:
        worker = self.workers.get(said.conn)
        if worker is not None:
            self.registry.trigger_failed(worker, said.id, said.type, said.function, said.error)

    def on_revoke(self, _node: str, said: RevokeTrigger) -> None:
        worker = self.workers.get(said.conn)
        if worker is not None:
            revoked = self.registry.revoke_trigger(worker, said.id, said.stamp, removed=said.removed)
            if revoked and worker.guarded is not None:
                worker.guarded.revoked(said.id)

    def on_reject(self, _node: str, said: RejectFunction) -> None:
        worker = self.workers.get(said.conn)
        if worker is not None and self.registry.revoke_function(worker, said.namespace, said.id, said.stamp):
            own = said.id if worker.guarded is None else worker.guarded.rejected(said.id)
            worker.outlet.send(
                frames.function_rejected(errors.FUNCTION_NAMESPACE_CONFLICT, said.namespace, own, said.owner_worker)
            )

    def on_cleanup(self, node: str, said: Cleanup) -> None:
        """The coordinator's last steps. Own sockets ended their calls when they closed; this is for lost gateways."""
        if 0 < said.term < self.map.term:
            log.warning("action=cleanup_ignored node=%s term=%d", node, said.term)
            return
        self.invocations.outages.halt(owner for owner in said.owners if owner.node not in self.map.nodes)
        if said.step == "told":  # the last one: until then the next leader may have to hear of them again
            self.membership.cleaned(said.owners)
        self.effects.send(node, CleanupDone(said.job, said.step))

    # -- cluster changes ---------------------------------------------------------------------------

    def on_map(self, old: ClusterMap, new: ClusterMap) -> None:
        self.announcer.on_map(new)
        self.routes.on_map(new)  # first: calls that waited for a node that is gone need another way
        for node in old.nodes.keys() - new.nodes.keys():
            self._node_lost(node, f"{old.nodes[node].role} {node} was lost")
        self.membership.on_map(old, new)

    def on_reachable(self, node: str, on: bool) -> None:
        """Nobody listens at a node now, or somebody does again: a hint that calls should go elsewhere."""
        self.routes.set_avoided(node, not on)
        self.invocations.outages.node_reachable(node, on)

    def reincarnate(self, node: str) -> None:
        """Go on under a new node id: this gateway was cut off for so long that the cluster gave it up.

        Connections, what they registered and calls between them stay. The others forgot all of it, so the next map
        makes it known from scratch.
        """
        old, self.node = self.node, node
        log.warning("action=reincarnated old=%s new=%s workers=%d", old, node, len(self.workers))
        self.invocations.reincarnate(old, node, f"gateway {old} was cut off from the cluster")
        self.backpressure.reincarnate()
        self.routes.reincarnate(node)
        for worker in self.workers.values():
            worker.owner = replace(worker.owner, node=node)
            self.registry.reincarnate(worker, node)
        self.announcer.reincarnate(node)
        self.membership.reincarnate()

    def _node_lost(self, node: str, why: str) -> None:
        self.invocations.node_lost(node, why)
        self.backpressure.node_reset(node)

    def link_writable(self, node: str) -> None:
        """The link to a node takes mail again."""
        self.announcer.resume(node)
        if not self.effects.congested(node):
            self.backpressure.link_writable(node)

    def on_reset(self, node: str) -> None:
        """The link to a node was reset: what was under way is lost, what is registered is said again."""
        self._node_lost(node, f"the link to {node} was reset")
        self.announcer.on_reset(node)
        self.routes.on_reset(node)
        self.membership.on_reset(node)
