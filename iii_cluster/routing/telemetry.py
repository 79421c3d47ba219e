"""What is told of the calls of a node without workers: how long each took, how it ended, and its span. Pure."""

import time
from collections.abc import Callable

from iii_cluster.telemetry.calls import CALLEE, Counter, begin_call
from iii_cluster.telemetry.tracing import Recording, Trace, Tracer

from .call import Call


class CallerTelemetry:
    """The gateways that serve these calls do not count them."""

    def __init__(self, tracer: Tracer, functions: Counter, clock: Callable[[], float] = time.perf_counter) -> None:
        """`clock` gives seconds."""
        self._tracer = tracer
        self._functions = functions
        self._clock = clock

    def span(self, function: str, namespace: str, trace: Trace) -> Recording | None:
        """Of a call in a trace."""
        return begin_call(self._tracer, function, namespace, trace, root=False)

    def begin(self, call: Call) -> None:
        """The call is made now."""
        call.began = self._clock()

    def ended(self, call: Call, error: bytes) -> None:
        """It has ended, and this is how."""
        if not call.began:  # somebody else's, whose end is waited for here
            return
        seconds = self._clock() - call.began
        invoke = call.invoke
        name = invoke.function if invoke.namespace == "default" else f"{invoke.namespace}/{invoke.function}"
        self._functions.ended(name, seconds, error)
        recording = call.recording
        if recording is not None:
            if call.target is not None:
                recording.set(CALLEE, call.target.node)
            recording.end(error)
            self._functions.exemplar(name, seconds, recording.trace_id)
