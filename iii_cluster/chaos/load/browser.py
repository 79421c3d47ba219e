"""An HTTP client that keeps its connection from request to request, as browsers and proxies do."""

import asyncio
import contextlib
from typing import Any

import httptools
import msgspec
from msgspec import Struct

from iii_cluster.access.trust import Secured
from iii_cluster.chaos.clusters.addresses import tls_of
from iii_cluster.chaos.effects import Request, Visit
from iii_cluster.chaos.history import OPEN
from iii_cluster.chaos.limits import CALL, GIVE_UP
from iii_cluster.chaos.recorder import Recorder

PIECE = 65_536  # bytes read at once
REFUSED = "connection_refused"
LOST = "connection_lost"
GIVEN_UP = "given_up"  # by the client, long after it should have ended


class HttpDoor(Struct, frozen=True):
    """A port of 127.0.0.1 behind which a gateway answers HTTP, "" if there may be several."""

    port: int
    gateway: str
    secured: Secured | None = None


class Browser:
    """One request at a time."""

    def __init__(self, name: str, door: HttpDoor, recorder: Recorder) -> None:
        self._name = name
        self._door = door
        self._recorder = recorder
        self._visit: Visit | None = None
        self._reader: asyncio.StreamReader | None = None
        self._writer: asyncio.StreamWriter | None = None

    async def post(self, kind: str, function: str, path: str, wait: float = 0.0) -> None:
        """A request whose number is the last segment of its path; noted in the history."""
        reused = self._writer is not None
        visit = self._visit if reused and self._visit else self._recorder.visiting(self._name, self._door.gateway)
        self._visit = visit
        made = Request(
            n=self._recorder.number(),
            visit=visit.id,
            kind=kind,
            function=function,
            at=self._recorder.now(),
            wait=wait,
            reused=reused,
        )
        self._recorder.history.requests.append(made)
        try:
            async with asyncio.timeout(CALL + GIVE_UP):
                reply = await self._exchange(f"{path}/{made.n}", {"wait": wait})
        except TimeoutError:
            made.code = GIVEN_UP
            self.close()
        except (OSError, EOFError, httptools.HttpParserError) as error:
            made.code = REFUSED if self._writer is None else f"{LOST} ({type(error).__name__})"
            self.close()
        else:
            made.status = reply.status
            made.code, made.answer = _read(reply)
        if self._recorder.history.ended == OPEN:
            made.ended = self._recorder.now()

    async def status(self, path: str) -> int:
        """Of the answer to a request without a number, 0 without one."""
        try:
            async with asyncio.timeout(CALL):
                return (await self._exchange(f"{path}/0", {"wait": 0})).status
        except (OSError, EOFError, httptools.HttpParserError):  # a timeout is an OSError
            self.close()
            return 0

    async def _exchange(self, path: str, body: Any) -> "_Reply":
        if self._writer is None:
            self._reader, self._writer = await asyncio.open_connection(
                "127.0.0.1", self._door.port, **tls_of(self._door.secured)
            )
        assert self._reader is not None
        data = msgspec.json.encode(body)
        head = f"POST {path} HTTP/1.1\r\nHost: chaos\r\nContent-Type: application/json\r\nContent-Length: {len(data)}"
        self._writer.write(f"{head}\r\n\r\n".encode() + data)
        reply = _Reply()
        while not reply.complete:
            piece = await self._reader.read(PIECE)
            if not piece:
                raise EOFError
            reply.parser.feed_data(piece)
        if not reply.kept:
            self.close()
        return reply

    def close(self) -> None:
        if self._visit is not None and self._recorder.history.ended == OPEN:
            self._visit.closed = self._recorder.now()
        if self._writer is not None:
            with contextlib.suppress(OSError):
                self._writer.close()
        self._reader = self._writer = None


class _Reply:
    def __init__(self) -> None:
        self.parser = httptools.HttpResponseParser(self)
        self.status = 0
        self.body = b""
        self.complete = False
        self.kept = False  # its connection may serve another request

    def on_body(self, data: bytes) -> None:
        self.body += data

    def on_message_complete(self) -> None:
        self.status = self.parser.get_status_code()
        self.kept = self.parser.should_keep_alive()  # it tells only here
        self.complete = True


def _read(reply: _Reply) -> tuple[str, int | None]:
    """Error code, or the number that came back."""
    try:
        body = msgspec.json.decode(reply.body)
    except msgspec.DecodeError:
        body = None
    members = body if isinstance(body, dict) else {}
    if reply.status == 200:
        return "", members.get("n")
    error = members.get("error")
    return str(error.get("code", "")) if isinstance(error, dict) else "", None
