from itertools import pairwise

from iii_cluster.bus import receiver, sender
from iii_cluster.bus.counters import Counters
from iii_cluster.bus.link import Event, Link
from iii_cluster.bus.packets import ACK, DATA, NACK, PACKET_BYTES, PROBE, Packet, unpack


def new(name: str, birth: int = 1) -> Link:
    return Link(name, birth, Counters())


def give(link: Link, bodies: list[bytes], now: float = 0.0) -> list[bytes]:
    """Feed packets; returns what was delivered."""
    return [item for body in bodies for item in link.receive(unpack(body), len(body), now)]


def kinds(bodies: list[bytes]) -> list[int]:
    return [unpack(body).kind for body in bodies]


def sent(link: Link, *envelopes: bytes, now: float = 0.0) -> list[bytes]:
    """One packet per envelope."""
    out = []
    for envelope in envelopes:
        link.push(envelope)
        out += link.flush(now)
    return out


def test_envelopes_of_one_flush_share_a_packet() -> None:
    a, b = new("a"), new("b")
    for i in range(100):
        a.push(b"%d" % i)
    (body,) = a.flush(0)
    assert give(b, [body]) == [b"%d" % i for i in range(100)]


def test_a_packet_received_twice_is_delivered_once_and_acknowledged_again() -> None:
    a, b = new("a"), new("b")
    packets = sent(a, b"x")
    assert give(b, packets) == [b"x"]
    assert give(b, packets) == []
    assert b.urgent
    assert kinds(b.flush(0)) == [ACK]
    assert b._counters.duplicates == 1


def test_a_gap_is_repaired_by_resending_exactly_what_is_missing() -> None:
    a, b = new("a"), new("b")
    packets = sent(a, b"1", b"2", b"3", b"4")
    assert give(b, [packets[0], packets[3]]) == [b"1"]
    assert b._counters.gaps == 1
    request = b.flush(0)
    assert kinds(request) == [NACK]
    give(a, request)
    assert a.urgent
    again = a.flush(0)
    assert again == packets[1:3]
    assert a._counters.resent == 2
    assert give(b, again) == [b"2", b"3", b"4"]


def test_the_same_gap_is_asked_for_again_only_after_a_while() -> None:
    a, b = new("a"), new("b")
    packets = sent(a, b"1", b"2", b"3")
    give(b, packets[1:2])
    assert kinds(b.flush(0)) == [NACK]
    give(b, packets[2:3])
    assert not b.urgent
    assert b.flush(0.001) == []
    assert b.active
    assert kinds(b.flush(receiver.NACK_INTERVAL)) == [NACK]
    assert not b.active, "a silent sender is not asked for ever"


def test_a_receiver_that_first_hears_the_middle_asks_from_the_beginning() -> None:
    a, b = new("a"), new("b")
    packets = sent(a, b"1", b"2", b"3")
    give(b, packets[2:])
    request = unpack(b.flush(0)[0])
    assert (request.kind, request.ack, request.seq) == (NACK, 0, 2)


def test_acknowledgements_travel_with_data() -> None:
    a, b = new("a"), new("b")
    give(b, sent(a, b"x"))
    reply = sent(b, b"y")
    assert kinds(reply) == [DATA]
    give(a, reply)
    assert a.settled
    assert b.flush(1.0 - 0.95) == []


def test_an_acknowledgement_without_data_waits_a_little() -> None:
    a, b = new("a"), new("b")
    give(b, sent(a, b"x"))
    assert not b.urgent
    assert b.active
    assert b.flush(receiver.ACK_DELAY / 2) == []
    assert kinds(b.flush(receiver.ACK_DELAY)) == [ACK]
    assert not b.active


def test_many_packets_are_acknowledged_without_waiting() -> None:
    a, b = new("a"), new("b")
    give(b, sent(a, *[b"x"] * receiver.ACK_PACKETS))
    assert b.urgent
    assert kinds(b.flush(0)) == [ACK]


def test_a_lost_tail_is_found_by_a_probe() -> None:
    a, b = new("a"), new("b")
    sent(a, b"x")
    assert a.flush(sender.FIRST_PROBE / 2) == []
    probe = a.flush(sender.FIRST_PROBE)
    assert kinds(probe) == [PROBE]
    give(b, probe, 1.0)
    give(a, b.flush(1.0), 1.0)
    assert give(b, a.flush(1.0), 1.0) == [b"x"]


def test_probes_slow_down_until_the_peer_is_heard_or_the_way_is_restored() -> None:
    a, b = new("a"), new("b")
    give(b, sent(a, b"1"))
    give(a, sent(b, b"1"))
    sent(a, b"2")
    times = [t / 100 for t in range(500) if kinds(a.flush(t / 100)) == [PROBE]]
    gaps = [round(later - earlier, 2) for earlier, later in pairwise(times)]
    assert gaps[:3] == [0.1, 0.2, 0.4]
    assert set(gaps[3:]) == {sender.SLOWEST_PROBE}
    a.wake(5.0)
    assert kinds(a.flush(5.0)) == [PROBE]
    b.hail()
    give(a, b.flush(5.0), 5.0)
    assert kinds(a.flush(5.0 + sender.FIRST_PROBE)) == [PROBE]


def test_the_window_holds_packets_back_until_they_are_acknowledged() -> None:
    a, b = Link("a", 1, Counters(), 4 * PACKET_BYTES), new("b")
    envelope = bytes(PACKET_BYTES - 100)
    for _ in range(10):
        a.push(envelope)
    first = a.flush(0)
    assert len(first) == 5, "the last one may exceed the window"
    assert a.flush(0) == []
    assert give(b, first) == [envelope] * 5
    give(a, b.flush(0))
    assert a.urgent
    assert give(b, a.flush(0)) == [envelope] * 5


def test_congestion_is_reported_once_and_lifted_with_hysteresis() -> None:
    a, b = new("a"), new("b")
    a.push(bytes(sender.MAX_WINDOW + sender.CONGESTED_ABOVE * 3 // 2))
    packets = a.flush(0)
    assert a.congested
    assert a.events == [Event.CONGESTED]
    a.flush(0)
    assert a.events == [Event.CONGESTED]
    while packets:
        give(b, packets)
        give(a, b.flush(0))
        packets = a.flush(0)
    assert a.events == [Event.CONGESTED, Event.WRITABLE]
    assert not a.congested


def test_an_overrun_backlog_resets_loudly_on_both_ends_and_the_next_stream_is_clean() -> None:
    a, b = new("a"), new("b")
    assert give(b, sent(a, b"old")) == [b"old"]
    half = bytes(sender.BACKLOG_LIMIT // 2)
    a.push(half)
    lost = a.flush(0)
    assert a.congested
    a.push(half)
    a.push(half)
    assert a.events == [Event.CONGESTED, Event.RESET]
    assert a.backlog == a.in_flight == 0
    a.push(b"new")
    packets = a.flush(0)
    assert a.events[-1] is Event.WRITABLE
    assert give(b, lost[:3]) == []
    assert give(b, packets) == [b"new"]
    assert b.events == [Event.RESET]
    assert give(b, lost) == [], "the old stream is over"


def test_a_reset_is_announced_even_if_nothing_follows() -> None:
    a, b = new("a"), new("b")
    give(b, sent(a, b"1"))
    a._reset()
    a.flush(0)  # lost
    assert a.active
    give(b, a.flush(sender.FIRST_PROBE), 1.0)
    assert b.events == [Event.RESET]


def test_a_peer_that_forgot_this_end_resets_both_directions() -> None:
    a, b = new("a"), new("b")
    give(b, sent(a, b"1"))
    give(a, sent(b, b"1"))
    unheard = sent(b, b"2")
    again = new("a", birth=2)
    assert give(b, sent(again, b"fresh")) == [b"fresh"]
    assert b.events == [Event.RESET]
    assert give(again, b.flush(0)) == []
    assert again.events == [Event.RESET]
    assert give(again, unheard) == []
    assert give(again, sent(b, b"3")) == [b"3"]


def test_packets_far_ahead_are_not_kept() -> None:
    b = new("b")
    for seq in range(2, receiver.HELD_PACKETS + 100):
        b.receive(Packet(DATA, "a", 1 << 20, seq, 0, 0, [b"x"]), 10, 0)
    assert b.held == (receiver.HELD_PACKETS - 1, 10 * (receiver.HELD_PACKETS - 1))
    b = new("b")
    for seq in range(2, 12):
        b.receive(Packet(DATA, "a", 1 << 20, seq, 0, 0, [b"x"]), receiver.HELD_BYTES // 4, 0)
    assert b.held[1] <= receiver.HELD_BYTES


def test_an_acknowledgement_of_what_was_never_sent_is_ignored() -> None:
    a = new("a")
    sent(a, b"1")
    a.receive(Packet(ACK, "b", 1 << 20, 0, 1 << 20, 7), 10, 0)
    assert not a.settled


def test_an_unknown_kind_of_packet_still_acknowledges() -> None:
    a = new("a")
    sent(a, b"1")
    assert a.receive(Packet(99, "b", 1 << 20, 0, 1 << 20, 1), 10, 0) == []
    assert a.settled


def test_a_resend_is_bounded_and_the_rest_is_asked_for_again() -> None:
    a, b = new("a"), new("b")
    packets = sent(a, *[bytes(PACKET_BYTES - 100)] * 20, b"last")
    give(b, packets[-1:])
    give(a, b.flush(0))
    part = a.flush(0)
    assert sum(map(len, part)) <= sender.RESEND_BYTES
    assert len(give(b, part)) == len(part) == 8
    give(a, b.flush(receiver.NACK_INTERVAL), receiver.NACK_INTERVAL)
    assert a.flush(receiver.NACK_INTERVAL)[:1] == packets[8:9]


def test_what_was_pushed_after_a_place_is_known_until_it_is_acknowledged() -> None:
    a, b = new("a"), new("b")
    first = sent(a, b"1", b"2")
    place = a.place
    second = sent(a, b"3", b"4")
    a.push(b"5")
    assert list(a.after(place)) == [b"3", b"4", b"5"]
    assert list(a.after(a.place)) == [b"5"]
    give(b, first)
    give(a, b.flush(10))
    assert list(a.after(place)) == [b"3", b"4", b"5"]
    give(b, second[:1])
    give(a, b.flush(20))
    assert list(a.after(place)) == []  # the other end has gone on from there


def test_an_envelope_in_pieces_lies_after_a_place_only_as_a_whole() -> None:
    a = Link("a", 1, Counters(), window=PACKET_BYTES)
    start = a.place
    long, longer = b"x" * (2 * PACKET_BYTES + 1), b"y" * (3 * PACKET_BYTES)
    a.push(long)
    a.push(longer)
    a.flush(0)
    middle = a.place
    a.push(b"z")
    assert list(a.after(start)) == [long, longer, b"z"]
    assert list(a.after(middle)) == [longer, b"z"]


def test_after_a_place_of_an_earlier_stream_nothing_is_known() -> None:
    a = new("a")
    place = a.place
    a.push(b"x" * (sender.BACKLOG_LIMIT + 1))
    a.push(b"1")
    assert list(a.after(place)) == []
    assert list(a.after(a.place)) == [b"1"]
