"""One link: what makes Redis pub/sub between two nodes reliable. Pure: `now` is an argument, effects are returned.

Numbered packets, cumulative acknowledgements, requests for what is missing, probes when the other side is silent.
While both ends live every envelope is delivered once and in order. What cannot be repaired resets a direction:
the sender drops what is undelivered and starts a new stream, and both ends report it.

Streams only grow. The upper bits are the birth of the link object, so an end that forgot its peer and starts over
is told from a late packet, and its peer resets too: its packets may have been delivered to the forgotten past.
"""

from collections.abc import Iterator
from enum import Enum

from iii_cluster.bus.counters import Counters
from iii_cluster.bus.packets import ACK, DATA, NACK, PROBE, Packet, pack
from iii_cluster.bus.receiver import NOTHING, Receiver
from iii_cluster.bus.sender import MAX_WINDOW, RESETS_BITS, Place, Sender


class Event(Enum):
    RESET = "reset"  # envelopes were lost in one direction or both
    CONGESTED = "congested"
    WRITABLE = "writable"


class Link:
    """Both directions between node `me` and one peer.

    `birth` must grow with every link a process makes. Call `flush` after `push`, when `urgent` is set, and
    every few milliseconds while `active`; publish what it returns. Times are seconds of any one clock.
    """

    def __init__(self, me: str, birth: int, counters: Counters, window: int = MAX_WINDOW) -> None:
        self.urgent = False  # something should be flushed in this tick
        self.events: list[Event] = []  # to be drained by the caller, before delivering what `receive` returned
        self._me = me
        self._counters = counters
        self._sender = Sender(me, birth, window, counters)
        self._receiver = Receiver(counters)

    @property
    def congested(self) -> bool:
        return self._sender.congested

    @property
    def active(self) -> bool:
        """Whether anything is unsent, unacknowledged or owed: `flush` has to be called by a timer."""
        return self._sender.owes or self._receiver.owes

    @property
    def settled(self) -> bool:
        """Whether the peer has acknowledged everything."""
        return not self._sender.owes

    @property
    def blank(self) -> bool:
        """Whether nothing was sent or received in order so far."""
        return not (self._sender.owes or self._sender.last or self._receiver.ack)

    @property
    def sent(self) -> int:
        """Number of the last packet sent in this stream."""
        return self._sender.last

    @property
    def place(self) -> Place:
        """Where the next packet will begin."""
        return self._sender.place

    def after(self, place: Place) -> Iterator[bytes]:
        """The envelopes pushed that lie wholly after a place of the present stream and are not acknowledged."""
        return self._sender.after(place)

    @property
    def in_flight(self) -> int:
        """Bytes sent and not acknowledged."""
        return self._sender.in_flight

    @property
    def backlog(self) -> int:
        """Bytes waiting for the window."""
        return self._sender.queued

    @property
    def held(self) -> tuple[int, int]:
        """Packets and bytes received out of order."""
        return self._receiver.held

    def set_window(self, size: int) -> None:
        """Bytes that may be in flight from now on."""
        self._sender.window = size

    def push(self, envelope: bytes) -> None:
        """Queue one encoded envelope. Overrunning the backlog resets the link and drops the envelope with it."""
        if not self._sender.push(envelope):
            self._reset()

    def flush(self, now: float) -> list[bytes]:
        """Packets to publish, in this order."""
        sender, receiver = self._sender, self._receiver
        self.urgent = False
        out: list[bytes] = []
        if sender.resending:
            sender.resend(out)
        if sender.emit(out, receiver.stream, receiver.ack, now):
            receiver.ack_sent()
        if last := receiver.missing(now):
            out.append(self._control(NACK, last))
            receiver.ack_sent()
        if now >= sender.probe_at:
            sender.probed(now)
            out.append(self._control(PROBE, sender.last))
            receiver.ack_sent()
        if receiver.ack_due(now):
            out.append(self._control(ACK, 0))
            receiver.ack_sent()
        if (congested := sender.congestion()) is not None:
            self.events.append(Event.CONGESTED if congested else Event.WRITABLE)
        return out

    def call(self) -> bytes:
        """A packet that makes the peer answer, whether or not anything is owed."""
        return self._control(PROBE, self._sender.last)

    def _control(self, kind: int, seq: int) -> bytes:
        return pack(kind, self._me, self._sender.stream, seq, self._receiver.stream, self._receiver.ack)

    def receive(self, packet: Packet, size: int, now: float) -> list[bytes]:
        """Take a packet of `size` bytes from the peer; returns envelopes in order."""
        sender, receiver = self._sender, self._receiver
        if packet.stream != receiver.stream and not self._follow(packet.stream):
            return NOTHING
        if packet.ack_stream == sender.stream:
            sender.acked(packet.ack, now)
        envelopes = NOTHING
        if packet.kind == DATA:
            envelopes = receiver.data(packet, size, now)
        elif packet.kind == NACK:
            if packet.ack_stream == sender.stream:
                sender.nacked(packet.ack + 1, packet.seq)
        elif packet.kind == PROBE:
            receiver.probed(packet.seq)
        elif packet.kind == ACK:
            sender.heard_peer(now)
        if receiver.due(now) or sender.resending or (sender.queue and sender.open):
            self.urgent = True
        return envelopes

    def _follow(self, stream: int) -> bool:
        """Restart at a newer stream of the peer; False for an older one."""
        known = self._receiver.stream
        if stream < known:
            return False
        self._receiver.restart(stream)
        if known and stream >> RESETS_BITS > known >> RESETS_BITS:
            self._reset()  # the peer lost its memory of what it received from here
        elif known or stream % (1 << RESETS_BITS):
            self._report_reset()
        return True

    def _reset(self) -> None:
        self._sender.reset()
        self.urgent = True
        self._report_reset()

    def _report_reset(self) -> None:
        self._counters.resets += 1
        if Event.RESET not in self.events:
            self.events.append(Event.RESET)

    def wake(self, now: float) -> None:
        """Packets may have been lost on the way out: probe with the next flush."""
        self._sender.wake(now)

    def hail(self) -> None:
        """Packets may have been lost on the way in: acknowledge with the next flush, so that the peer probes."""
        if self._receiver.stream:
            self._receiver.ack_now()
