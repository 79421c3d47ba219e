"""One channel over three gateways, with losses of gateways and links: nothing lost silently, doubled or reordered."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from gateway.channels import pipe as pipes
from gateway.channels.home import LIFETIME
from gateway.channels.pipe import Pipe
from iii_cluster.bus.envelopes import ChannelData
from tests.support.channel_world import UNREAD, FakeWire, World

WINDOW = 8  # bytes; messages have up to 9
NAMES = ("gateway-00000001", "gateway-00000002", "gateway-00000003")
PLACES = st.sampled_from(NAMES)


class OneChannel(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.patch = pytest.MonkeyPatch()
        self.patch.setattr(pipes, "MAX_BYTES", WINDOW)
        self.world = World(*NAMES, window=WINDOW)
        self.sent: list[tuple[bytes, bool]] = []
        self.writer: FakeWire | None = None
        self.reader: FakeWire | None = None
        self.others: list[FakeWire] = []
        self.places: dict[str, str] = {}
        self.broken = False  # something was lost: a gateway, mail, or patience
        self.left: int | None = None  # how the writer left, of its own will
        self.reader_left = False

    @initialize(capacity=st.integers(1, 5), place=PLACES)
    def create(self, capacity: int, place: str) -> None:
        self.capacity = capacity
        self.place = place
        self.home = self.world.gateways[place]
        self.channel = self.home.home.create(capacity, "worker")

    # -- clients -----------------------------------------------------------------------------------

    @precondition(lambda self: self.writer is None and not self.world.moving)
    @rule(place=PLACES)
    def writer_comes(self, place: str) -> None:
        self.writer = self._attach(place, write=True)

    @precondition(lambda self: self.reader is None and not self.world.moving)
    @rule(place=PLACES)
    def reader_comes(self, place: str) -> None:
        self.reader = self._attach(place, write=False)

    def _attach(self, place: str, *, write: bool) -> FakeWire | None:
        if place not in self.world.gateways or self.place not in self.world.gateways:
            return None
        self.places["write" if write else "read"] = place
        wire = FakeWire()
        self.world.gateways[place].attach(self.home, self.channel, wire, write=write)
        return wire

    @rule(place=PLACES, write=st.booleans())
    def another_comes(self, place: str, write: bool) -> None:
        """For an end that is taken: it disturbs nobody."""
        first = self.writer if write else self.reader
        if first is not None and first.end is not None and {place, self.place} <= self.world.gateways.keys():
            wire = FakeWire()
            self.others.append(wire)
            self.world.gateways[place].attach(self.home, self.channel, wire, write=write)

    @precondition(lambda self: self.writer is not None and self.writer.open and not self.writer.pauses)
    @rule(sizes=st.lists(st.integers(0, 9), min_size=1, max_size=3), text=st.booleans())
    def write(self, sizes: list[int], text: bool) -> None:
        self.write_all(sizes, text)

    def write_all(self, sizes: list[int], text: bool) -> None:
        """A read of its socket brings several messages, whether or not the pipe is full after the first."""
        writer = self.writer
        assert writer is not None
        for size in sizes:
            if writer.open and writer.end is not None:
                data = bytes([len(self.sent) % 256]) * size
                self.sent.append((data, text))
                writer.end.on_message(data, text)

    @precondition(lambda self: self.reader is not None and self.reader.inbox)
    @rule()
    def read(self) -> None:
        assert self.reader is not None
        self.reader.read()

    @precondition(lambda self: self.writer is not None and self.writer.open)
    @rule(code=st.sampled_from((1000, 1005, 0, 4001)))
    def writer_leaves(self, code: int) -> None:
        assert self.writer is not None
        self.writer.leave(code)
        if self.writer.end is not None:
            self.left = code
        self._forget_those_turned_away()

    @precondition(lambda self: self.reader is not None and self.reader.open)
    @rule(code=st.sampled_from((1000, 0)))
    def reader_leaves(self, code: int) -> None:
        assert self.reader is not None
        self.reader.leave(code)
        if self.reader.end is not None:
            self.reader_left = True
        self._forget_those_turned_away()

    # -- the cluster -------------------------------------------------------------------------------

    @precondition(lambda self: self.world.moving)
    @rule(which=st.integers(0, 5), count=st.integers(1, 8))
    def deliver(self, which: int, count: int) -> None:
        for _ in range(count):
            if self.world.moving:
                self.world.deliver(self.world.moving[which % len(self.world.moving)])

    @precondition(lambda self: len(self.sent) > 6)
    @rule(one=PLACES, other=PLACES)
    def reset(self, one: str, other: str) -> None:
        if one != other and {one, other} <= self.world.gateways.keys():
            self.broken = True
            self.world.reset(one, other)

    @precondition(lambda self: len(self.sent) > 6)
    @rule(name=PLACES)
    def kill(self, name: str) -> None:
        if name in self.world.gateways:
            self.broken = True
            self.world.kill(name)
            for end, wire in (("write", self.writer), ("read", self.reader)):
                if wire is not None and self.places.get(end) == name:
                    wire.end = None
                    wire.open = False
                    wire.closed_with = (1006, "")

    @precondition(lambda self: any(gateway.asking for gateway in self.world.gateways.values()))
    @rule()
    def answers_take_too_long(self) -> None:
        for gateway in self.world.gateways.values():
            gateway.give_up(self.place)
        self._forget_those_turned_away()

    def _forget_those_turned_away(self) -> None:
        """They, or who left before they had an end, may come again once that is known everywhere."""
        if self.writer is not None and self.writer.gone and self.writer.end is None and self.left is None:
            self.writer = None
        if self.reader is not None and self.reader.gone and self.reader.end is None and not self.reader_left:
            self.reader = None

    # -- what must hold ----------------------------------------------------------------------------

    @invariant()
    def in_order_and_once(self) -> None:
        if self.reader is not None:
            arrived = [*self.reader.received, *self.reader.inbox]
            assert arrived == self.sent[: len(arrived)]

    @invariant()
    def memory_is_bounded(self) -> None:
        for messages, size in (pipe.queued for pipe in self._pipes()):
            assert messages <= self.capacity + 3
            assert size <= WINDOW + 4 * 9
        if self.reader is not None:
            assert len(self.reader.inbox) <= UNREAD
        for queue in self.world.links.values():
            under_way = [len(envelope.data) for envelope in queue if isinstance(envelope, ChannelData)]
            assert len(under_way) <= self.capacity
            assert sum(under_way[:-1]) < WINDOW

    def _pipes(self) -> list[Pipe]:
        gateways = self.world.gateways.values()
        pipes = [hop.pipe for gateway in gateways for hop in gateway.hops._hops.values()]
        return [*pipes, self.channel.pipe] if hasattr(self, "channel") else pipes

    def teardown(self) -> None:
        try:
            if hasattr(self, "channel"):
                self._come_to_rest()
                self._check_ends()
                self._nothing_is_left()
        finally:
            self.patch.undo()

    def _come_to_rest(self) -> None:
        """Everything arrives, the reader reads all of it."""
        while True:
            if self.world.moving:
                self.world.deliver(self.world.moving[0])
            elif self.reader is not None and self.reader.inbox:
                self.reader.read()
            else:
                return

    def _check_ends(self) -> None:
        writer, reader = self.writer, self.reader
        assert not any(other.open for other in self.others) or self.broken
        if writer is not None and reader is not None:
            if writer.gone:
                assert reader.gone
            assert writer.gone or not writer.pauses  # the reader has read all, or is gone
            if reader.gone and writer.open and writer.end is not None:
                writer.end.on_message(b"next", True)
                assert writer.gone
        if writer is None or reader is None or self.broken or self.reader_left:
            return
        assert reader.received == self.sent
        if self.left is not None:
            assert reader.closed_with is not None
            assert reader.closed_with[0] == {1000: 1000, 1005: 1000, 0: 1011, 4001: 4001}[self.left]
        else:
            assert reader.open

    def _nothing_is_left(self) -> None:
        for wire in (self.writer, self.reader):
            if wire is not None:
                wire.leave(1000)
        self._come_to_rest()
        for gateway in self.world.gateways.values():
            gateway.home.expire(LIFETIME + 1)
        self._come_to_rest()
        for gateway in self.world.gateways.values():
            assert not len(gateway.hops)
            assert not len(gateway.home)
            assert not gateway.home._of_creator
            assert not gateway.home._connected


OneChannel.TestCase.settings = settings(max_examples=200, stateful_step_count=40, deadline=None)
TestOneChannel = OneChannel.TestCase


# A write of messages of these sizes, a read, or mail on one of the links that have some.
STEPS = st.one_of(
    st.lists(st.integers(0, 9), min_size=1, max_size=4).map(lambda sizes: ("write", sizes)),
    st.lists(st.just(0), min_size=1, max_size=4).map(lambda reads: ("read", reads)),
    st.lists(st.integers(0, 5), min_size=1, max_size=8).map(lambda links: ("deliver", links)),
)


@settings(max_examples=300)
@given(places=st.tuples(PLACES, PLACES, PLACES), capacity=st.integers(1, 5), steps=st.lists(STEPS, max_size=60))
def test_while_all_live_everything_arrives(
    places: tuple[str, str, str], capacity: int, steps: list[tuple[str, list[int]]]
) -> None:
    run = OneChannel()
    try:
        run.create(capacity, places[0])
        run.writer_comes(places[1])
        run.reader_comes(places[2])
        for what, numbers in steps:
            for number in numbers:
                if what == "deliver" and run.world.moving:
                    run.world.deliver(run.world.moving[number % len(run.world.moving)])
                elif what == "read" and run.reader is not None and run.reader.inbox:
                    run.reader.read()
            if what == "write" and run.writer is not None and not run.writer.pauses:
                run.write_all(numbers, text=bool(numbers[0] % 2))
            run.in_order_and_once()
            run.memory_is_bounded()
    finally:
        run.teardown()
