"""Ends of channels that are WebSockets. What the socket itself can do is behind `Wire`."""

from typing import Protocol

from .pipe import BROKEN, OK, Pipe

# Bytes queued for a reader's socket before its pipe waits; the kernel has as many again, or more.
HIGH_WATER = 256 * 2**10
# How long a reader may take nothing at all while messages wait for it, and how long to answer a Close, seconds. It may
# be at work on one message; meanwhile nobody but its own writer waits. A host that is gone is found out by TCP.
PATIENCE = 3600.0
# Pings that a reader may send without reading the answers, until it is not read itself.
_MAX_PINGS = 100

_MAX_REASON = 123  # bytes

# Close codes from here are the application's, up to 4999: they are handed on.
_OWN_CODES = 3000


class Wire(Protocol):
    """A socket, as an end of a channel uses it."""

    @property
    def open(self) -> bool: ...

    @property
    def congested(self) -> bool: ...

    def send_message(self, data: bytes, text: bool) -> None: ...

    def close(self, code: int, reason: str) -> None: ...

    def finish(self, code: int, reason: str) -> None:
        """Close it and its sending half, once what was sent is read."""

    def pause(self) -> None: ...

    def resume(self) -> None: ...


class WriterSocket:
    """The writer's end."""

    __slots__ = ("_held", "_pipe", "_wire")

    def __init__(self, wire: Wire, pipe: Pipe) -> None:
        self._wire = wire
        self._pipe = pipe
        self._held = False  # not read because the pipe is full

    # -- called by the socket ----------------------------------------------------------------------

    patient = False
    reading = False

    def on_message(self, payload: bytes, text: bool) -> None:
        pipe = self._pipe
        if pipe.refused is not None:
            code, reason = pipe.refused
            self._wire.close(code, shortened(reason))
            return
        pipe.write(payload, text)
        if pipe.full and not self._held:
            self._held = True
            self._wire.pause()

    def on_congestion(self, on: bool) -> None:
        """It does not read the answers to its pings."""
        if on:
            self._wire.pause()
        else:
            self._wire.resume()

    def on_ping(self) -> None:
        pass

    def on_closed(self, code: int, reason: str) -> None:
        """`code` is what the client closed it with, 0 when it broke off or was closed from here."""
        if code in (OK, 1005):
            self._pipe.finish(OK, reason)
        elif code >= _OWN_CODES:
            self._pipe.finish(code, reason)
        else:
            self._pipe.finish(BROKEN, reason or "the writer was lost")

    # -- Source ------------------------------------------------------------------------------------

    def taken(self, size: int) -> None:
        if self._held and self._pipe.roomy:
            self._release()

    def refused(self, code: int, reason: str, at_once: bool) -> None:
        self._release()  # its next message, or its end, is to be read
        if at_once:
            self._wire.close(code, shortened(reason))

    def _release(self) -> None:
        if self._held:
            self._held = False
            self._wire.resume()


class ReaderSocket:
    """The reader's end. What the client says is read, for its pings and its Close, and means nothing else."""

    __slots__ = ("_finished", "_pings", "_pipe", "_wire", "reading")

    def __init__(self, wire: Wire, pipe: Pipe) -> None:
        self._wire = wire
        self._pipe = pipe
        self._pings = 0  # while it is congested
        self._finished = False
        self.reading = False  # it was sent something: its answers to pings may wait behind that

    # -- called by the socket ----------------------------------------------------------------------

    @property
    def patient(self) -> bool:
        """It may still read what was sent before our Close."""
        return self._finished

    def on_message(self, payload: bytes, text: bool) -> None:
        pass

    def on_congestion(self, on: bool) -> None:
        if on:
            return
        if self._pings > _MAX_PINGS:
            self._wire.resume()
        self._pings = 0
        self._pipe.pump()

    def on_ping(self) -> None:
        """A ping came while the client does not read."""
        self._pings += 1
        if self._pings == _MAX_PINGS + 1:
            self._wire.pause()

    def on_closed(self, code: int, reason: str) -> None:
        """As of `WriterSocket`."""
        if code in (OK, 1005):
            self._pipe.refuse(OK, "the reader has left")
        elif code >= _OWN_CODES:
            self._pipe.refuse(code, reason)
        else:
            self._pipe.refuse(BROKEN, "the reader was lost")

    # -- Sink --------------------------------------------------------------------------------------

    @property
    def ready(self) -> bool:
        return self._wire.open and not self._wire.congested

    def send(self, data: bytes, text: bool) -> None:
        self.reading = True
        self._wire.send_message(data, text)

    def finish(self, code: int, reason: str) -> None:
        self._finished = True
        self._wire.finish(code, shortened(reason))


SocketEnd = WriterSocket | ReaderSocket


def shortened(reason: str) -> str:
    """As much of it as a Close frame can hold."""
    return reason.encode()[:_MAX_REASON].decode(errors="ignore")
