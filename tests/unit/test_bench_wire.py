"""The bench's own WebSocket framing, and its statistics."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from websockets.frames import Frame, Opcode
from websockets.protocol import State
from websockets.server import ServerProtocol

from bench.figures import medians, percentile
from bench.load import function_names, invocation_ids, member
from bench.wire import PING, Parser, WireError, frame

SIZES = (0, 1, 125, 126, 127, 65535, 65536, 70000)


def server_frame(payload: bytes, opcode: Opcode = Opcode.TEXT, fin: bool = True) -> bytes:
    return Frame(opcode, payload, fin).serialize(mask=False)


@pytest.mark.parametrize("size", SIZES)
def test_a_frame_of_any_length_is_read_by_a_server(size: int) -> None:
    server = ServerProtocol(state=State.OPEN)
    server.receive_data(frame(b"x" * size))
    (event,) = server.events_received()
    assert isinstance(event, Frame)
    assert (event.opcode, event.data) == (Opcode.TEXT, b"x" * size)


@pytest.mark.parametrize("size", SIZES)
def test_a_server_frame_of_any_length_is_parsed(size: int) -> None:
    assert Parser().feed(server_frame(b"y" * size)) == [b"y" * size]


@given(st.lists(st.sampled_from(SIZES[:6]), max_size=6), st.lists(st.integers(1, 5000), min_size=1, max_size=20))
def test_frames_survive_any_cut_of_the_stream(sizes: list[int], cuts: list[int]) -> None:
    payloads = [bytes([65 + number]) * size for number, size in enumerate(sizes)]
    stream = b"".join(map(server_frame, payloads))
    parser, parsed, position = Parser(), [], 0
    while position < len(stream):
        cut = cuts[position % len(cuts)]
        parsed += parser.feed(stream[position : position + cut])
        position += cut
    assert parsed == payloads


def test_every_single_byte_may_arrive_alone() -> None:
    stream = (
        server_frame(b"a") + server_frame(b"b" * 126) + server_frame(b"p", Opcode.PING) + server_frame(b"c" * 65536)
    )
    parser = Parser()
    parsed = [message for byte in stream for message in parser.feed(bytes([byte]))]
    assert parsed == [b"a", b"b" * 126, b"c" * 65536]
    assert parser.controls == [(PING, b"p")]


def test_fragments_are_joined_around_a_control_frame() -> None:
    stream = (
        server_frame(b"one ", fin=False)
        + server_frame(b"now", Opcode.PING)
        + server_frame(b"two", Opcode.CONT)
        + server_frame(b"next")
    )
    parser = Parser()
    assert parser.feed(stream) == [b"one two", b"next"]
    assert parser.controls == [(PING, b"now")]


def test_a_masked_frame_from_a_server_is_an_error() -> None:
    with pytest.raises(WireError):
        Parser().feed(frame(b"masked"))


def test_a_member_is_found_whatever_the_spacing_and_order() -> None:
    for message in (b'{"invocation_id":"ab","type":"x"}', b'{"type": "x", "invocation_id" : "ab"}'):
        assert member(message, b'"invocation_id"', 2) == b"ab"


def test_invocation_ids_have_the_form_of_a_uuid_and_differ() -> None:
    ids = invocation_ids()
    first, second = next(ids), next(ids)
    assert first != second
    assert [len(part) for part in first.split(b"-")] == [8, 4, 4, 4, 12]


def test_function_names_have_equal_length() -> None:
    assert function_names("f::", 2) == ["f::000000", "f::000001"]
    assert len({len(name) for name in function_names("f::", 100_000)}) == 1


def test_percentiles_are_of_nearest_rank() -> None:
    values = [float(value) for value in range(1, 101)]
    assert [percentile(values, percent) for percent in (0, 50, 90, 99, 100)] == [1, 50, 90, 99, 100]
    assert percentile([7.0], 99) == 7.0
    with pytest.raises(ValueError, match="nothing"):
        percentile([], 50)


def test_medians_are_taken_figure_by_figure() -> None:
    assert medians([{"a": 1, "b": 9}, {"a": 5, "b": 1}, {"a": 3, "b": 2}]) == {"a": 3, "b": 2}
