"""The HTTP port alone, on the event loop of gateways, with an application that does what its paths say.

As a program: `python -m tests.support.http_stand_in PORT CONFIG SETTINGS READY_FD`; `CONFIG` and `SETTINGS` are JSON.
"""

import asyncio
import json
import logging
import os
import signal
import sys
from collections.abc import Coroutine, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, cast
from urllib.parse import unquote

import msgspec
import uvloop

from gateway.http.exchange import Exchange
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

    def __call__(self, exchange: Exchange) -> Coroutine[Any, Any, None]:
        self.begun += 1
        handler = getattr(self, "on_" + unquote(exchange.path.decode()).strip("/").replace("-", "_"), self.on_anything)
        return cast("Coroutine[Any, Any, None]", handler(exchange))

    async def on_anything(self, exchange: Exchange) -> None:
        await read(exchange)
        await answer(exchange, {"ok": True})

    async def on_describe(self, exchange: Exchange) -> None:
        assert self.listener is not None
        await answer(exchange, self.listener.describe() | {"gone": self.gone, "begun": self.begun})

    async def on_scope(self, exchange: Exchange) -> None:
        said = {name: getattr(exchange, name) for name in ("method", "path", "query", "version", "request_id")}
        texts = {name: str(value, "latin-1") if isinstance(value, bytes) else value for name, value in said.items()}
        headers = [[name.decode("latin-1"), value.decode("latin-1")] for name, value in exchange.headers]
        await answer(exchange, texts | {"headers": headers, "body": (await read(exchange) or b"").decode("latin-1")})

    async def on_echo(self, exchange: Exchange) -> None:
        body = await read(exchange)
        if body is not None:
            await respond(exchange, body)

    async def on_early(self, exchange: Exchange) -> None:
        await answer(exchange, {"early": True})

    async def on_release(self, exchange: Exchange) -> None:
        released, self.release = self.release, asyncio.Event()
        released.set()
        await answer(exchange, {})

    async def on_early_wait(self, exchange: Exchange) -> None:
        await self.release.wait()
        await answer(exchange, {"waited": True})

    async def on_never(self, exchange: Exchange) -> None:
        await asyncio.Event().wait()

    async def on_wait(self, exchange: Exchange) -> None:
        await read(exchange)
        watching = asyncio.ensure_future(exchange.receive())
        waiting = asyncio.ensure_future(self.release.wait())
        await asyncio.wait([watching, waiting], return_when=asyncio.FIRST_COMPLETED)
        if watching.done():
            self.gone += 1
        await answer(exchange, {"waited": True})
        waiting.cancel()
        watching.cancel()

    async def on_big(self, exchange: Exchange) -> None:
        await respond(exchange, b"x" * int(exchange.query))

    async def on_stream(self, exchange: Exchange) -> None:
        await exchange.send({"type": "http.response.start", "status": 200, "headers": []})
        await exchange.send({"type": "http.response.body", "body": b"first", "more_body": True})
        watching = asyncio.ensure_future(self._watch(exchange))
        waiting = asyncio.ensure_future(self.release.wait())
        await asyncio.wait([watching, waiting], return_when=asyncio.FIRST_COMPLETED)
        await exchange.send({"type": "http.response.body", "body": b"last"})
        waiting.cancel()
        watching.cancel()

    async def on_late_stream(self, exchange: Exchange) -> None:
        await self.release.wait()
        await self.on_stream(exchange)

    async def _watch(self, exchange: Exchange) -> None:
        while (await exchange.receive())["type"] != "http.disconnect":
            pass
        self.gone += 1

    async def on_flood(self, exchange: Exchange) -> None:
        """Sends until the client has gone."""
        await exchange.send({"type": "http.response.start", "status": 200, "headers": []})
        watching = asyncio.ensure_future(self._watch(exchange))
        while not watching.done():
            await exchange.send({"type": "http.response.body", "body": b"x" * 65536, "more_body": True})
            await asyncio.sleep(0)

    async def on_fail(self, exchange: Exchange) -> None:
        raise RuntimeError("the application fails")

    async def on_fail_late(self, exchange: Exchange) -> None:
        await exchange.send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"10")]})
        await exchange.send({"type": "http.response.body", "body": b"123", "more_body": True})
        raise RuntimeError("the application fails")

    async def on_head(self, exchange: Exchange) -> None:
        header = json.loads(bytes.fromhex(exchange.query.decode()))
        await respond(exchange, b"", (header[0].encode("latin-1"), header[1].encode("latin-1")))

    async def on_503(self, exchange: Exchange) -> None:
        await respond(exchange, b"no", status=503)


async def read(exchange: Exchange) -> bytes | None:
    """The body; None when the client is gone."""
    body = b""
    while True:
        message = await exchange.receive()
        if message["type"] == "http.disconnect":
            return None
        body += bytes(message["body"])
        if not message["more_body"]:
            return body


async def answer(exchange: Exchange, value: Any) -> None:
    await respond(exchange, json.dumps(value).encode(), (b"content-type", b"application/json"))


async def respond(exchange: Exchange, body: bytes, *headers: tuple[bytes, bytes], status: int = 200) -> None:
    length = (b"content-length", str(len(body)).encode())
    await exchange.send({"type": "http.response.start", "status": status, "headers": [*headers, length]})
    await exchange.send({"type": "http.response.body", "body": body})


class HttpServer(Process):
    """A stand-in as a process of its own."""

    def __init__(self, log: Path, port: int = 0, config: Any = None, settings: Any = None) -> None:
        super().__init__("http", log)
        ready, ready_write = os.pipe()
        try:
            argv = [str(port), json.dumps(config or {}), json.dumps(settings or {}), str(ready_write)]
            self.fork(__name__, argv, fds=[ready_write])
            os.close(ready_write)
            self.port: int = read_ready_line(ready, self)["port"]
        finally:
            os.close(ready)

    async def ask(self, path: str) -> Any:
        """What it says to an ordinary request on a connection of its own."""
        async with http_peer(self.port) as peer:
            return (await peer.ask("GET", path)).value

    async def has_in_progress(self, count: int) -> bool:
        """Whether it has so many requests, this question among them."""
        return bool((await self.ask("/describe"))["in_progress"] == count)


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


def main() -> None:
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    uvloop.run(
        serve(
            int(sys.argv[1]),
            msgspec.json.decode(sys.argv[2], type=HttpConfig),
            msgspec.json.decode(sys.argv[3], type=Settings),
            int(sys.argv[4]),
        )
    )


if __name__ == "__main__":
    main()
