"""What every node tells of the calls it makes. Pure."""

from typing import Protocol

from .context import Trace
from .kinds import is_observability, kind_of
from .records import Kind
from .tracing import Recording, Tracer

# Attributes of the spans.
CALLEE = "iii.node.callee"  # the node that serves it, if that is another one


class Counter(Protocol):
    """Of calls that have ended. Ids are those of functions; of another namespace than "default", "namespace/id"."""

    def ended(self, function: str, seconds: float, error: bytes) -> None: ...

    def deferred(self, function: str) -> None: ...

    def exemplar(self, function: str, seconds: float, trace_id: str) -> None: ...


def begin_call(tracer: Tracer, function: str, namespace: str, trace: Trace, *, root: bool) -> Recording | None:
    """The span of a call. With `root` it may be the beginning of a trace, unless the function is the engine's own."""
    kind = kind_of(function)
    root = root and kind == "user"
    if not (root or trace[0]) or is_observability(function):
        return None
    recording = tracer.begin(f"call {function}", trace, Kind.SERVER, root=root, function=function)
    if recording is not None:
        recording.set("faas.invoked_name", function)
        recording.set("faas.trigger", "other")
        recording.set("iii.function.kind", kind)
        if namespace != "default":
            recording.set("iii.namespace", namespace)
    return recording
