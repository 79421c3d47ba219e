"""A message as WebSocket frames, made once for all its receivers: servers do not mask, so all get the same bytes."""

from websockets.frames import Frame, Opcode

from gateway.sockets.compression import deflate

# Largest frame sent; published clients refuse frames above 16 MiB, so larger messages are fragmented.
FRAGMENT = 8 * 2**20

_FIRST = b"\x81"  # of a text message in one frame
_FIRST_DEFLATED = b"\xc1"  # of a compressed one
# Where the payload begins, by what stands where short payloads have their length.
_LONG_HEADERS = {126: 4, 127: 10}


def text_frames(message: bytes) -> bytes:
    """The bytes of a text message on the wire."""
    if len(message) <= FRAGMENT:
        return _frame(Opcode.TEXT, message, True)
    last = len(message) - FRAGMENT
    return b"".join(
        _frame(Opcode.CONT if at else Opcode.TEXT, message[at : at + FRAGMENT], at >= last)
        for at in range(0, len(message), FRAGMENT)
    )


def _frame(opcode: Opcode, data: bytes, fin: bool) -> bytes:
    return Frame(opcode, data, fin).serialize(mask=False)


class Deflated:
    """What clients get that agreed to compression. The fan-out sends a frame to all its receivers in a row."""

    def __init__(self) -> None:
        self._frame = b""
        self._deflated = b""

    def of(self, frame: bytes) -> bytes:
        """The same message, compressed where that is worth it."""
        if frame is not self._frame:
            self._deflated = _deflated(frame)
            self._frame = frame
        return self._deflated


def _deflated(frame: bytes) -> bytes:
    header = _LONG_HEADERS.get(frame[1], 0)
    payload = deflate(frame[header:]) if header and frame[:1] == _FIRST else None
    return frame if payload is None else _FIRST_DEFLATED + _frame(Opcode.TEXT, payload, True)[1:]
