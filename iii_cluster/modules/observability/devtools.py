"""Live streams of spans for developers' tools: `iii:devtools:*`. Nothing is sent while nobody follows them."""

import time
from collections.abc import Collection, Iterable, Sequence

import msgspec

from iii_cluster.modules.engine import Engine
from iii_cluster.modules.stream import names
from iii_cluster.telemetry.records import Kind, Span

from .shown import shown_span
from .spans import is_internal

ROWS = "iii:devtools:trace-rows"  # group "all": spans that begin a trace
ALL_SPANS = "iii:devtools:all-spans"  # group "all"
ONE_TRACE = "iii:devtools:trace-spans"  # the group is the trace id
ALL = "all"

LOOK = 2.0  # seconds between looks for followers
MAX_BYTES = 128 * 2**10  # of the spans of one message, and one span more

_encode = msgspec.json.Encoder().encode


class Devtools:
    """Followers are seen by the channels that gateways listen to."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._prefix = names.channel(engine.prefix, "iii:devtools:", "").removesuffix(":")
        self._followed: Collection[str] = ()
        self._looked = -LOOK

    async def wanted(self) -> bool:
        """Raises what `Commands.execute` does."""
        now = time.monotonic()
        if now - self._looked >= LOOK:
            self._looked = now
            pattern = _literal(self._prefix) + "*"
            channels = await self._engine.commands.execute("PUBSUB", "CHANNELS", pattern, again=True)
            self._followed = frozenset(channel.decode() for channel in channels)
        return bool(self._followed)

    def tell(self, spans: Sequence[Span]) -> None:
        if not self._followed:
            return
        if self._follows(ALL_SPANS, ALL):
            self._send(ALL_SPANS, ALL, spans)
        if self._follows(ROWS, ALL):
            self._send(ROWS, ALL, filter(begins, spans))
        by_trace: dict[str, list[Span]] = {}
        for span in spans:
            by_trace.setdefault(span.trace_id, []).append(span)
        for trace, own in by_trace.items():
            if self._follows(ONE_TRACE, trace):
                self._send(ONE_TRACE, trace, own)

    def _follows(self, stream: str, group: str) -> bool:
        return names.channel(self._engine.prefix, stream, group) in self._followed

    def _send(self, stream: str, group: str, spans: Iterable[Span]) -> None:
        for part in parts(spans):
            data = b'{"stream_name":%b,"group_id":%b,"type":"spans","data":{"spans":[%b]}}'
            self._engine.invoke("stream::send", data % (_encode(stream), _encode(group), b",".join(part)))


def begins(span: Span) -> bool:
    """A trace, or the engine's part of one that a client began."""
    if is_internal(span):
        return False
    served = span.kind == Kind.SERVER and any(key == "http.route" for key, _ in span.attributes)
    return span.parent_span_id is None or served


def parts(spans: Iterable[Span]) -> Iterable[list[bytes]]:
    """Spans as JSON, in messages that are not too large."""
    part: list[bytes] = []
    size = 0
    for span in spans:
        body = _encode(shown_span(span))
        if part and size + len(body) > MAX_BYTES:
            yield part
            part, size = [], 0
        part.append(body)
        size += len(body)
    if part:
        yield part


def _literal(text: str) -> str:
    """As a pattern that Redis takes for nothing but this."""
    return "".join(f"\\{char}" if char in "\\*?[]^-" else char for char in text)
