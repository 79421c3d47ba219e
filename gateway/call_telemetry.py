"""What is told of the calls made through a gateway: how long each took and how it ended, and its span. Pure.

A call is begun once, when it is made, and ends when `Call.finish` is called for the first time: whatever happened to it
in between, to which connections it moved and how often it was sent.
"""

import time
from collections.abc import Callable
from typing import Protocol

from iii_cluster.protocol.messages import MAX_ID
from iii_cluster.telemetry.kinds import is_observability, kind_of
from iii_cluster.telemetry.records import Kind
from iii_cluster.telemetry.spool import Spool
from iii_cluster.telemetry.tracing import Tracer

from .call import Call

# Attributes and events of the spans.
CALLEE = "iii.node.callee"
PARKED = "call.parked"
REFUSED = "call.refused"
MOVED = "call.moved"


class Counter(Protocol):
    """Ids are those of functions; of another namespace than "default", "namespace/id"."""

    def ended(self, function: str, seconds: float, error: bytes) -> None: ...

    def deferred(self, function: str) -> None: ...

    def exemplar(self, function: str, seconds: float, trace_id: str) -> None: ...


class CallTelemetry:
    """Of one gateway, through all its incarnations."""

    def __init__(
        self,
        tracer: Tracer | None = None,
        functions: Counter | None = None,
        clock: Callable[[], float] = time.perf_counter,
    ) -> None:
        """`functions` counts what ended, if anybody does; `clock` gives seconds."""
        self.tracer = tracer or Tracer(Spool(), enabled=False)
        self._functions = functions
        self._clock = clock
        self._told = self._ended  # bound once

    def begin(self, call: Call, *, root: bool) -> None:
        """The call is made now. With `root` it may be the beginning of a trace, unless it is of the engine's own."""
        call.began = self._clock()
        call.on_end = self._told
        if self.tracer.enabled and (root or call.trace[0]):
            self._trace(call, root=root)

    def refuse(self, call: Call) -> None:
        """The call is made, and about to end with an error."""
        if len(call.function) <= MAX_ID and len(call.namespace) <= MAX_ID:
            self.begin(call, root=False)

    def measure(self, call: Call) -> None:
        """The call is made now, as a part of something that has a span."""
        call.began = self._clock()
        call.on_end = self._told

    def begin_enqueue(self, call: Call, queue: str) -> None:
        """The call is about to be put into a queue."""
        call.on_end = self._enqueued
        tracer, function = self.tracer, call.function
        if not tracer.enabled:
            return
        root = kind_of(function) == "user"
        recording = tracer.begin(
            f"enqueue {function} → {queue}", call.trace, Kind.PRODUCER, root=root, function=function
        )
        if recording is not None:
            recording.set("queue", queue)
            recording.set("iii.function.kind", kind_of(function))
            recording.set("messaging.system", "iii-queue")
            recording.set("messaging.destination.name", queue)
            recording.set("messaging.operation.type", "send")
            call.record(recording)

    def _trace(self, call: Call, *, root: bool) -> None:
        function = call.function
        kind = kind_of(function)
        root = root and kind == "user"
        if is_observability(function) or not (root or call.trace[0]):
            return
        recording = self.tracer.begin(f"call {function}", call.trace, Kind.SERVER, root=root, function=function)
        if recording is not None:
            recording.set("faas.invoked_name", function)
            recording.set("faas.trigger", "other")
            recording.set("iii.function.kind", kind)
            if call.namespace != "default":
                recording.set("iii.namespace", call.namespace)
            call.record(recording)

    def _ended(self, call: Call, error: bytes) -> None:
        seconds = self._clock() - call.began
        name = _name(call)
        if self._functions is not None:
            self._functions.ended(name, seconds, error)
        if call.recording is not None:
            call.recording.end(error)
            if self._functions is not None:
                self._functions.exemplar(name, seconds, call.recording.trace_id)

    def _enqueued(self, call: Call, error: bytes) -> None:
        if self._functions is not None and not error:
            self._functions.deferred(_name(call))
        if call.recording is not None:
            call.recording.end(error)


def _name(call: Call) -> str:
    return call.function if call.namespace == "default" else f"{call.namespace}/{call.function}"
