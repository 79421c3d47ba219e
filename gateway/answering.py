"""Functions that a gateway answers itself, the engine's and the modules': called by workers, modules, other nodes."""

from collections.abc import Callable

from iii_cluster.bus.envelopes import Invoke

from .call import Call, Done
from .call_telemetry import CallTelemetry
from .invocations import Invocations

# Gets the call, with its input, and answers through `done` (also later).
Builtin = Callable[[Call, Done], None]


class OwnFunctions:
    """By id, all in the namespace `default`."""

    def __init__(self, builtins: dict[str, Builtin], invocations: Invocations, telemetry: CallTelemetry) -> None:
        self._builtins = builtins
        self._telemetry = telemetry
        self._invocations = invocations
        invocations.serve_self = self.serve

    def start(self, call: Call) -> None:
        """Call a function of this gateway, or of whoever serves it. Only what has a context is traced."""
        self._telemetry.begin(call, root=False)
        self.go_on(call)

    def go_on(self, call: Call) -> None:
        """The same with a call that has been begun."""
        builtin = self._builtins.get(call.function) if call.namespace == "default" else None
        if builtin is not None:
            builtin(call, self._invocations.answering(call))
        else:
            self._invocations.start(call)

    def serve(self, node: str, invoke: Invoke) -> bool:
        """Another node calls a function of this gateway. False if there is none of that name."""
        builtin = self._builtins.get(invoke.function) if invoke.namespace == "default" else None
        if builtin is None:
            return False
        invocations = self._invocations
        if invoke.once:
            invocations.deliveries.begin(invoke.once, invoke.id)

        def done(result: bytes, error: bytes) -> None:
            invocations.served(node, invoke.id, result, error)

        trace = (invoke.traceparent, invoke.baggage)
        call = Call(None, b"", invoke.namespace, invoke.function, invoke.data, trace, invoke.metadata, done=done)
        builtin(call, invocations.answering(call))
        return True
