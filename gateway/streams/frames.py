"""A message as WebSocket frames, made once for all its receivers: servers do not mask, and nothing is compressed."""

from websockets.frames import Frame, Opcode

# Largest frame sent; published clients refuse frames above 16 MiB, so larger messages are fragmented.
FRAGMENT = 8 * 2**20


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
