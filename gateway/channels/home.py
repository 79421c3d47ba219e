"""The channels made at this gateway: how many there may be, and how long they wait for somebody. Pure."""

from collections import Counter
from math import inf

from iii_cluster.protocol.errors import EngineError
from iii_cluster.routing.ids import Ids

from .channel import Channel
from .ends import ReaderEnd, WriterEnd
from .pipe import OK

DEFAULT_BUFFER = 64  # messages
MAX_BUFFER = 1024

LIFETIME = 300.0  # s in which both ends of a channel must be taken
PROMISED = 2.0  # s in which whoever asks for a channel is expected to use it
MAX_CHANNELS = 100_000  # of one gateway
MAX_OF_CREATOR = 10_000  # of one worker connection
# Connections come and go, and what they made stays for a while: the rest is for HTTP requests.
MAX_OF_WORKERS = 80_000
MAX_OF_RESTRICTED = 40_000  # of all workers under rules

TOO_MANY = "channel_limit_reached"


class Home:
    """By id. `now` moves with `expire`, so ages are as coarse as it is called."""

    def __init__(self, ids: Ids) -> None:
        self._ids = ids
        self._channels: dict[str, Channel] = {}
        self._waiting: dict[str, Channel] = {}  # for somebody to take an end, oldest first
        self._of_creator: Counter[str] = Counter()
        self._of_workers = 0
        self._of_restricted = 0
        self._restricted: set[str] = set()  # creators under rules
        self._connected: set[str] = set()  # ids of those that sockets have come for
        self._promised_at = -inf  # when a worker last asked for one, or a socket came for one
        self._now = 0.0

    def __len__(self) -> int:
        return len(self._channels)

    @property
    def unfinished(self) -> bool:
        """Sockets are at channels, or about to come. Messages that nobody has come for do not count."""
        if self._waiting and self._now - self._promised_at <= PROMISED:
            return True
        return any(self._channels[id].pipe.alive for id in self._connected)

    def create(self, buffer: int, creator: str, *, restricted: bool = False) -> Channel:
        """`restricted`: its creator is under rules. Raises EngineError when there are too many."""
        if len(self._channels) >= MAX_CHANNELS:
            raise EngineError(TOO_MANY, f"this gateway has {MAX_CHANNELS} channels")
        if creator:
            self._count(creator, restricted)
            self._promised_at = self._now
        if not 1 <= buffer <= MAX_BUFFER:
            buffer = min(max(buffer, 1), MAX_BUFFER)
        new = self._ids.new
        channel = Channel(self, new(), new(), buffer, self._now, creator)
        self._channels[channel.id] = self._waiting[channel.id] = channel
        return channel

    def _count(self, creator: str, restricted: bool) -> None:
        if self._of_creator[creator] >= MAX_OF_CREATOR:
            raise EngineError(TOO_MANY, f"this worker has {MAX_OF_CREATOR} channels")
        if self._of_workers >= MAX_OF_WORKERS:
            raise EngineError(TOO_MANY, f"the workers of this gateway have {MAX_OF_WORKERS} channels")
        if restricted:
            if self._of_restricted >= MAX_OF_RESTRICTED:
                raise EngineError(TOO_MANY, f"the workers under rules have {MAX_OF_RESTRICTED} channels")
            self._restricted.add(creator)
            self._of_restricted += 1
        self._of_creator[creator] += 1
        self._of_workers += 1

    def _count_off(self, creator: str) -> None:
        self._of_workers -= 1
        self._of_restricted -= creator in self._restricted
        self._of_creator[creator] -= 1
        if not self._of_creator[creator]:
            del self._of_creator[creator]
            self._restricted.discard(creator)

    def find(self, id: str) -> Channel | None:
        return self._channels.get(id)

    def remove(self, channel: Channel) -> None:
        """It is over, or nobody shall take its ends any more."""
        if self._channels.pop(channel.id, None) is None:
            return
        self._waiting.pop(channel.id, None)
        self._connected.discard(channel.id)
        if channel.creator:
            self._count_off(channel.creator)

    def discard(self, channel: Channel) -> None:
        """Nobody new may come, and our own ends are closed; sockets that have come go on until they end."""
        self.remove(channel)
        if not channel.touched:
            return
        if isinstance(channel.writing, WriterEnd):
            channel.writing.close()
        elif not channel.writing:
            channel.pipe.finish(OK, "")
        if isinstance(channel.reading, ReaderEnd):
            channel.reading.close()
        elif not channel.reading:
            channel.pipe.refuse(OK, "")

    def expire(self, now: float) -> None:
        """Remove those that waited too long for somebody; who waits there is told."""
        self._now = now
        for channel in list(self._waiting.values()):
            if now - channel.created <= LIFETIME:
                break
            self.remove(channel)
            if channel.touched:
                channel.pipe.fail("the other end was never taken")

    def connected(self, channel: Channel) -> None:
        self._connected.add(channel.id)
        self._promised_at = self._now

    def complete(self, channel: Channel) -> None:
        self._waiting.pop(channel.id, None)

    def incomplete(self, channel: Channel) -> None:
        if channel.id in self._channels:
            self._waiting.setdefault(channel.id, channel)
