"""Messages as frames of a server, uncompressed."""

import struct

# Published clients refuse frames above 16 MiB; longer messages are fragmented. Bytes.
MAX_FRAME = 8 * 2**20


def frames(data: bytes, text: bool) -> list[bytes | memoryview]:
    """A message as it goes over a socket, without a copy of it."""
    opcode = 1 if text else 2
    size = len(data)
    if size <= MAX_FRAME:
        return [_head(0x80 | opcode, size), data] if data else [_head(0x80 | opcode, 0)]
    view = memoryview(data)
    parts: list[bytes | memoryview] = []
    for at in range(0, size, MAX_FRAME):
        piece = view[at : at + MAX_FRAME]
        final = 0x80 if at + MAX_FRAME >= size else 0
        parts += (_head(final | (opcode if at == 0 else 0), len(piece)), piece)
    return parts


def _head(first: int, size: int) -> bytes:
    if size < 126:
        return bytes((first, size))
    if size < 2**16:
        return struct.pack("!BBH", first, 126, size)
    return struct.pack("!BBQ", first, 127, size)
