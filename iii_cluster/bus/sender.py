"""The sending half of a link: a queue cut into numbered packets, kept until acknowledged. No clock, no socket."""

from collections import deque
from collections.abc import Iterator
from itertools import islice
from math import inf
from typing import NamedTuple

from iii_cluster.bus.counters import Counters
from iii_cluster.bus.packets import DATA, PACKET_BYTES, pack, unpack

MAX_WINDOW = 4 * 2**20  # bytes on the way to one peer; Redis cuts a subscriber off at 32 MB, or 8 MB for 60 s
MIN_WINDOW = 256 * 2**10
WINDOW_PACKETS = 1024
BACKLOG_LIMIT = 256 * 2**20  # bytes waiting for the window; more is an overrun and resets the link
CONGESTED_ABOVE = 2**20  # bytes waiting for the window
WRITABLE_BELOW = CONGESTED_ABOVE // 4
RESEND_BYTES = 512 * 2**10  # resent per request, so that repairs cannot overrun the subscriber again
FIRST_PROBE = 0.1  # seconds without progress; well above the receiver's ack delay
SLOWEST_PROBE = 0.5
PART_OVERHEAD = 16  # bytes accounted per envelope, so that tiny ones fill packets and windows too

RESETS_BITS = 20  # a stream is (birth of the link object, resets since), as one growing number


class Place(NamedTuple):
    """Where a stream stands between two packets."""

    stream: int
    packet: int  # the last one before it
    cut: bool  # that one ends within an envelope


class Sender:
    def __init__(self, me: str, birth: int, window: int, counters: Counters) -> None:
        self.stream = birth << RESETS_BITS
        self.window = window
        self.queue: deque[bytes | memoryview] = deque()  # a memoryview is a piece that the next entry continues
        self.queued = 0  # bytes in the queue, with overhead
        self.unacked: deque[bytes] = deque()  # packets `base` and up
        self.in_flight = 0  # bytes in `unacked`
        self.probe_at = inf
        self.congested = False
        self._me = me
        self._counters = counters
        self._base = 1
        self._cut = False  # the last packet ends within an envelope
        self._hello = False  # owes an empty packet that tells the receiver of the new stream
        self._probe_delay = FIRST_PROBE
        self._resend_first = 0  # requested range, 0 for none
        self._resend_last = 0

    @property
    def last(self) -> int:
        """Number of the last packet sent in this stream."""
        return self._base + len(self.unacked) - 1

    @property
    def place(self) -> Place:
        """Where the next packet will begin."""
        return Place(self.stream, self.last, self._cut)

    @property
    def owes(self) -> bool:
        """Whether anything waits to be sent or acknowledged."""
        return bool(self.unacked or self.queue or self._hello)

    @property
    def open(self) -> bool:
        """Whether the window has room. It may be exceeded by part of one packet."""
        return self.in_flight < self.window and len(self.unacked) < WINDOW_PACKETS

    @property
    def resending(self) -> bool:
        return self._resend_last > 0

    def push(self, envelope: bytes) -> bool:
        """Queue an envelope; False if that overran the backlog."""
        size = len(envelope)
        if size <= PACKET_BYTES:
            self.queue.append(envelope)
            self.queued += size + PART_OVERHEAD
        else:
            view = memoryview(envelope)
            final = (size - 1) // PACKET_BYTES * PACKET_BYTES
            self.queue.extend(view[start : start + PACKET_BYTES] for start in range(0, final, PACKET_BYTES))
            self.queue.append(envelope[final:])
            self.queued += size + (final // PACKET_BYTES + 1) * PART_OVERHEAD
        return self.queued <= BACKLOG_LIMIT

    def reset(self) -> None:
        """Drop everything undelivered and start a new stream, which tells the receiver."""
        self.stream += 1
        self.queue.clear()
        self.unacked.clear()
        self.queued = self.in_flight = 0
        self.probe_at = inf
        self._base = 1
        self._cut = False
        self._hello = True
        self._probe_delay = FIRST_PROBE
        self._resend_first = self._resend_last = 0

    def emit(self, out: list[bytes], ack_stream: int, ack: int, now: float) -> bool:
        """Append to `out` the packets the window has room for; False if there were none."""
        sent = False
        while (self.queue or self._hello) and self.open:
            parts, more = self._next_parts()
            packet = pack(DATA, self._me, self.stream, self.last + 1, ack_stream, ack, parts, more)
            if not self.unacked:
                self.probe_at = now + FIRST_PROBE
            self.unacked.append(packet)
            self.in_flight += len(packet)
            self._hello = False
            self._cut = more
            out.append(packet)
            sent = True
            self._counters.packets += 1
            self._counters.bytes += len(packet)
            self._counters.envelopes += len(parts) - more
        return sent

    def _next_parts(self) -> tuple[list[bytes | memoryview], bool]:
        queue = self.queue
        if self.queued <= PACKET_BYTES:  # also means that there are no pieces: with its end, a piece is longer
            parts = list(queue)
            queue.clear()
            self.queued = 0
            return parts, False
        parts = []
        size = 0
        while queue and (not parts or size + len(queue[0]) + PART_OVERHEAD <= PACKET_BYTES):
            part = queue.popleft()
            parts.append(part)
            size += len(part) + PART_OVERHEAD
        self.queued -= size
        return parts, isinstance(parts[-1], memoryview)

    def acked(self, ack: int, now: float) -> None:
        """The receiver has everything up to packet `ack`."""
        unacked = self.unacked
        if not self._base <= ack <= self.last:
            return  # an old acknowledgement, overtaken by a newer one
        for _ in range(ack - self._base + 1):
            self.in_flight -= len(unacked.popleft())
        self._base = ack + 1
        self._probe_delay = FIRST_PROBE
        self.probe_at = now + FIRST_PROBE if unacked else inf

    def after(self, place: Place) -> Iterator[bytes]:
        """The envelopes that lie wholly after a place of this stream, as far as they are not acknowledged; of another
        stream none are known."""
        if place.stream != self.stream or place.packet < self._base - 1:
            return
        broken = place.cut  # what comes first continues what may have arrived
        pieces: list[bytes] = []
        for part, continues in self._parts_after(place.packet):
            pieces.append(part)
            if not continues:
                if not broken:
                    yield b"".join(pieces)
                pieces, broken = [], False

    def _parts_after(self, number: int) -> Iterator[tuple[bytes, bool]]:
        """Parts of the packets after this one, then of the queue; whether the next part continues each."""
        for body in islice(self.unacked, number - self._base + 1, None):
            packet = unpack(body)
            last = len(packet.parts) - 1
            for at, part in enumerate(packet.parts):
                yield part, packet.more and at == last
        for entry in self.queue:
            yield bytes(entry), isinstance(entry, memoryview)

    def nacked(self, first: int, last: int) -> None:
        """The receiver misses packets `first` to `last`, as far as it has not acknowledged them meanwhile."""
        self._resend_first, self._resend_last = first, last

    def resend(self, out: list[bytes]) -> None:
        """Append to `out` what was asked for again, up to RESEND_BYTES; the receiver will ask for the rest."""
        start = max(self._resend_first - self._base, 0)
        budget = RESEND_BYTES
        for packet in islice(self.unacked, start, max(self._resend_last - self._base + 1, 0)):
            if budget < len(packet):
                break
            budget -= len(packet)
            out.append(packet)
            self._counters.resent += 1
        self._resend_first = self._resend_last = 0

    def heard_peer(self, now: float) -> None:
        """The peer is alive: look soon whether it has everything."""
        if self.unacked:
            self._probe_delay = FIRST_PROBE
            self.probe_at = min(self.probe_at, now + FIRST_PROBE)

    def wake(self, now: float) -> None:
        """The way to the peer was broken: probe at once."""
        if self.unacked:
            self._probe_delay = FIRST_PROBE
            self.probe_at = now

    def probed(self, now: float) -> None:
        """A probe is being sent; the next one waits longer."""
        self.probe_at = now + self._probe_delay
        self._probe_delay = min(self._probe_delay * 2, SLOWEST_PROBE)

    def congestion(self) -> bool | None:
        """The congestion flag if it has just changed, else None."""
        if not self.congested and self.queued > CONGESTED_ABOVE:
            self.congested = True
            return True
        if self.congested and self.queued < WRITABLE_BELOW:
            self.congested = False
            return False
        return None
