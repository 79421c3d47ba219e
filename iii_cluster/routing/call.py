"""One call that a node without workers makes. Pure."""

from collections.abc import Callable

from iii_cluster.bus.envelopes import Invoke
from iii_cluster.telemetry.tracing import Recording

from .route import Target

Done = Callable[[bytes, bytes], None]  # (result, error)
Sent = Callable[[str], None]  # (gateway)


class Call:
    """One call on its way."""

    __slots__ = (
        "_forgotten",
        "asked_gateway",
        "began",
        "done",
        "error",
        "forgotten",
        "invoke",
        "names_target",
        "obstacle",
        "parked_at",
        "recording",
        "refusals",
        "sent",
        "target",
    )

    def __init__(
        self,
        invoke: Invoke,
        done: Done | None,
        names_target: bool,
        forgotten: Callable[["Call"], None],
        sent: Sent | None = None,
    ) -> None:
        self._forgotten = forgotten
        self.invoke = invoke  # without its payload once it is sent
        self.done = done
        self.sent = sent  # told of each gateway that it is with
        self.forgotten = False
        self.names_target = names_target
        self.target: Target | None = None  # set while it is in flight
        self.refusals = 0  # how often it reached no worker
        self.asked_gateway = False  # whether it has the function itself; it has not
        self.parked_at: float | None = None  # when it began to wait for its target
        self.obstacle = ""  # why that is, if it cannot wait for long
        self.error = b""  # with which it is to fail
        self.began = 0.0  # s, by the clock of who measures it; 0: nobody does
        self.recording: Recording | None = None  # its span

    @property
    def size(self) -> int:
        """Bytes of its payload."""
        return len(self.invoke.data) + len(self.invoke.metadata)

    def forget(self) -> None:
        """Nobody waits for its end any more: `done` will not be called. It goes on.

        What has a name and was not sent yet is not sent any more: it is somebody else's to deliver, or to repeat.
        """
        self.done = self.sent = None
        self.forgotten = True
        self._forgotten(self)
