"""The receiving half of a link: packets of one sender's stream, back in order, each once. No clock, no socket."""

from math import inf

from iii_cluster.bus.counters import Counters
from iii_cluster.bus.packets import PACKET_BYTES, Packet
from iii_cluster.bus.sender import MAX_WINDOW, WINDOW_PACKETS

ACK_DELAY = 0.02  # seconds an acknowledgement waits for data to travel with
ACK_PACKETS = 64  # received packets, or
ACK_BYTES = PACKET_BYTES  # received bytes that are acknowledged without waiting
NACK_INTERVAL = 0.03  # seconds between requests for the same packets
HELD_PACKETS = 2 * WINDOW_PACKETS  # out of order; a sender that keeps to its window never gets near
HELD_BYTES = 2 * MAX_WINDOW

NOTHING: list[bytes] = []  # shared: callers only read it


class Receiver:
    def __init__(self, counters: Counters) -> None:
        self.stream = 0  # 0: never heard
        self.ack = 0  # last packet received in order
        self._counters = counters
        self._highest = 0  # last packet known to exist
        self._held: dict[int, tuple[Packet, int]] = {}
        self._held_bytes = 0
        self._pieces: list[bytes] = []  # beginning of an envelope that later packets continue
        self._ack_at = inf
        self._unconfirmed = 0  # packets received since the last acknowledgement sent
        self._unconfirmed_bytes = 0
        self._ask = False  # a packet was heard while others are missing; every request answers one
        self._asked_last = 0  # end of the range last asked for
        self._ask_at = 0.0

    @property
    def owes(self) -> bool:
        """Whether an acknowledgement or a request has to go out at some time."""
        return self._ask or self._ack_at < inf

    @property
    def held(self) -> tuple[int, int]:
        """Packets and bytes held out of order."""
        return len(self._held), self._held_bytes

    def restart(self, stream: int) -> None:
        """The sender began a new stream: forget everything of the old one."""
        self.stream = stream
        self.ack = self._highest = 0
        self._held.clear()
        self._held_bytes = 0
        self._pieces = []
        self._unconfirmed = self._unconfirmed_bytes = 0
        self._ack_at = inf
        self._ask = False
        self._asked_last = 0

    def data(self, packet: Packet, size: int, now: float) -> list[bytes]:
        """Take a data packet of `size` bytes; returns the envelopes that are in order now."""
        seq = packet.seq
        if seq != self.ack + 1:
            self._out_of_order(packet, size)
            return NOTHING
        self.ack = seq
        envelopes = self._whole(packet) if packet.more or self._pieces else packet.parts
        self._unconfirmed += 1
        self._unconfirmed_bytes += size
        if self._held:
            envelopes = self._release(envelopes)
        if self.ack < self._highest:
            self._ask = True
        if self._unconfirmed >= ACK_PACKETS or self._unconfirmed_bytes >= ACK_BYTES:
            self.ack_now()
        elif self._ack_at == inf:
            self._ack_at = now + ACK_DELAY
        return envelopes

    def _out_of_order(self, packet: Packet, size: int) -> None:
        seq = packet.seq
        if seq <= self.ack or seq in self._held:
            self._counters.duplicates += 1
            self.ack_now()  # the sender resends: it does not know what arrived
            return
        if seq - self.ack <= HELD_PACKETS and self._held_bytes + size <= HELD_BYTES:
            self._held[seq] = packet, size
            self._held_bytes += size
        self._missing_before(seq)

    def _missing_before(self, last: int) -> None:
        if self._highest <= self.ack:
            self._counters.gaps += 1
        self._highest = max(self._highest, last)
        self._ask = True

    def _release(self, envelopes: list[bytes]) -> list[bytes]:
        envelopes = list(envelopes)
        while (entry := self._held.pop(self.ack + 1, None)) is not None:
            packet, size = entry
            self.ack += 1
            self._held_bytes -= size
            self._unconfirmed += 1
            self._unconfirmed_bytes += size
            envelopes += self._whole(packet)
        return envelopes

    def _whole(self, packet: Packet) -> list[bytes]:
        """Envelopes that end in this packet."""
        parts = packet.parts
        if not parts:
            return parts
        if self._pieces:
            self._pieces.append(parts[0])
            if packet.more and len(parts) == 1:
                return NOTHING
            parts[0] = b"".join(self._pieces)
            self._pieces = []
        if packet.more:
            self._pieces.append(parts.pop())
        return parts

    def probed(self, last: int) -> None:
        """The sender says that `last` is the last packet it sent."""
        if last > self.ack:
            self._missing_before(last)
        else:
            self.ack_now()

    def ack_now(self) -> None:
        self._ack_at = 0.0

    def ack_due(self, now: float) -> bool:
        return now >= self._ack_at

    def ack_sent(self) -> None:
        self._ack_at = inf
        self._unconfirmed = self._unconfirmed_bytes = 0

    def due(self, now: float) -> bool:
        """Whether something should be sent without waiting for the timer."""
        return now >= self._ack_at or (self._ask and self._may_ask(now))

    def missing(self, now: float) -> int:
        """End of the range, from `ack + 1`, to ask for now; 0 for nothing."""
        if not self._ask or not self._may_ask(now):
            return 0
        self._ask = False
        if self._highest <= self.ack:
            return 0
        self._asked_last = min(self._held) - 1 if self._held else self._highest
        self._ask_at = now + NACK_INTERVAL
        return self._asked_last

    def _may_ask(self, now: float) -> bool:
        return self.ack >= self._asked_last or now >= self._ask_at
