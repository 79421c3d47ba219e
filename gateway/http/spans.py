"""The span of a request: what it says of the request and its response."""

from iii_cluster.protocol import errors
from iii_cluster.telemetry.context import Trace
from iii_cluster.telemetry.kinds import kind_of
from iii_cluster.telemetry.records import Kind
from iii_cluster.telemetry.tracing import Recording, Tracer
from iii_cluster.telemetry.urls import MAX_URL, shown_query, shown_url

from .exchange import Exchange

# Types of errors without an error body.
CLIENT_GONE = "client_gone"
RESPONSE_CUT = "response_cut"


def begin(
    tracer: Tracer, exchange: Exchange, headers: dict[str, str], function: str, trace: Trace
) -> tuple[Recording | None, Trace]:
    """Of a request for a route whose `function` is called; and the context of what is called for it. None: its trace
    is not recorded."""
    if not tracer.enabled:
        return None, trace
    if not trace[0] and tracer.sampler.declines():  # most of them, on a busy port
        return None, tracer.declined(trace[1])
    recording = tracer.begin(f"{exchange.method} {exchange.route}", trace, Kind.SERVER)
    if recording is None:
        return None, trace if trace[0] else tracer.declined(trace[1])
    _describe(recording, exchange, headers, function)
    return recording, recording.trace


def _describe(recording: Recording, exchange: Exchange, headers: dict[str, str], function: str) -> None:
    exchange.traceparent = recording.trace[0]
    told = recording.set
    host, port = _authority(headers.get("host", ""))
    scheme = headers.get("x-forwarded-proto", "").lower()
    scheme = scheme if scheme in ("http", "https") else exchange.scheme
    path = exchange.path.decode(errors="replace")[:MAX_URL]
    query = shown_query(exchange.query.decode(errors="replace"))
    told("http.request.method", exchange.method)
    told("http.route", exchange.route)
    told("url.path", path)
    if query:
        told("url.query", query)
    told("url.scheme", scheme)
    told("url.full", shown_url(scheme, f"{host}:{port}" if port else host, path, query))
    told("server.address", host)
    if port:
        told("server.port", port)
    told("network.protocol.version", exchange.version)
    for key, name in (
        ("user_agent.original", "user-agent"),
        ("http.request.header.content_type", "content-type"),
        ("http.request.body.size", "content-length"),
    ):
        if name in headers:
            told(key, headers[name][:MAX_URL])
    told("iii.function.kind", kind_of(function))


def _authority(host: str) -> tuple[str, str]:
    """Host and port, each empty if it is not said."""
    name, colon, port = host[:MAX_URL].rpartition(":")
    return (name, port) if colon and port.isdecimal() else (host[:MAX_URL], "")


def end(recording: Recording, status: int, error: bytes, *, complete: bool, cut: bool) -> None:
    """`status` of the response, 0: none was begun. `error` is what the function ended with; `complete`: all was sent;
    `cut`: the end was not the client's wish."""
    if status:
        recording.set("http.response.status_code", status)
    if status >= 400 and error:
        recording.end(error)
    elif status >= 400:
        recording.set("error.type", str(status))
        recording.end(failed=True)
    elif not complete:
        code = RESPONSE_CUT if cut else CLIENT_GONE
        recording.end(error or errors.error_body(code, "The response was not sent to its end"))
    else:
        recording.end()
