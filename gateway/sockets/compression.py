"""permessage-deflate as the ports offer it: every message by itself, so an idle connection keeps no memory for it and
what is sent to many is compressed once.

All of it runs in the event loop: the sizes of what is deflated, and of what is inflated at once, are bounded.
"""

import zlib
from collections.abc import Sequence

from websockets.exceptions import NegotiationError, PayloadTooBig
from websockets.extensions import Extension, ServerExtensionFactory
from websockets.extensions.permessage_deflate import PerMessageDeflate, ServerPerMessageDeflateFactory
from websockets.frames import Frame, Opcode
from websockets.typing import ExtensionParameter

from iii_cluster.config.settings import Settings

_WINDOW_BITS = 12  # 4 KiB: what one message takes while it is deflated is 32 KiB altogether
_MEM_LEVEL = 5
_LEVEL = 3  # as small as level 6 makes JSON, in two thirds of the time
SMALLEST = 1024  # bytes; nothing is gained below
LARGEST = 512 * 2**10  # bytes; about 2 ms of the loop
_TAIL = b"\x00\x00\xff\xff"


def deflate(data: bytes) -> bytes | None:
    """The payload of one compressed message; None when it is too small, too large or becomes no smaller."""
    if not SMALLEST <= len(data) <= LARGEST:
        return None
    encoder = zlib.compressobj(_LEVEL, wbits=-_WINDOW_BITS, memLevel=_MEM_LEVEL)
    deflated = (encoder.compress(data) + encoder.flush(zlib.Z_SYNC_FLUSH)).removesuffix(_TAIL)
    return deflated if len(deflated) < len(data) else None


class Deflate(PerMessageDeflate):
    """The extension of one connection."""

    def encode(self, frame: Frame) -> Frame:
        """Fragments belong to messages that are too large to be deflated."""
        if frame.fin and (frame.opcode is Opcode.TEXT or frame.opcode is Opcode.BINARY):
            deflated = deflate(bytes(frame.data))
            if deflated is not None:
                return Frame(frame.opcode, deflated, True, True)
        return frame

    def decode(self, frame: Frame, *, max_size: int | None = None) -> Frame:
        """`max_size` 0 means no limit to zlib: it is what is left of a message that has its full length already."""
        if max_size is None or max_size > 0:
            return super().decode(frame, max_size=max_size)
        decoded = super().decode(frame, max_size=1)
        if decoded.data and decoded.opcode in (Opcode.TEXT, Opcode.BINARY, Opcode.CONT):
            raise PayloadTooBig(None, max_size)
        return decoded


class _Factory(ServerPerMessageDeflateFactory):
    def __init__(self) -> None:
        super().__init__(True, True, _WINDOW_BITS, _WINDOW_BITS)

    def process_request_params(
        self, params: Sequence[ExtensionParameter], accepted_extensions: Sequence[Extension]
    ) -> tuple[list[ExtensionParameter], PerMessageDeflate]:
        answer, agreed = super().process_request_params(params, accepted_extensions)
        if agreed.local_max_window_bits < _WINDOW_BITS:
            raise NegotiationError("what is compressed once for many has a larger window")
        return answer, Deflate(
            agreed.remote_no_context_takeover,
            agreed.local_no_context_takeover,
            agreed.remote_max_window_bits,
            agreed.local_max_window_bits,
        )


_OFFERED = (_Factory(),)


def worker_extensions(settings: Settings) -> Sequence[ServerExtensionFactory] | None:
    """What worker ports agree to."""
    return _OFFERED if settings.compression in ("workers", "all") else None


def stream_extensions(settings: Settings) -> Sequence[ServerExtensionFactory] | None:
    """What stream ports agree to."""
    return _OFFERED if settings.compression in ("streams", "all") else None
