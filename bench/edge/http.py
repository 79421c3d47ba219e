"""HTTP ends of the load: keep-alive clients in a closed loop, and a worker that answers requests."""

import asyncio
import json
from time import perf_counter
from typing import cast

from bench.load import FUNCTION_MEMBER, ID_MEMBER, UUID_SIZE
from bench.wire import Endpoint, frame

_LENGTH = b"content-length: "


class Client(asyncio.Protocol):
    """One connection: sends the same request again as soon as it is answered."""

    def __init__(self, request: bytes) -> None:
        self.latencies: list[float] = []
        self.failures = 0  # answers that were not 200
        self.running = True
        self.ended: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._request = request
        self._rest = b""
        self._begun = 0.0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        self._send()

    def _send(self) -> None:
        self._begun = perf_counter()
        self._transport.write(self._request)

    def data_received(self, data: bytes) -> None:
        self._rest = data = self._rest + data if self._rest else data
        blank = data.find(b"\r\n\r\n")
        if blank < 0:
            return
        at = data.find(_LENGTH, 0, blank)
        if at < 0:
            raise RuntimeError(f"an answer without length: {data[:100]!r}")
        length = int(data[at + len(_LENGTH) : data.index(b"\r\n", at)])
        if len(data) < blank + 4 + length:
            return
        self._rest = b""
        self.latencies.append(perf_counter() - self._begun)
        if not data.startswith(b"HTTP/1.1 200"):
            self.failures += 1
        if self.running:
            self._send()
        else:
            self._transport.close()

    def connection_lost(self, exc: Exception | None) -> None:
        if not self.ended.done():
            self.ended.set_result(None)


async def opened(port: int, message: bytes) -> Client:
    """A client that has begun."""
    loop = asyncio.get_running_loop()
    _, client = await loop.create_connection(lambda: Client(message), "127.0.0.1", port)
    return client


def request(port: int, path: str, body: bytes = b"") -> bytes:
    """A GET, or a POST of JSON."""
    head = f"{'POST' if body else 'GET'} {path} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\n"
    if body:
        head += f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n"
    return f"{head}\r\n".encode() + body


class Answering:
    """A worker whose functions answer every request with 200 and a small object."""

    def receive(self, endpoint: Endpoint, messages: list[bytes]) -> None:
        out: list[bytes] = []
        for message in messages:
            if b'"invokefunction"' not in message:
                continue
            at = message.find(b'"', message.find(ID_MEMBER) + 15) + 1
            to = message.find(b'"', message.find(FUNCTION_MEMBER) + 13) + 1
            function = message[to : message.find(b'"', to)]
            out.append(
                frame(
                    b'{"type":"invocationresult","invocation_id":"'
                    + message[at : at + UUID_SIZE]
                    + b'","function_id":"'
                    + function
                    + b'","result":{"status_code":200,"body":{"ok":true}}}'
                )
            )
        if out:
            endpoint.write(b"".join(out))


def route(number: int, path: str, function: str) -> bytes:
    """A registration of a route for GET and POST goes by two triggers."""
    config = {"api_path": path, "http_method": "GET" if number % 2 == 0 else "POST"}
    message = {"type": "registertrigger", "id": f"bench-route-{number}", "trigger_type": "http"}
    return json.dumps(message | {"function_id": function, "config": config}).encode()
