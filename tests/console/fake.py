"""A server that serves the console's page and answers with what a test gives it: sizes and values no cluster has."""

import asyncio
import json
import threading
from pathlib import Path
from typing import Any

from aiohttp import web

import coordinator

ASSETS = Path(coordinator.__file__).parent / "console" / "assets"
POLICY = (
    "default-src 'self'; img-src 'self' data:; object-src 'none'; base-uri 'none'; form-action 'none'; "
    "frame-ancestors 'none'"
)
Json = dict[str, Any]


class FakeConsole:
    """Runs in a thread of its own. `topics` is what `/live` and `/api` answer, by topic."""

    def __init__(self, topics: Json, session: Json) -> None:
        self.topics = topics
        self.session = session
        self.invoked: list[Json] = []  # what was called
        self.values: Json = {}  # of state, by key
        self.port = 0
        self._loop = asyncio.new_event_loop()
        self._sockets: dict[web.WebSocketResponse, dict[str, Json]] = {}  # filters by topic
        self._runner = web.AppRunner(self._app(), shutdown_timeout=0.5)
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)

    def start(self) -> "FakeConsole":
        self._thread.start()
        asyncio.run_coroutine_threadsafe(self._start(), self._loop).result(10)
        return self

    def stop(self) -> None:
        asyncio.run_coroutine_threadsafe(self._runner.cleanup(), self._loop).result(20)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(10)
        self._loop.close()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/"

    def tell(self, topic: str, data: Any) -> None:
        """Changes a topic and tells the pages that watch it."""
        self.topics[topic] = data
        asyncio.run_coroutine_threadsafe(self._tell(topic), self._loop).result(10)

    def tell_late(self, topic: str, data: Any, asked: Json) -> None:
        """As an answer to a filter that the page has left."""

        async def tell() -> None:
            for socket in list(self._sockets):
                await socket.send_json({"topic": topic, "data": data, "filter": asked})

        asyncio.run_coroutine_threadsafe(tell(), self._loop).result(10)

    def _app(self) -> web.Application:
        app = web.Application()
        app.router.add_get("/live", self._live)
        app.router.add_get("/api/session", self._session)
        app.router.add_post("/api/invoke", self._invoke)
        app.router.add_get("/api/states/{scope}/{key}", self._value)
        app.router.add_route("PUT", "/api/states/{scope}/{key}", self._change)
        app.router.add_route("DELETE", "/api/states/{scope}/{key}", self._change)
        app.router.add_get("/api/{path:.*}", self._api)
        app.router.add_get("/", self._index)
        app.router.add_static("/", ASSETS)
        app.on_response_prepare.append(self._headers)
        return app

    async def _start(self) -> None:
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", 0)
        await site.start()
        self.port = self._runner.addresses[0][1]

    async def _headers(self, _request: web.Request, response: web.StreamResponse) -> None:
        response.headers["Content-Security-Policy"] = POLICY
        response.headers["X-Content-Type-Options"] = "nosniff"

    async def _index(self, _request: web.Request) -> web.StreamResponse:
        return web.FileResponse(ASSETS / "index.html")

    async def _session(self, request: web.Request) -> web.Response:
        shown = request.headers.get("Authorization", "") == f"Bearer {self.session.get('token')}"
        session = {**self.session, "writable": shown, "token_shown": shown}
        return web.json_response({key: value for key, value in session.items() if key != "token"})

    async def _invoke(self, request: web.Request) -> web.Response:
        self.invoked.append(await request.json())
        return web.json_response({"result": self.invoked[-1]["data"], "duration_ms": 3.2, "trace_id": "a" * 32})

    async def _value(self, request: web.Request) -> web.Response:
        return web.json_response({"value": self.values.get(request.match_info["key"])})

    async def _change(self, request: web.Request) -> web.Response:
        key = request.match_info["key"]
        old = self.values.pop(key, None)
        if request.method == "PUT":
            self.values[key] = (await request.json())["value"]
        return web.json_response({"old_value": old})

    async def _api(self, request: web.Request) -> web.Response:
        path = request.match_info["path"]
        topic = path if path in self.topics else path.split("/")[0].removesuffix("s")
        return web.json_response(self.topics.get(topic, {}))

    async def _live(self, request: web.Request) -> web.WebSocketResponse:
        socket = web.WebSocketResponse()
        await socket.prepare(request)
        self._sockets[socket] = {}
        try:
            async for message in socket:
                said = json.loads(message.data)
                before = self._sockets[socket]
                watched = {topic: said["filters"].get(topic, {}) for topic in said["watch"]}
                self._sockets[socket] = watched
                for topic, asked in watched.items():
                    if before.get(topic) != asked:
                        await self._send(socket, topic, asked)
        finally:
            del self._sockets[socket]
        return socket

    async def _tell(self, topic: str) -> None:
        for socket, watched in list(self._sockets.items()):
            if topic in watched:
                await self._send(socket, topic, watched[topic])

    async def _send(self, socket: web.WebSocketResponse, topic: str, asked: Json) -> None:
        if topic in self.topics:
            await socket.send_json({"topic": topic, "data": self.topics[topic], "filter": asked})
