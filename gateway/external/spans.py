"""The span of a call of an HTTP function: the request as its client sees it."""

from typing import TYPE_CHECKING

from iii_cluster.bus.envelopes import Invoke
from iii_cluster.telemetry.records import Kind
from iii_cluster.telemetry.tracing import Recording, Tracer

if TYPE_CHECKING:
    from iii_cluster.modules.http_functions.definition import HttpFunction


def begin_span(tracer: Tracer, function: "HttpFunction", invoke: Invoke) -> Recording | None:
    """None: the call's trace is not recorded, or it has none. Paths and queries are not told: they may be secrets."""
    if not tracer.enabled:
        return None
    trace = (invoke.traceparent, invoke.baggage)
    recording = tracer.begin(function.method, trace, Kind.CLIENT, root=False, function=invoke.function)
    if recording is None:
        return None
    recording.set("http.request.method", function.method)
    recording.set("url.scheme", function.target.url.scheme)
    recording.set("server.address", function.target.host)
    recording.set("server.port", function.target.url.port or 0)
    return recording
