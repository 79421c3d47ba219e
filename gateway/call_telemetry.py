"""What is told of the calls made through a gateway: how long each took and how it ended, and its span. Pure.

A call is begun once, when it is made, and ends when `Call.finish` is called for the first time: whatever happened to it
in between, to which connections it moved and how often it was sent.
"""

import time
from collections.abc import Callable

from iii_cluster.protocol.messages import MAX_ID
from iii_cluster.telemetry.calls import Counter, begin_call
from iii_cluster.telemetry.context import left_out
from iii_cluster.telemetry.kinds import kind_of
from iii_cluster.telemetry.records import Kind
from iii_cluster.telemetry.spool import Spool
from iii_cluster.telemetry.tracing import Tracer

from .call import Call

# Events of the spans.
PARKED = "call.parked"
REFUSED = "call.refused"
MOVED = "call.moved"


class _Nobody:
    """Counts nothing."""

    def ended(self, function: str, seconds: float, error: bytes) -> None:
        pass

    def deferred(self, function: str) -> None:
        pass

    def exemplar(self, function: str, seconds: float, trace_id: str) -> None:
        pass


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
        self.clock = clock
        functions = functions or _Nobody()
        count, exemplar, self._deferred = functions.ended, functions.exemplar, functions.deferred

        def ended(call: Call, error: bytes) -> None:
            seconds = clock() - call.began
            count(call.function if call.namespace == "default" else _name(call), seconds, error)
            if call.recording is not None:
                call.recording.end(error)
                exemplar(_name(call), seconds, call.recording.trace_id)

        self.ended = ended  # a function of its own: it is on the path of every call

    def begin(self, call: Call, *, root: bool) -> None:
        """The call is made now. With `root` it may be the beginning of a trace, unless it is of the engine's own."""
        call.began, call.on_end = self.clock(), self.ended
        if self.tracer.enabled and not left_out(call.trace[0]):
            self.trace(call, root=root)

    def refuse(self, call: Call) -> None:
        """The call is made, and about to end with an error."""
        if len(call.function) <= MAX_ID and len(call.namespace) <= MAX_ID:
            self.begin(call, root=False)

    def measure(self, call: Call) -> None:
        """The call is made now, as a part of something that has a span."""
        call.began, call.on_end = self.clock(), self.ended

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

    def trace(self, call: Call, *, root: bool) -> None:
        """Give the call a span, if its trace is recorded."""
        if not call.trace[0] and (not root or self.tracer.sampler.declines()):
            return
        recording = begin_call(self.tracer, call.function, call.namespace, call.trace, root=root)
        if recording is not None:
            call.record(recording)

    def _enqueued(self, call: Call, error: bytes) -> None:
        if not error:
            self._deferred(_name(call))
        if call.recording is not None:
            call.recording.end(error)


def _name(call: Call) -> str:
    return call.function if call.namespace == "default" else f"{call.namespace}/{call.function}"
