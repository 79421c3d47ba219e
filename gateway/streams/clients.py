"""The clients of one gateway: their groups heard over Redis, snapshots read for them."""

import asyncio
import logging

import msgspec

from iii_cluster.bus.endpoint import Endpoint
from iii_cluster.modules.stream.follow import Following, decode, sync
from iii_cluster.protocol.errors import EngineError
from iii_cluster.redis.commands import Unavailable

from .fanout import Event, Fanout, Key, Read
from .frames import text_frames
from .redis_subscriptions import RedisSubscriptions

RETRY = 0.5  # seconds between attempts to read a snapshot while Redis is away

log = logging.getLogger(__name__)


class Clients:
    """Implements the effects of `Fanout` and is the audience of `RedisSubscriptions`."""

    def __init__(self, following: Following, label: str) -> None:
        self.fanout = Fanout(self)
        self._following = following
        server = Endpoint(following.server)
        self._subscriptions = RedisSubscriptions(server, label, following.probe, self, following.publish)
        self._keys: dict[bytes, Key] = {}  # by channel
        self._reading: set[asyncio.Task[None]] = set()

    def start(self) -> None:
        self._subscriptions.start()

    async def stop(self) -> None:
        await self._subscriptions.stop()
        for task in self._reading:
            task.cancel()
        if self._reading:
            await asyncio.wait(self._reading)

    def check(self, now: float) -> None:
        """To be called once a second."""
        self._subscriptions.check(now)

    # -- effects of the fan-out --------------------------------------------------------------------

    def listen(self, key: Key) -> None:
        channel = self._following.channel(*key)
        self._keys[channel] = key
        self._subscriptions.subscribe(channel)

    def unlisten(self, key: Key) -> None:
        channel = self._following.channel(*key)
        del self._keys[channel]
        self._subscriptions.unsubscribe(channel)

    def read(self, read: Read) -> None:
        task = asyncio.get_running_loop().create_task(self._read(read))
        self._reading.add(task)
        task.add_done_callback(self._reading.discard)

    async def _read(self, read: Read) -> None:
        """Until it is read, or nobody wants it any more, or there is nothing to be read."""
        while self.fanout.wants(read):
            try:
                snapshot = await self._following.snapshot(read.stream, read.group, read.item, read.floor)
            except Unavailable:
                await asyncio.sleep(RETRY)  # what was missed meanwhile is told by nobody else
            except Exception as error:
                unexpected = not isinstance(error, EngineError | OSError)
                log.warning("action=stream_snapshot_failed stream=%s error=%s", read.stream, error, exc_info=unexpected)
                self.fanout.unreadable(read)
                return
            else:
                frame = text_frames(sync(read.stream, read.group, read.item, snapshot))
                self.fanout.snapshot(read, snapshot.timestamp, frame)
                return

    # -- audience of the subscriptions -------------------------------------------------------------

    def heard(self, channel: bytes) -> None:
        key = self._keys.get(channel)
        if key is not None:
            self.fanout.heard(key)

    def message(self, channel: bytes, body: bytes) -> None:
        key = self._keys.get(channel)
        if key is None:
            return
        try:
            message = decode(body)
        except msgspec.MsgspecError as error:  # of somebody else: scripts publish what can be read
            log.warning("action=stream_message_unreadable stream=%s error=%s", key[0], error)
            return
        frame = b"" if message.large else text_frames(body)
        self.fanout.event(key, Event(message.timestamp, message.id, message.custom, frame))

    def deaf(self) -> None:
        self.fanout.deaf()
