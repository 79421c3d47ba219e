"""Sockets that are ends of channels: addresses, frames, and what a connection does differently for them."""

from typing import Any, cast

import pytest
from websockets.client import ClientProtocol
from websockets.frames import Frame, Opcode
from websockets.protocol import State
from websockets.uri import parse_uri

from gateway.channels.handshake import Wanted, wanted
from gateway.channels.pipe import Pipe
from gateway.channels.sockets import PATIENCE, ReaderSocket, WriterSocket, shortened
from gateway.connection import Connection
from gateway.sockets.framing import MAX_FRAME, frames
from tests.unit.test_gateway_connection import FakeListener, FakeTransport

ID = "0123abcd-0000-4000-8000-000000000000"


@pytest.mark.parametrize(
    ("target", "expected"),
    [
        ("/", None),
        ("/otel?key=k&dir=read", None),
        ("/?x=/ws/channels/a&key=k&dir=read", None),
        (f"/ws/channels/{ID}?key=k&dir=write", Wanted(ID, "k", True)),
        (f"/a/b/ws/channels/{ID}?x=1&key=user&dir=user&key=k&dir=read", Wanted(ID, "k", False)),
        (f"/?token=t/ws/channels/{ID}?key=k&dir=read", Wanted(ID, "k", False)),
        (f"/ws/channels/{ID}?key=k=&dir=read", Wanted(ID, "k=", False)),
        (f"/ws/channels/{ID}?key=k&dir=both", Wanted(ID, "k", None)),
        (f"/ws/channels/{ID}?key=&dir=read", Wanted(ID, "", None)),
        (f"/ws/channels/{ID}?dir=read", Wanted(ID, "", None)),
        (f"/ws/channels/{ID}", Wanted(ID, "", None)),
        ("/ws/channels/?key=k&dir=read", Wanted("", "k", False)),
    ],
)
def test_addresses_say_which_end_is_wanted(target: str, expected: Wanted | None) -> None:
    assert wanted(target) == expected


@pytest.mark.parametrize("size", [0, 1, 125, 126, 65_535, 65_536, MAX_FRAME, MAX_FRAME + 1, 2 * MAX_FRAME + 7])
def test_frames_are_what_a_client_understands(size: int) -> None:
    data = bytes(size)
    client = ClientProtocol(parse_uri("ws://127.0.0.1/"), state=State.OPEN, max_size=None)
    client.receive_data(b"".join(frames(data, True)))
    received = [cast(Frame, event) for event in client.events_received()]
    assert b"".join(bytes(frame.data) for frame in received) == data
    assert received[0].opcode is Opcode.TEXT
    assert [frame.fin for frame in received] == [False] * (len(received) - 1) + [True]
    assert all(len(frame.data) <= MAX_FRAME for frame in received)


def test_a_reason_fits_into_a_close_frame() -> None:
    assert shortened("short") == "short"
    assert shortened("é" * 100) == "é" * 61


class Transport(FakeTransport):
    def __init__(self) -> None:
        super().__init__()
        self.reading = True
        self.eof = False

    def writelines(self, pieces: list[bytes]) -> None:
        for piece in pieces:
            self.write(piece)

    def pause_reading(self) -> None:
        self.reading = False

    def resume_reading(self) -> None:
        self.reading = True

    def is_closing(self) -> bool:
        return False

    def can_write_eof(self) -> bool:
        return True

    def write_eof(self) -> None:
        self.eof = True


def _end(*, write: bool) -> tuple[Connection, Transport, Pipe, FakeListener]:
    listener = FakeListener()
    connection = Connection(cast(Any, listener), listener.settings)
    transport = Transport()
    connection.connection_made(cast(Any, transport))
    listener.crowded = True
    client = ClientProtocol(parse_uri("ws://127.0.0.1/"))
    client.send_request(client.connect())
    connection.data_received(b"".join(client.data_to_send()))
    assert connection.enter()
    connection.flush()
    transport.written = b""
    transport.size = 0
    pipe = Pipe(2)
    if write:
        writer = WriterSocket(connection, pipe)
        connection.become(writer)
        pipe.attach_source(writer)
    else:
        reader = ReaderSocket(connection, pipe)
        connection.become(reader)
        pipe.attach_sink(reader)
    return connection, transport, pipe, listener


def _say(connection: Connection, frame: Frame) -> None:
    connection.data_received(frame.serialize(mask=True))
    connection.flush()


def test_a_writer_is_not_read_while_its_channel_is_full() -> None:
    connection, transport, pipe, _ = _end(write=True)
    _say(connection, Frame(Opcode.BINARY, b"OTLP1"))
    assert transport.reading
    _say(connection, Frame(Opcode.TEXT, b"2"))
    assert not transport.reading
    assert pipe.pull() == (b"OTLP1", False)
    assert transport.reading
    assert pipe.pull() == (b"2", True)


def test_a_reader_that_does_not_read_is_still_heard() -> None:
    connection, transport, pipe, _ = _end(write=False)
    connection.pause_writing()
    assert transport.reading
    pipe.write(b"1", True)
    assert pipe.queued == (1, 1)
    _say(connection, Frame(Opcode.PING, b"?"))
    assert transport.written.endswith(b"?")
    connection.resume_writing()
    connection.flush()
    assert transport.written.endswith(b"\x81\x011")


def test_pings_that_nobody_reads_the_answers_of_come_to_an_end() -> None:
    connection, transport, _, _ = _end(write=False)
    connection.pause_writing()
    for _ in range(101):
        _say(connection, Frame(Opcode.PING, b""))
    assert not transport.reading
    connection.resume_writing()
    assert transport.reading


def test_a_slow_reader_is_waited_for_as_long_as_it_makes_any_progress() -> None:
    connection, transport, pipe, listener = _end(write=False)
    pipe.write(bytes(1000), False)
    connection.flush()
    connection.pause_writing()
    for hour in range(1, 5):
        transport.size -= 1
        assert not connection.stalled(hour * PATIENCE, 10.0)
    assert connection.stalled(5.1 * PATIENCE, 10.0)
    listener.now = 100.0
    connection.ping()
    assert not connection.pinged  # its answer waits behind what it has not read


def test_a_reader_that_waits_for_its_first_message_has_to_answer_pings() -> None:
    connection, _, _, _ = _end(write=False)
    connection.ping()
    assert connection.pinged


def test_a_closed_reader_may_still_read_what_came_before() -> None:
    connection, transport, pipe, listener = _end(write=False)
    pipe.write(b"1", True)
    pipe.finish(1000, "done")
    assert transport.written == b"\x81\x011\x88\x06\x03\xe8done"
    assert transport.eof
    assert connection.wanted
    _say(connection, Frame(Opcode.PING, b"?"))  # it does not know yet
    assert not transport.written.endswith(b"?")
    listener.now = PATIENCE + 1
    connection._port.now = listener.now
    connection.last_seen = 0.0
    assert not connection.wanted


def test_a_writer_that_was_not_read_is_read_on_when_the_reader_has_gone_and_ended_with_its_next_message() -> None:
    connection, transport, pipe, _ = _end(write=True)
    for text in (b"1", b"2"):
        _say(connection, Frame(Opcode.TEXT, text))
    assert not transport.reading
    pipe.refuse(1000, "the reader has left")
    assert transport.reading
    assert connection.open
    _say(connection, Frame(Opcode.TEXT, b"3"))
    assert transport.written.endswith(b"the reader has left")


def test_a_writer_whose_reader_cannot_come_any_more_is_ended_at_once() -> None:
    connection, transport, pipe, _ = _end(write=True)
    pipe.fail("a gateway was lost")
    connection.flush()
    assert transport.written == b"\x88\x14\x03\xf3a gateway was lost"
