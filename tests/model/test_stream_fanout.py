"""Whatever happens in whatever order: clients end with what is stored, and no message takes them back.

The model of Redis gives timestamps in the order of the writes; messages, snapshots, losses of the channel and clients
that do not read come between them at random.
"""

import ast

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from gateway.streams.fanout import Event, Fanout, Key, Read, Subscription

KEY = ("chat", "room")
ITEMS = ("a", "b")


class Client:
    """Applies what it is sent; a frame is (timestamp, item or None for a snapshot, value or values)."""

    def __init__(self, item: str | None) -> None:
        self.congested = False
        self.values: dict[str, int] = {}
        self.newest: dict[str, int] = {}  # item -> timestamp
        self.subscription = Subscription("s", *KEY, item, self)

    def send(self, frame: bytes) -> bool:
        if self.congested:
            return False
        timestamp, item, values = ast.literal_eval(frame.decode())
        for name in ITEMS if item is None else (item,):
            assert timestamp > self.newest.get(name, 0), "a message takes the client back"
            self.newest[name] = timestamp
        if item is None:
            self.values = values
        else:
            self.values[item] = values
        return True


class FanoutMachine(RuleBasedStateMachine):
    @initialize()
    def begin(self) -> None:
        self.fanout = Fanout(self, held_bytes=100)
        self.clock = 0
        self.stored: dict[str, int] = {}
        self.channel: list[Event] = []  # published and not heard yet
        self.subscribed = False
        self.reads: list[Read] = []
        self.done: list[tuple[Read, int, dict[str, int]]] = []  # read, on the way
        self.clients: list[Client] = []

    # -- effects

    def listen(self, _key: Key) -> None:
        self.subscribed = False

    def unlisten(self, _key: Key) -> None:
        self.subscribed = False
        self.channel = []

    def read(self, read: Read) -> None:
        self.reads.append(read)

    # -- what happens

    @rule(item=st.sampled_from(ITEMS), large=st.booleans())
    def write(self, item: str, large: bool) -> None:
        self.clock += 1
        self.stored[item] = self.clock
        if self.subscribed:
            frame = b"" if large else repr((self.clock, item, self.clock)).encode()
            self.channel.append(Event(self.clock, item, False, frame))

    @precondition(lambda self: self.channel)
    @rule()
    def hear(self) -> None:
        self.fanout.event(KEY, self.channel.pop(0))

    @precondition(lambda self: self.clients and not self.subscribed)
    @rule()
    def subscribe(self) -> None:
        self.subscribed = True
        self.fanout.heard(KEY)

    @precondition(lambda self: self.subscribed)
    @rule()
    def lose(self) -> None:
        self.subscribed = False
        self.channel = []
        self.fanout.deaf()

    @precondition(lambda self: self.reads)
    @rule()
    def look(self) -> None:
        """Redis executes the snapshot."""
        read = self.reads.pop(0)
        self.clock = max(self.clock, read.floor) + 1
        self.done.append((read, self.clock, dict(self.stored)))

    @precondition(lambda self: self.done)
    @rule()
    def answer(self) -> None:
        read, timestamp, stored = self.done.pop(0)
        values = stored if read.item is None else {k: v for k, v in stored.items() if k == read.item}
        self.fanout.snapshot(read, timestamp, repr((timestamp, None, values)).encode())

    @precondition(lambda self: len(self.clients) < 4)
    @rule(item=st.sampled_from((None, *ITEMS)))
    def join(self, item: str | None) -> None:
        self.clients.append(Client(item))
        self.fanout.join(self.clients[-1].subscription)

    @precondition(lambda self: self.clients)
    @rule(data=st.data())
    def leave(self, data: st.DataObject) -> None:
        client = self.clients.pop(data.draw(st.integers(0, len(self.clients) - 1)))
        self.fanout.leave(client.subscription)

    @precondition(lambda self: self.clients)
    @rule(data=st.data())
    def stop_or_go_on_reading(self, data: st.DataObject) -> None:
        client = self.clients[data.draw(st.integers(0, len(self.clients) - 1))]
        client.congested = not client.congested
        if not client.congested:
            self.fanout.keeps_up([client.subscription])

    # -- what must hold

    @invariant()
    def counts_fit(self) -> None:
        if hasattr(self, "clients"):
            assert self.fanout.subscriptions == len(self.clients)
            assert len(self.fanout) == bool(self.clients)

    def teardown(self) -> None:
        if not hasattr(self, "clients"):
            return
        for client in self.clients:
            client.congested = False
            self.fanout.keeps_up([client.subscription])
        if self.clients and not self.subscribed:
            self.subscribe()
        while self.channel or self.reads or self.done:
            while self.channel:
                self.hear()
            if self.reads:
                self.look()
            elif self.done:
                self.answer()
        for client in self.clients:
            item = client.subscription.item
            expected = self.stored if item is None else {k: v for k, v in self.stored.items() if k == item}
            assert client.values == expected


FanoutMachine.TestCase.settings = settings(max_examples=200, stateful_step_count=50, deadline=None)
TestFanout = FanoutMachine.TestCase
