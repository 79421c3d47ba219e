"""Two links over a transport that loses, repeats, reorders, delays and breaks."""

import random
from typing import Any
from unittest import mock

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from iii_cluster.bus import receiver, sender
from iii_cluster.bus.counters import Counters
from iii_cluster.bus.link import Event, Link
from iii_cluster.bus.packets import unpack

TICK = 0.02
SETTLE_TICKS = 200  # 4 s: the slowest probe, and rounds of bounded resends
HEADER = 80  # more than a packet's fields besides its envelopes take

# Small enough that windows fill, backlogs overrun and envelopes are cut within a few steps.
SMALL_SENDER: dict[str, Any] = {
    "PACKET_BYTES": 200,
    "WINDOW_PACKETS": 8,
    "BACKLOG_LIMIT": 6_000,
    "CONGESTED_ABOVE": 1_500,
    "WRITABLE_BELOW": 300,
    "RESEND_BYTES": 700,
}
SMALL_RECEIVER: dict[str, Any] = {"ACK_PACKETS": 3, "ACK_BYTES": 500, "HELD_PACKETS": 16, "HELD_BYTES": 4_000}
SMALL_WINDOW = 1_000


def envelope(stream: int, number: int, size: int) -> bytes:
    """Names its place in its stream; the rest is derived from that, so that a wrong piece shows."""
    head = b"%d %d %d|" % (stream, number, size)
    return head + bytes([number % 251]) * max(size - len(head), 0)


class Side:
    """One end: its link, what it was given to send, and a check of everything it delivers."""

    def __init__(self, name: str, window: int) -> None:
        self.name = name
        self.window = window
        self.peer = self  # set by pair()
        self.births = 0
        self.wire: list[bytes] = []  # on the way to the other side
        self.past: list[bytes] = []  # everything that was ever on the way
        self.renew()

    def renew(self) -> None:
        """Forget the peer and everything about it."""
        self.births += 1
        self.link = Link(self.name, self.births, Counters(), self.window)
        self.pushed = 0  # envelopes in the current stream
        self.heard_stream = 0  # of the last envelope delivered
        self.heard = 0  # envelopes delivered of that stream
        self.resets = 0
        self.announced = True  # whether the peer has reported the last reset of this side's stream
        self.known_resets = 0  # those that were seen when the last envelope was delivered
        self.forgotten_stream = 0  # one that the peer has forgotten: what it delivered of it is not known any more

    @property
    def stream(self) -> int:
        return self.link._sender.stream

    def push(self, size: int) -> None:
        stream = self.stream
        self.link.push(envelope(stream, self.pushed, size))
        self.pushed += 1
        self.notice_reset(stream)

    def flush(self, now: float) -> None:
        bodies = self.link.flush(now)
        self.wire += bodies
        self.past += bodies
        self.take_events()

    def receive(self, body: bytes, now: float) -> None:
        before = self.stream
        delivered = self.link.receive(unpack(body), len(body), now)
        self.notice_reset(before)
        self.take_events()
        for item in delivered:
            self.check(item)

    def notice_reset(self, before: int) -> None:
        if self.stream != before:
            assert Event.RESET in self.link.events, "the sender gave up silently"
            self.pushed = 0
            self.announced = False

    def take_events(self) -> None:
        if Event.RESET in self.link.events:
            self.resets += 1
            self.peer.announced = True
        self.link.events.clear()

    def check(self, item: bytes) -> None:
        stream, number, size = map(int, item.split(b"|", 1)[0].split())
        assert item == envelope(stream, number, size), "damaged on the way"
        if stream != self.heard_stream:
            assert stream > self.heard_stream, "an old stream came back"
            assert not self.heard_stream or self.resets > self.known_resets, "a stream was given up silently"
            self.heard_stream, self.heard = stream, 0
        assert number == self.heard, "lost, repeated or out of order"
        self.heard += 1
        self.known_resets = self.resets


def pair(window: int, window_back: int) -> tuple[Side, Side]:
    a, b = Side("a", window), Side("b", window_back)
    a.peer, b.peer = b, a
    return a, b


def settle(a: Side, b: Side, now: float) -> float:
    """No more faults: everything has to arrive within SETTLE_TICKS."""
    for _ in range(SETTLE_TICKS):
        now += TICK
        for side in (a, b):
            side.flush(now)
        while a.wire or b.wire:
            for source, target in ((a, b), (b, a)):
                bodies, source.wire = source.wire, []
                for body in bodies:
                    target.receive(body, now)
                if target.link.urgent:
                    target.flush(now)
        if not a.link.active and not b.link.active:
            break
    for source, target in ((a, b), (b, a)):
        assert not source.link.active, "still owes something"
        assert not source.link.congested
        assert source.announced, "the receiver was not told of a reset"
        if target.link._receiver.stream == source.stream:
            assert target.link.held == (0, 0)
        if source.pushed and source.stream != source.forgotten_stream:
            assert (target.heard_stream, target.heard) == (source.stream, source.pushed), "not everything arrived"
    return now


sides = st.sampled_from([0, 1])


class LinkMachine(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.patches = [
            mock.patch.multiple(sender, **SMALL_SENDER),
            mock.patch.multiple(receiver, **SMALL_RECEIVER),
        ]
        for patch in self.patches:
            patch.start()
        self.sides = pair(SMALL_WINDOW, SMALL_WINDOW)
        self.now = 100.0

    def teardown(self) -> None:
        try:
            settle(*self.sides, self.now)
        finally:
            for patch in self.patches:
                patch.stop()

    @initialize()
    def begin(self) -> None:
        self.sides[0].push(10)

    @rule(side=sides, sizes=st.lists(st.integers(0, 150) | st.integers(150, 1_200), min_size=1, max_size=8))
    def push(self, side: int, sizes: list[int]) -> None:
        for size in sizes:
            self.sides[side].push(size)

    @rule(side=sides)
    def flush(self, side: int) -> None:
        self.sides[side].flush(self.now)

    @rule(side=sides, n=st.integers(1, 10))
    def deliver_in_order(self, side: int, n: int) -> None:
        source, target = self.sides[side], self.sides[1 - side]
        bodies, source.wire = source.wire[:n], source.wire[n:]
        for body in bodies:
            target.receive(body, self.now)
        if target.link.urgent:
            target.flush(self.now)

    @rule(side=sides, index=st.integers(0, 50), again=st.booleans())
    def deliver_any(self, side: int, index: int, again: bool) -> None:
        source, target = self.sides[side], self.sides[1 - side]
        if source.wire:
            index %= len(source.wire)
            target.receive(source.wire[index] if again else source.wire.pop(index), self.now)

    @rule(side=sides, index=st.integers(0, 500))
    def deliver_from_the_past(self, side: int, index: int) -> None:
        source, target = self.sides[side], self.sides[1 - side]
        if source.past:
            target.receive(source.past[index % len(source.past)], self.now)

    @rule(side=sides, again=st.integers(1, 3))
    def overrun_the_backlog(self, side: int, again: int) -> None:
        for _ in range(again):
            before = self.sides[side].stream
            while self.sides[side].stream == before:
                self.sides[side].push(2_000)
        self.sides[side].push(20)

    @rule(side=sides, index=st.integers(0, 50), n=st.integers(1, 5))
    def lose(self, side: int, index: int, n: int) -> None:
        wire = self.sides[side].wire
        if wire:
            index %= len(wire)
            del wire[index : index + n]

    @rule()
    def lose_everything_on_the_way(self) -> None:
        for side in self.sides:
            side.wire.clear()

    @rule(side=sides)
    def reconnect(self, side: int) -> None:
        self.sides[side].link.wake(self.now)
        self.sides[side].link.hail()

    @rule(seconds=st.sampled_from([0.001, TICK, 0.11, 0.6]))
    def let_time_pass(self, seconds: float) -> None:
        self.now += seconds
        for side in self.sides:
            if side.link.active:
                side.flush(self.now)

    @rule(side=sides)
    def forget_the_peer(self, side: int) -> None:
        self.sides[side].renew()
        self.sides[side].wire.clear()
        self.sides[1 - side].forgotten_stream = self.sides[1 - side].stream
        self.sides[1 - side].announced = True  # to a past that is gone

    @rule()
    def recover(self) -> None:
        self.now = settle(*self.sides, self.now)

    @invariant()
    def bounds_hold(self) -> None:
        for side in self.sides:
            link = side.link
            assert link.in_flight <= SMALL_WINDOW + SMALL_SENDER["PACKET_BYTES"] + HEADER
            assert len(link._sender.unacked) <= SMALL_SENDER["WINDOW_PACKETS"]
            assert link.backlog <= SMALL_SENDER["BACKLOG_LIMIT"]
            packets, size = link.held
            assert packets <= SMALL_RECEIVER["HELD_PACKETS"]
            assert size <= SMALL_RECEIVER["HELD_BYTES"]


TestLinkMachine = pytest.mark.timeout(300)(LinkMachine.TestCase)
TestLinkMachine.settings = settings(max_examples=150, stateful_step_count=50, deadline=None)


@settings(max_examples=15, deadline=None)
@given(seed=st.integers(0, 2**32), loss=st.sampled_from([0.0, 0.1, 0.5]))
def test_big_envelopes_arrive_whole_with_the_real_limits(seed: int, loss: float) -> None:
    chance = random.Random(seed)
    a, b = pair(sender.MAX_WINDOW, sender.MIN_WINDOW)
    now = 5.0
    for _ in range(20):
        for source, target in ((a, b), (b, a)):
            for _ in range(chance.randrange(30)):
                source.push(chance.choice((10, 1_000, 64 * 1024, 65 * 1024, 1_000_000)))
            source.flush(now)
            bodies, source.wire = source.wire, []
            for body in bodies:
                if chance.random() >= loss:
                    target.receive(body, now)
        now += chance.choice((0.001, TICK))
    settle(a, b, now)
    assert a.resets == b.resets == 0
