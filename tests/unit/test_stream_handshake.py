"""What is read of a client's handshake and messages."""

import json

import pytest
from websockets.client import ClientProtocol
from websockets.http11 import Request
from websockets.server import ServerProtocol
from websockets.uri import parse_uri

from gateway.streams.frames import FRAGMENT, text_frames
from gateway.streams.handshake import handshake, query_params
from gateway.streams.session import read


def test_repeated_keys_are_lists_and_missing_values_are_empty() -> None:
    assert query_params("a=1&b=&a=2&c&=x&&d=%20=") == {"a": ["1", "2"], "b": [""], "c": [""], "d": ["%20="]}
    assert query_params("") == {}


def test_headers_become_a_plain_map() -> None:
    server = ServerProtocol()
    server.receive_data(b"GET /p?a=b?c HTTP/1.1\r\nHost: h\r\nX-Tag: one\r\nx-tag: two\r\nX-Odd: \xff\r\n\r\n")
    [request] = server.events_received()
    assert isinstance(request, Request)
    asked = json.loads(handshake(request.headers, request.path, "10.0.0.7:1"))
    assert asked == {
        "headers": {"host": "h", "x-tag": "two"},
        "path": "/p",
        "query_params": {"a": ["b?c"]},
        "addr": "10.0.0.7:1",
    }


@pytest.mark.parametrize("size", [0, 125, 126, 65_536, FRAGMENT, FRAGMENT + 1, 2 * FRAGMENT, 2 * FRAGMENT + 5])
def test_frames_are_a_message_for_any_client(size: int) -> None:
    client = ClientProtocol(parse_uri("ws://h/"), max_size=None)
    client.state = type(client.state).OPEN
    client.parser = client.parse()
    next(client.parser)
    client.receive_data(text_frames(b"x" * size))
    frames = client.events_received()
    assert b"".join(bytes(frame.data) for frame in frames) == b"x" * size  # type: ignore[union-attr]
    assert [frame.fin for frame in frames] == [False] * (len(frames) - 1) + [True]  # type: ignore[union-attr]
    assert max(len(frame.data) for frame in frames) <= FRAGMENT  # type: ignore[union-attr]


@pytest.mark.parametrize(
    "text",
    [
        b"",
        b" ",
        b"null",
        b"[]",
        b"\xff",
        b"{",
        b'{"type":"join"}',
        b'{"type":"join","data":null}',
        b'{"type":"hello","data":{"subscriptionId":"s","streamName":"c","groupId":"g"}}',
        b'{"type":"join","data":{"subscriptionId":"s","streamName":"c"}}',
        b'{"type":"join","data":{"subscriptionId":"s","streamName":"c","groupId":"g","id":5}}',
        b"[" * 100_000,
    ],
)
def test_what_means_nothing_is_nothing(text: bytes) -> None:
    assert read(text) is None
