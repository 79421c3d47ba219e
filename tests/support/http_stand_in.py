"""The HTTP port alone, on the event loop of gateways, with an application that does what its paths say.

As a program: `python -m tests.support.http_stand_in PORT CONFIG SETTINGS READY_FD`; `CONFIG` and `SETTINGS` are JSON.
"""

import asyncio
import json
import logging
import os
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import msgspec
import uvloop

from gateway.http.exchange import Message, Receive, Scope, Send
from gateway.http.listener import HttpListener
from iii_cluster.config.settings import Settings
from iii_cluster.modules.http.config import HttpConfig
from iii_cluster.modules.http.module import HttpModule
from tests.support.http_peer import http_peer
from tests.support.process import Process, read_ready_line

TICK = 0.05  # s between looks at the connections


class Application:
    """Does what the path says, as its methods do; `/wait`, `/early-wait` and `/stream` go on at `/release`,
    `/late-stream` begins then and ends at the next. Everything else says it is there."""

    def __init__(self) -> None:
        self.listener: HttpListener | None = None
        self.release = asyncio.Event()
        self.gone = 0
        self.begun = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        self.begun += 1
        handler = getattr(self, "on_" + scope["path"].strip("/").replace("-", "_"), self.on_anything)
        await handler(scope, receive, send)

    async def on_anything(self, scope: Scope, receive: Receive, send: Send) -> None:
        await read(receive)
        await answer(send, {"ok": True})

    async def on_describe(self, scope: Scope, receive: Receive, send: Send) -> None:
        assert self.listener is not None
        await answer(send, self.listener.describe() | {"gone": self.gone, "begun": self.begun})

    async def on_scope(self, scope: Scope, receive: Receive, send: Send) -> None:
        texts = ("method", "path", "raw_path", "query_string", "http_version", "scheme", "iii.request_id")
        said = {name: str(scope[name], "latin-1") if isinstance(scope[name], bytes) else scope[name] for name in texts}
        headers = [[name.decode("latin-1"), value.decode("latin-1")] for name, value in scope["headers"]]
        await answer(send, said | {"headers": headers, "body": (await read(receive) or b"").decode("latin-1")})

    async def on_echo(self, scope: Scope, receive: Receive, send: Send) -> None:
        body = await read(receive)
        if body is not None:
            await respond(send, body)

    async def on_early(self, scope: Scope, receive: Receive, send: Send) -> None:
        await answer(send, {"early": True})

    async def on_release(self, scope: Scope, receive: Receive, send: Send) -> None:
        released, self.release = self.release, asyncio.Event()
        released.set()
        await answer(send, {})

    async def on_early_wait(self, scope: Scope, receive: Receive, send: Send) -> None:
        await self.release.wait()
        await answer(send, {"waited": True})

    async def on_never(self, scope: Scope, receive: Receive, send: Send) -> None:
        await asyncio.Event().wait()

    async def on_wait(self, scope: Scope, receive: Receive, send: Send) -> None:
        await read(receive)
        watching = asyncio.ensure_future(receive())
        waiting = asyncio.ensure_future(self.release.wait())
        await asyncio.wait([watching, waiting], return_when=asyncio.FIRST_COMPLETED)
        if watching.done():
            self.gone += 1
        await answer(send, {"waited": True})
        waiting.cancel()
        watching.cancel()

    async def on_big(self, scope: Scope, receive: Receive, send: Send) -> None:
        await respond(send, b"x" * int(scope["query_string"]))

    async def on_stream(self, scope: Scope, receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"first", "more_body": True})
        watching = asyncio.ensure_future(self._watch(receive))
        waiting = asyncio.ensure_future(self.release.wait())
        await asyncio.wait([watching, waiting], return_when=asyncio.FIRST_COMPLETED)
        await send({"type": "http.response.body", "body": b"last"})
        waiting.cancel()
        watching.cancel()

    async def on_late_stream(self, scope: Scope, receive: Receive, send: Send) -> None:
        await self.release.wait()
        await self.on_stream(scope, receive, send)

    async def _watch(self, receive: Receive) -> None:
        while (await receive())["type"] != "http.disconnect":
            pass
        self.gone += 1

    async def on_flood(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Sends until the client has gone."""
        await send({"type": "http.response.start", "status": 200, "headers": []})
        watching = asyncio.ensure_future(self._watch(receive))
        while not watching.done():
            await send({"type": "http.response.body", "body": b"x" * 65536, "more_body": True})
            await asyncio.sleep(0)

    async def on_fail(self, scope: Scope, receive: Receive, send: Send) -> None:
        raise RuntimeError("the application fails")

    async def on_fail_late(self, scope: Scope, receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"10")]})
        await send({"type": "http.response.body", "body": b"123", "more_body": True})
        raise RuntimeError("the application fails")

    async def on_head(self, scope: Scope, receive: Receive, send: Send) -> None:
        header = json.loads(bytes.fromhex(scope["query_string"].decode()))
        await respond(send, b"", (header[0].encode("latin-1"), header[1].encode("latin-1")))

    async def on_503(self, scope: Scope, receive: Receive, send: Send) -> None:
        await respond(send, b"no", status=503)


async def read(receive: Receive) -> bytes | None:
    """The body; None when the client is gone."""
    body = b""
    while True:
        message: Message = await receive()
        if message["type"] == "http.disconnect":
            return None
        body += bytes(message["body"])
        if not message["more_body"]:
            return body


async def answer(send: Send, value: Any) -> None:
    await respond(send, json.dumps(value).encode(), (b"content-type", b"application/json"))


async def respond(send: Send, body: bytes, *headers: tuple[bytes, bytes], status: int = 200) -> None:
    length = (b"content-length", str(len(body)).encode())
    await send({"type": "http.response.start", "status": status, "headers": [*headers, length]})
    await send({"type": "http.response.body", "body": body})


class HttpServer(Process):
    """A stand-in as a process of its own."""

    def __init__(self, log: Path, port: int = 0, config: Any = None, settings: Any = None) -> None:
        super().__init__("http", log)
        ready, ready_write = os.pipe()
        try:
            said = [json.dumps(config or {}), json.dumps(settings or {})]
            argv = [sys.executable, "-m", __name__, str(port), *said, str(ready_write)]
            self.spawn(argv, fds=[ready_write])
            os.close(ready_write)
            self.port: int = read_ready_line(ready, self)["port"]
        finally:
            os.close(ready)

    async def ask(self, path: str) -> Any:
        """What it says to an ordinary request on a connection of its own."""
        async with http_peer(self.port) as peer:
            return (await peer.ask("GET", path)).value


@contextmanager
def http_server(log: Path, port: int = 0, config: Any = None, **settings: Any) -> Iterator[HttpServer]:
    server = HttpServer(log, port, config, settings)
    try:
        yield server
    finally:
        server.stop()


async def serve(port: int, config: HttpConfig, settings: Settings, ready_fd: int) -> None:
    application = Application()
    settings = msgspec.structs.replace(settings, host="127.0.0.1", http_port=port)
    listener = application.listener = HttpListener(HttpModule(config), settings, application)
    await listener.start()
    stopped = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stopped.set)
    ticking = asyncio.create_task(ticks(listener))
    os.write(ready_fd, json.dumps({"port": listener.port}).encode() + b"\n")
    os.close(ready_fd)
    await stopped.wait()
    await listener.stop(settings.drain_timeout)
    ticking.cancel()


async def ticks(listener: HttpListener) -> None:
    while True:
        listener.tick(asyncio.get_running_loop().time())
        await asyncio.sleep(TICK)


if __name__ == "__main__":
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    uvloop.run(
        serve(
            int(sys.argv[1]),
            msgspec.json.decode(sys.argv[2], type=HttpConfig),
            msgspec.json.decode(sys.argv[3], type=Settings),
            int(sys.argv[4]),
        )
    )
