"""One invocation as its caller's gateway sees it, and the frame that ends it. Pure."""

from collections.abc import Callable

import msgspec

from iii_cluster.protocol import errors, frames
from iii_cluster.routing.route import Target
from iii_cluster.telemetry.context import NO_TRACE, Trace
from iii_cluster.telemetry.tracing import Recording

from .worker import Worker

STOPPED = errors.error_body(errors.INVOCATION_STOPPED, "Invocation stopped")
CHANNEL_CLOSED = errors.error_body(errors.INVOCATION_ERROR, "channel closed")

Done = Callable[[bytes, bytes], None]  # (result, error)


class Call:
    """One invocation on its way: what to call with what, and where the answer goes."""

    __slots__ = (
        "began",
        "caller",
        "data",
        "done",
        "feeder",
        "function",
        "function_json",
        "id",
        "metadata",
        "namespace",
        "on_end",
        "once",
        "parked_at",
        "raw_id",
        "recording",
        "refusals",
        "target",
        "trace",
    )

    began: float  # s, by the clock of who hears of its end

    def __init__(
        self,
        caller: Worker | None,
        raw_id: bytes,
        namespace: str,
        function: str,
        data: bytes,
        trace: Trace = NO_TRACE,
        metadata: bytes = b"",
        done: Done | None = None,
        feeder: Worker | None = None,
        once: str = "",
    ) -> None:
        self.caller = caller  # None: the engine itself
        self.feeder = feeder or caller  # whom to pause when the call's way is full
        self.raw_id = raw_id  # the caller's id as it wrote it, quotes included; empty: no reply wanted
        self.namespace = namespace
        self.function = function
        self.function_json = frames.text(function)
        self.data = data
        self.trace = trace  # for what it causes
        self.metadata = metadata
        self.done = done
        self.once = once  # its name, if it is a named delivery
        self.id = ""  # ours, while it waits for its target
        self.target: Target | None = None  # set while it is in flight
        self.refusals = 0  # how often it reached no worker
        self.parked_at = 0.0  # when it began to wait for a node that nobody listens at
        self.on_end: Callable[[Call, bytes], None] | None = None  # hears of its end, with its error, once
        self.recording: Recording | None = None  # its span

    @property
    def size(self) -> int:
        """Bytes of its payload."""
        return len(self.data) + len(self.metadata)

    def record(self, recording: Recording) -> None:
        """It has a span now, and that is what its work continues."""
        self.recording = recording
        self.trace = recording.trace

    def finish(self, result: bytes, error: bytes) -> None:
        """Tell the caller, if there is one and it wants to know."""
        if self.on_end is not None:
            on_end, self.on_end = self.on_end, None
            on_end(self, error)
        if self.done is not None:
            self.done(result, error)
        elif self.caller is not None and self.raw_id:
            trace = self.trace if self.recording is None else self.recording.incoming
            tail = b"" if trace is NO_TRACE else frames.trace_tail(*trace)
            frame = frames.invocation_result(self.raw_id, self.function_json, result, error, tail)
            limit = self.caller.max_frame
            if limit and len(frame) > limit:
                frame = frames.invocation_result(
                    self.raw_id, self.function_json, b"", _too_large(len(frame), limit), tail
                )
            self.caller.answers.send(frame)


class _Answer(msgspec.Struct):
    """Of an `invocationresult`: what stays when the result itself is replaced."""

    invocation_id: msgspec.Raw
    function_id: msgspec.Raw
    traceparent: msgspec.Raw = msgspec.Raw(b"")
    baggage: msgspec.Raw = msgspec.Raw(b"")


_decode_answer = msgspec.json.Decoder(_Answer).decode


def fitting(frame: bytes, limit: int) -> bytes:
    """An answer as it was made for an earlier connection, fit for one that takes `limit` bytes (0: any)."""
    if not limit or len(frame) <= limit:
        return frame
    said = _decode_answer(frame)
    trace = frames.trace_tail(bytes(said.traceparent), bytes(said.baggage))
    body = _too_large(len(frame), limit)
    return frames.invocation_result(bytes(said.invocation_id), bytes(said.function_id), b"", body, trace)


def _too_large(size: int, limit: int) -> bytes:
    return errors.error_body(errors.PAYLOAD_TOO_LARGE, f"the result has {size} bytes, this client accepts {limit}")
