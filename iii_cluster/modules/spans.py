"""Spans around what modules deliver to functions."""

from types import TracebackType

from iii_cluster.cluster.map import Role
from iii_cluster.protocol import errors
from iii_cluster.protocol.errors import EngineError
from iii_cluster.telemetry.kinds import is_observability
from iii_cluster.telemetry.records import Kind
from iii_cluster.telemetry.tracing import Recording, Trace, Value

from .engine import Engine


class DeliverySpan:
    """One delivery, from before its condition to its end. What is not recorded only carries the trace on.

    with deliver(engine, f"trigger {function}", trace, function=function) as span:
        await call(engine, function, data, traceparent=span.trace[0], baggage=span.trace[1], sent=span.sent)

    A delivery that its owner leaves to the next one is told of by whoever sent it to a worker.
    """

    __slots__ = ("_fan_out", "_gateway", "_recording", "_under_way", "trace")

    def __init__(
        self, recording: Recording | None, trace: Trace, fan_out: "FanOut | None" = None, *, under_way: bool = False
    ) -> None:
        """`under_way`: it counts as sent from the beginning."""
        self.trace = trace if recording is None else recording.trace
        self._recording = recording
        self._fan_out = fan_out
        self._gateway = ""
        self._under_way = under_way

    @property
    def recorded(self) -> bool:
        return self._recording is not None

    def set(self, key: str, value: Value) -> None:
        if self._recording is not None:
            self._recording.set(key, value)

    def sent(self, gateway: str) -> None:
        """To a gateway; "": it reached no worker there."""
        self._gateway = gateway
        self._under_way = bool(gateway)

    def refused(self) -> None:
        """Its condition said no."""
        self.set("iii.condition", "refused")
        self.end()

    def left(self) -> None:
        """Its end is not heard of here. What was not sent never is: it is the next owner's altogether."""
        if self._under_way:
            self.set("iii.unfinished", True)
            self.end()
        self._recording = None

    def answered(self, _result: bytes, error: bytes) -> None:
        """As `done` of a call."""
        self.end(error)

    def end(self, error: bytes = b"") -> None:
        """Once; later ones count for nothing. `error` is an error body."""
        recording, self._recording = self._recording, None
        if recording is None:
            return
        if self._gateway:
            recording.set("iii.node.callee", self._gateway)
        recording.end(error)
        if self._fan_out is not None:
            self._fan_out.told = True

    def __enter__(self) -> "DeliverySpan":
        return self

    def __exit__(
        self, _type: type[BaseException] | None, error: BaseException | None, _traceback: TracebackType | None
    ) -> None:
        if error is None:
            self.end()
        elif isinstance(error, EngineError):
            self.end(error.body())
        elif isinstance(error, Exception):
            self.end(errors.error_body(errors.INTERNAL_ERROR, type(error).__name__))
        else:
            self.left()


class FanOut:
    """What one event sets off: a span around its deliveries, from the first one on.

    `told`: of some delivery there is a span; without any there is none around them.
    """

    __slots__ = ("_begun", "_engine", "_name", "_recording", "_trace", "told")

    def __init__(self, engine: Engine, name: str, trace: Trace) -> None:
        self.told = False
        self._begun = False
        self._engine = engine
        self._name = name
        self._recording: Recording | None = None
        self._trace = trace

    def deliver(self, function: str) -> DeliverySpan:
        if not self._begun:
            self._begun = True
            self._recording = self._engine.telemetry.tracer.begin(self._name, self._trace, root=False)
        if self._recording is None:
            return DeliverySpan(None, self._trace)
        return deliver(self._engine, f"trigger {function}", self._recording.trace, function=function, fan_out=self)

    def __enter__(self) -> "FanOut":
        return self

    def __exit__(self, *_error: object) -> None:
        if self._recording is not None and self.told:
            self._recording.end()


def deliver(
    engine: Engine,
    name: str,
    trace: Trace,
    kind: Kind = Kind.INTERNAL,
    *,
    function: str,
    root: bool = False,
    fan_out: FanOut | None = None,
) -> DeliverySpan:
    """With `root` also when there is no trace yet."""
    if is_observability(function):
        return DeliverySpan(None, trace)
    tracer = engine.telemetry.tracer
    recording = tracer.begin(name, trace, kind, root=root, function=function)
    if recording is None and root and tracer.enabled and not trace[0]:
        trace = tracer.declined(trace[1])
    return DeliverySpan(recording, trace, fan_out, under_way=engine.role is Role.GATEWAY)  # which do not say `sent`
