"""Packets: what one published message is. Encoded with msgpack as an array; readers ignore trailing fields they
do not know. Envelopes inside are opaque bytes."""

from collections.abc import Sequence
from typing import Annotated

import msgpack
import msgspec
from msgspec import Meta, Struct

DATA = 1  # `seq` numbers the packet, `parts` are envelopes
ACK = 2  # nothing but the acknowledgement every packet carries
NACK = 3  # packets `ack + 1` to `seq` of `ack_stream` are missing
PROBE = 4  # `seq` is the last packet sent: acknowledge it or ask for what is missing
SELF = 5  # published to one's own inbox: does the subscription still hear?

PACKET_BYTES = 64 * 1024  # envelopes are gathered up to this size and cut into pieces above it

Count = Annotated[int, Meta(ge=0)]


class MalformedPacket(ValueError):
    """The bytes are no packet."""


class Packet(Struct, array_like=True, gc=False):
    """`stream` identifies the sender's run of sequence numbers, `ack_stream` and `ack` the last packet it received
    in order of the other direction (0: none). With `more`, the last part continues as the first of the next packet.
    """

    kind: int
    src: str
    stream: Count
    seq: Count
    ack_stream: Count
    ack: Count
    parts: list[bytes] = []
    more: bool = False


_pack = msgpack.Packer(autoreset=True).pack


def pack(
    kind: int,
    src: str,
    stream: int,
    seq: int,
    ack_stream: int,
    ack: int,
    parts: Sequence[bytes | memoryview] = (),
    more: bool = False,
) -> bytes:
    """One packet as bytes; arguments are the fields of `Packet`."""
    packed: bytes = _pack((kind, src, stream, seq, ack_stream, ack, parts, more))
    return packed


def unpack(body: bytes) -> Packet:
    """The packet in `body`; raises MalformedPacket."""
    try:
        return msgspec.convert(msgpack.unpackb(body), Packet, builtin_types=(bytes,))
    except (ValueError, TypeError, msgpack.UnpackException) as error:
        raise MalformedPacket(str(error)) from error
