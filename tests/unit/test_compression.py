"""permessage-deflate on both ports: what is compressed, and what bombs come to."""

import zlib
from collections.abc import Sequence

import pytest
from websockets.client import ClientProtocol
from websockets.exceptions import NegotiationError, PayloadTooBig
from websockets.extensions.permessage_deflate import ClientPerMessageDeflateFactory, PerMessageDeflate
from websockets.frames import Frame, Opcode
from websockets.protocol import State
from websockets.uri import parse_uri

from gateway.sockets.compression import LARGEST, SMALLEST, Deflate, stream_extensions, worker_extensions
from gateway.streams.frames import FRAGMENT, Deflated, text_frames
from iii_cluster.config.settings import Compression, Settings

JSON = b'{"a": "some text that repeats"}, ' * 100
Params = Sequence[tuple[str, str | None]]


def agreed(*asked: tuple[str, str | None]) -> tuple[Params, Deflate]:
    extensions = worker_extensions(Settings(compression="all"))
    assert extensions is not None
    params, extension = extensions[0].process_request_params(list(asked), [])
    assert isinstance(extension, Deflate)
    return params, extension


def client() -> PerMessageDeflate:
    return PerMessageDeflate(True, True, 12, 12)


@pytest.mark.parametrize(
    ("compression", "workers", "streams"),
    [("off", False, False), ("workers", True, False), ("streams", False, True), ("all", True, True)],
)
def test_the_setting_tells_which_ports_compress(compression: Compression, workers: bool, streams: bool) -> None:
    settings = Settings(compression=compression)
    assert (worker_extensions(settings) is not None, stream_extensions(settings) is not None) == (workers, streams)


@pytest.mark.parametrize(
    ("asked", "bits"),
    [
        ((), None),
        ((("client_max_window_bits", None),), "12"),
        ((("client_max_window_bits", "10"),), "10"),
        ((("server_no_context_takeover", None), ("server_max_window_bits", "15")), None),
    ],
)
def test_no_side_keeps_a_context(asked: Params, bits: str | None) -> None:
    params, _ = agreed(*asked)
    expected = [
        ("server_no_context_takeover", None),
        ("client_no_context_takeover", None),
        ("server_max_window_bits", "12"),
    ]
    assert params == expected + ([("client_max_window_bits", bits)] if bits else [])


def test_a_client_with_a_smaller_window_gets_no_compression() -> None:
    with pytest.raises(NegotiationError):
        agreed(("server_max_window_bits", "10"))


@pytest.mark.parametrize("data", [b"", b"x", b"x" * (SMALLEST - 1), b"x" * (LARGEST + 1)])
def test_small_and_large_messages_stay_as_they_are(data: bytes) -> None:
    _, extension = agreed()
    frame = Frame(Opcode.TEXT, data)
    assert extension.encode(frame) is frame


@pytest.mark.parametrize("opcode", [Opcode.TEXT, Opcode.BINARY])
def test_others_are_compressed_each_by_itself(opcode: Opcode) -> None:
    _, extension = agreed()
    for _ in range(3):
        encoded = extension.encode(Frame(opcode, JSON))
        assert encoded.rsv1
        assert len(encoded.data) < len(JSON) / 5
        assert bytes(client().decode(encoded).data) == JSON


def test_fragments_and_control_frames_stay_as_they_are() -> None:
    _, extension = agreed()
    for frame in (Frame(Opcode.TEXT, JSON, False), Frame(Opcode.CONT, JSON), Frame(Opcode.PING, b"x" * 100)):
        assert extension.encode(frame) is frame


def test_what_is_sent_to_many_is_compressed_once_and_correct() -> None:
    deflated = Deflated()
    frame = text_frames(JSON)
    compressed = deflated.of(frame)
    assert deflated.of(frame) is compressed
    assert _received(compressed) == [JSON]
    assert _received(frame) == [JSON]
    small, large = text_frames(b'"small"'), text_frames(b"x" * (FRAGMENT + 1))
    assert deflated.of(small) is small
    assert deflated.of(large) is large
    noise = text_frames(bytes(range(1, 128)) * 9)
    assert _received(deflated.of(noise)) == [bytes(range(1, 128)) * 9]
    longer = text_frames(JSON * 40)  # has the longest header
    assert _received(deflated.of(longer)) == [JSON * 40]


def _received(data: bytes) -> list[bytes]:
    """What the library's own client reads of it."""
    protocol = ClientProtocol(parse_uri("ws://h/"), extensions=[ClientPerMessageDeflateFactory()], max_size=None)
    protocol.extensions = [client()]
    protocol.state = State.OPEN
    protocol.parser = protocol.parse()
    next(protocol.parser)
    protocol.receive_data(data)
    assert protocol.parser_exc is None
    return [bytes(frame.data) for frame in protocol.events_received() if isinstance(frame, Frame)]


def bomb(size: int, *, fin: bool = True) -> bytes:
    encoder = zlib.compressobj(9, wbits=-12)
    parts = [encoder.compress(bytes(2**20)) for _ in range(size >> 20)]
    end = encoder.flush(zlib.Z_SYNC_FLUSH)
    return b"".join(parts) + (end[:-4] if fin else end)


def test_a_bomb_is_refused_when_its_limit_is_reached() -> None:
    _, extension = agreed()
    with pytest.raises(PayloadTooBig):
        extension.decode(Frame(Opcode.BINARY, bomb(2**26), True, True), max_size=2**20)


def test_a_message_may_be_as_long_as_the_limit() -> None:
    _, extension = agreed()
    decoded = extension.decode(Frame(Opcode.BINARY, bomb(2**20), True, True), max_size=2**20)
    assert len(decoded.data) == 2**20


def test_a_bomb_behind_a_message_of_full_length_is_refused() -> None:
    """The library takes a limit of 0, which is all that is left then, for none."""
    _, extension = agreed()
    encoder = zlib.compressobj(9, wbits=-12)
    first = encoder.compress(bytes(2**20)) + encoder.flush(zlib.Z_SYNC_FLUSH)
    second = encoder.compress(bytes(2**26)) + encoder.flush(zlib.Z_SYNC_FLUSH)
    assert len(extension.decode(Frame(Opcode.BINARY, first, False, True), max_size=2**20).data) == 2**20
    with pytest.raises(PayloadTooBig):
        extension.decode(Frame(Opcode.CONT, second, True), max_size=0)


def test_a_message_of_full_length_may_end_with_an_empty_fragment() -> None:
    _, extension = agreed()
    extension.decode(Frame(Opcode.BINARY, bomb(2**20, fin=False), False, True), max_size=2**20)
    assert not extension.decode(Frame(Opcode.CONT, b"", True), max_size=0).data
