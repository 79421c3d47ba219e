"""Live sockets: clients say what they watch, and are sent it whenever it has changed.

What several of them watch is looked at once. Of each topic a socket is sent the newest version only: a reader that is
slow misses some, and costs no more memory than one version of each.
"""

import asyncio
import logging
import re
from collections.abc import Callable, Mapping
from hashlib import blake2b
from typing import Any

import msgspec
from msgspec import Struct

from iii_cluster.node.requests import Receive, Scope, Send, header

from .failure import Failure, bad_request, unavailable
from .filters import read_filter
from .gate import Gate
from .reading import Topic

MAX_SOCKETS = 32
MAX_FRAME = 64 * 2**10  # bytes of what a client says
MAX_WATCHED = 16  # topics of one socket
MAX_FEEDS = 128  # of all sockets together
MAX_KEPT = 64 * 2**20  # bytes of their newest versions together
FIRST_FRAME = 5.0  # s a socket may take to say what it wants
FRAMES_PER_SECOND = 20
UNKNOWN_TOKEN = 4401  # close code

# When an answer was made: no reason to send it again.
_STAMP = re.compile(rb'"timestamp": *[0-9]+')

logger = logging.getLogger(__name__)


class Watch(Struct):
    """What a client says; each time all of it."""

    watch: list[str] = []
    filters: dict[str, dict[str, Any]] = {}
    token: str = ""


class Kept:
    """What the newest versions of all feeds take."""

    def __init__(self) -> None:
        self.bytes = 0

    def has_room(self, more: int) -> bool:
        return more <= 0 or self.bytes + more <= MAX_KEPT


class Feed:
    """One topic with one filter, as long as somebody watches it."""

    def __init__(self, topic: Topic, asked: Struct, kept: "Kept") -> None:
        self.topic = topic
        self.frame = b""  # the newest one; b"": not looked at yet
        self.watchers: set[Viewer] = set()
        self.task: asyncio.Task[None] | None = None
        self._asked = asked
        self._digest = b""
        self._kept = kept

    async def run(self) -> None:
        while True:
            frame = await self._look()
            if not self._kept.has_room(len(frame) - len(self.frame)):
                frame = self._failed(unavailable("what is watched here is too large already; ask for less"))
            said = _STAMP.sub(b"", frame) if self.topic.stamped else frame
            digest = blake2b(said, digest_size=16).digest()
            if digest != self._digest:
                self._kept.bytes += len(frame) - len(self.frame)
                self._digest, self.frame = digest, frame
                for viewer in self.watchers:
                    viewer.changed(self)
            await asyncio.sleep(self.topic.interval)

    async def _look(self) -> bytes:
        name = msgspec.json.encode(self.topic.name)
        try:
            data = await self.topic.fetch(self._asked)
        except Failure as failure:
            return self._failed(failure)
        except Exception:
            logger.exception("action=console_topic_failed topic=%s", self.topic.name)
            return b'{"topic":%b,"error":{"code":"internal_error","message":"the console failed"}}' % name
        return b'{"topic":%b,"data":%b}' % (name, data)

    def _failed(self, failure: Failure) -> bytes:
        return b'{"topic":%b,"error":%b}' % (msgspec.json.encode(self.topic.name), msgspec.json.encode(failure.error()))

    def end(self) -> None:
        self._kept.bytes -= len(self.frame)
        if self.task is not None:
            self.task.cancel()


class Feeds:
    """All of them, by topic and filter."""

    def __init__(self, topics: list[Topic]) -> None:
        self._topics = {topic.name: topic for topic in topics}
        self._feeds: dict[tuple[str, bytes], Feed] = {}
        self._kept = Kept()

    def __len__(self) -> int:
        return len(self._feeds)

    def watch(self, viewer: "Viewer", said: Watch) -> list[Feed]:
        """Those that `viewer` watches from now on, instead of all before. Raises Failure, and then nothing changes."""
        wanted = list(dict.fromkeys(said.watch))
        if len(wanted) > MAX_WATCHED:
            raise bad_request(f"a socket watches {MAX_WATCHED} topics at most")
        asked = {name: self._asked(name, said.filters.get(name, {})) for name in wanted}
        keys = {(name, msgspec.json.encode(asked[name])): name for name in wanted}
        if len(self._feeds.keys() | keys.keys()) > MAX_FEEDS:
            raise unavailable("too many different topics are watched")
        feeds = []
        for key, name in keys.items():
            feed = self._feeds.get(key)
            if feed is None:
                feed = self._feeds[key] = Feed(self._topics[name], asked[name], self._kept)
                feed.task = asyncio.create_task(feed.run(), name=f"console-{name}")
            feed.watchers.add(viewer)
            feeds.append(feed)
        self.leave(viewer, feeds)
        return feeds

    def leave(self, viewer: "Viewer", but: list[Feed]) -> None:
        """It watches only these any more."""
        for key, feed in list(self._feeds.items()):
            if viewer in feed.watchers and feed not in but:
                feed.watchers.discard(viewer)
                if not feed.watchers:
                    del self._feeds[key]
                    feed.end()

    def _asked(self, name: str, said: Mapping[str, Any]) -> Struct:
        topic = self._topics.get(name)
        if topic is None:
            raise bad_request(f"there is no topic {name[:64]}")
        asked: Struct = read_filter(topic.filter, said)
        return asked

    async def close(self) -> None:
        tasks = [feed.task for feed in self._feeds.values() if feed.task is not None]
        self._feeds.clear()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


class Viewer:
    """One socket."""

    def __init__(self, receive: Receive, send: Send) -> None:
        self.receive = receive
        self._send = send
        self._feeds: list[Feed] = []
        self._filters: dict[str, bytes] = {}  # as it said them, by topic; JSON
        self._due: dict[Feed | None, bytes] = {}  # feeds in the order they changed; None: an error of the client
        self._something = asyncio.Event()

    def changed(self, feed: Feed) -> None:
        self._due.setdefault(feed, b"")
        self._something.set()

    def complain(self, failure: Failure) -> None:
        self._due[None] = msgspec.json.encode({"topic": "", "error": failure.error()})
        self._something.set()

    def watches(self, feeds: list[Feed], filters: Mapping[str, Mapping[str, Any]]) -> None:
        """From now on, by the `filters` it said."""
        self._filters = {name: msgspec.json.encode(said) for name, said in filters.items() if said}
        self._due = {feed: frame for feed, frame in self._due.items() if feed is None or feed in feeds}
        for feed in feeds:
            if feed.frame and feed not in self._feeds:
                self.changed(feed)
        self._feeds = feeds

    def _told(self, feed: Feed) -> bytes:
        """With the filter in its own words: what was on its way when it said another one can be told apart."""
        said = self._filters.get(feed.topic.name)
        return feed.frame if said is None else b'%b,"filter":%b}' % (feed.frame[:-1], said)

    async def write(self, may_read: Callable[[], bool]) -> None:
        """Send what is due, for ever; waits while the client does not read. Ends when it may not read any more."""
        while True:
            await self._something.wait()
            self._something.clear()
            while self._due:
                if not may_read():
                    await self._send(_closing("the token is none of this console's any more"))
                    return
                feed = next(iter(self._due))
                frame = self._due.pop(feed) or (self._told(feed) if feed is not None else b"")
                await self._send({"type": "websocket.send", "text": frame.decode()})


class Live:
    """The ASGI application behind /live."""

    def __init__(self, gate: Gate, topics: list[Topic]) -> None:
        self._gate = gate
        self._feeds = Feeds(topics)
        self._viewers: set[Viewer] = set()

    def __len__(self) -> int:
        return len(self._viewers)

    async def close(self) -> None:
        await self._feeds.close()

    async def serve(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Raises Failure before the handshake is answered."""
        if len(self._viewers) >= MAX_SOCKETS:
            raise unavailable(f"{MAX_SOCKETS} live sockets are open already")
        viewer = Viewer(receive, send)
        self._viewers.add(viewer)
        try:
            await receive()  # websocket.connect
            await send({"type": "websocket.accept"})
            await self._serve(viewer, header(scope, b"authorization"), send)
        finally:
            self._viewers.discard(viewer)
            self._feeds.leave(viewer, [])

    async def _serve(self, viewer: Viewer, shown: list[str], send: Send) -> None:
        try:
            async with asyncio.timeout(FIRST_FRAME):
                message = await viewer.receive()
        except TimeoutError:
            await send(_closing("nothing was said"))
            return
        try:
            shown = [*shown, *_token(message)]
            self._gate.check_reader(shown, asyncio.get_running_loop().time())
        except Failure as failure:
            await send(_closing(failure.message))
            return
        writing = asyncio.create_task(viewer.write(lambda: self._gate.may_read(shown)), name="console-viewer")
        try:
            while message["type"] == "websocket.receive":
                self._heard(viewer, message)
                await asyncio.sleep(1 / FRAMES_PER_SECOND)
                message = await viewer.receive()
        finally:
            writing.cancel()
            await asyncio.gather(writing, return_exceptions=True)

    def _heard(self, viewer: Viewer, message: Mapping[str, Any]) -> None:
        try:
            said = _read(message)
            viewer.watches(self._feeds.watch(viewer, said), said.filters)
        except Failure as failure:
            viewer.complain(failure)


def _closing(reason: str) -> dict[str, Any]:
    return {"type": "websocket.close", "code": UNKNOWN_TOKEN, "reason": reason}


def _read(message: Mapping[str, Any]) -> Watch:
    try:
        return msgspec.json.decode(message.get("text") or b"", type=Watch)
    except (msgspec.MsgspecError, RecursionError) as error:
        raise bad_request(f"the frame cannot be read: {error}") from None


def _token(message: Mapping[str, Any]) -> list[str]:
    """Of the first frame, as a header would show it."""
    if message["type"] != "websocket.receive":
        return []
    try:
        token = _read(message).token
    except Failure:
        return []
    return [f"Bearer {token}"] if token else []
