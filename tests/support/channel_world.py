"""Gateways with channels, without sockets, bus or clock: every step is taken by the test."""

from collections import deque
from typing import Any

from gateway.channels.channel import Channel
from gateway.channels.home import Home
from gateway.channels.hops import Hop, Hops, Window
from gateway.channels.pipe import Pipe
from gateway.channels.sockets import ReaderSocket, WriterSocket
from iii_cluster.bus.envelopes import ChannelData, ChannelEnded, ChannelOpened, ChannelRefused, ChannelTaken, Envelope
from iii_cluster.routing.ids import Ids

CONGESTED = 3  # envelopes on a link
UNREAD = 2  # messages a reader's socket takes until it is read


class FakeWire:
    """A client's socket: what it was sent, whether it is read, how it was closed."""

    def __init__(self) -> None:
        self.open = True
        self.end: WriterSocket | ReaderSocket | None = None
        self.inbox: deque[tuple[bytes, bool]] = deque()  # sent to it, and not read by it
        self.received: list[tuple[bytes, bool]] = []
        self.closed_with: tuple[int, str] | None = None
        self.pauses = 0

    @property
    def congested(self) -> bool:
        return len(self.inbox) >= UNREAD

    @property
    def gone(self) -> bool:
        return not self.open

    def send_message(self, data: bytes, text: bool) -> None:
        assert self.open
        self.inbox.append((data, text))

    def read(self) -> None:
        """The client reads one message."""
        was_congested = self.congested
        self.received.append(self.inbox.popleft())
        if was_congested and not self.congested and self.end is not None:
            self.end.on_congestion(False)

    def close(self, code: int, reason: str) -> None:
        """From the gateway; the client answers at once."""
        if self.open:
            self.closed_with = code, reason
            self.leave(0)

    finish = close

    def leave(self, code: int) -> None:
        """The client closes, or breaks off with 0."""
        if self.open:
            self.open = False
            if self.end is not None:
                self.end.on_closed(code, "")

    def pause(self) -> None:
        self.pauses += 1

    def resume(self) -> None:
        self.pauses -= 1
        assert self.pauses >= 0


class Asked(Envelope, tag=-1):
    """Stands for the question for an end."""

    number: int
    id: str
    key: str
    write: bool


class Answered(Envelope, tag=-2):
    number: int
    given: bool
    messages: int
    size: int


class Reset(Envelope, tag=-3):
    """What the receiver hears when the link was reset."""


class Gateway:
    """One gateway of the world; `send` and `congested` are its links."""

    def __init__(self, name: str, world: "World") -> None:
        self.name = name
        self.world = world
        self.home = Home(Ids(name))
        self.hops = Hops(self)
        self.asking: dict[int, tuple[FakeWire, Pipe, Hop, bool]] = {}

    def send(self, node: str, envelope: Envelope) -> None:
        self.world.links.setdefault((self.name, node), deque()).append(envelope)

    def congested(self, node: str) -> bool:
        return len(self.world.links.get((self.name, node), ())) > CONGESTED

    def attach(self, home: "Gateway", channel: Channel, wire: FakeWire, *, write: bool) -> None:
        """A client comes for an end of a channel of `home`."""
        if home is self:
            if channel.take(write=write):
                attach(wire, channel.pipe, write=write)
            else:
                wire.close(1008, "taken")
            return
        pipe = Pipe(0)
        hop = self.hops.reach_out(home.name, pipe, write=write)
        self.asking[hop.key.number] = wire, pipe, hop, write
        self.send(home.name, Asked(hop.key.number, channel.id, channel.key, write))

    def on_asked(self, node: str, said: Asked) -> None:
        channel = self.home.find(said.id)
        if channel is None or not channel.take(write=said.write):
            self.send(node, Answered(said.number, False, 0, 0))
            return
        window = Window(channel.capacity, self.world.window)
        write = said.write
        self.hops.give(node, said.number, channel.pipe, window, lambda: channel.give_back(write=write), write=write)
        self.send(node, Answered(said.number, True, window.messages, window.size))

    def on_answered(self, node: str, said: Answered) -> None:
        asking = self.asking.pop(said.number, None)
        if asking is None:
            return
        wire, pipe, hop, write = asking
        if not said.given:
            self.hops.drop(hop)
            wire.close(1008, "refused")
        elif not wire.open:
            self.hops.withdraw(hop, "its client has left")
        else:
            pipe.capacity = said.messages
            self.hops.opened(hop, Window(said.messages, said.size))
            attach(wire, pipe, write=write)

    def give_up(self, home: str) -> None:
        """No answer came in time, or ever will."""
        for number, (wire, _, hop, _) in list(self.asking.items()):
            if hop.key.node == home:
                del self.asking[number]
                self.hops.withdraw(hop, "not in time")
                wire.close(1011, "unavailable")

    def node_lost(self, node: str) -> None:
        self.give_up(node)
        self.hops.node_lost(node, f"{node} was lost")

    def hear(self, node: str, envelope: Any) -> None:
        handlers: dict[type[Envelope], Any] = {
            ChannelData: self.hops.on_data,
            ChannelOpened: self.hops.on_opened,
            ChannelTaken: self.hops.on_taken,
            ChannelEnded: self.hops.on_ended,
            ChannelRefused: self.hops.on_refused,
            Asked: self.on_asked,
            Answered: self.on_answered,
            Reset: lambda node, _: self.node_lost(node),
        }
        handlers[type(envelope)](node, envelope)


class World:
    """Gateways by name, and what is under way between them: in order, by (from, to)."""

    def __init__(self, *names: str, window: int) -> None:
        self.window = window  # bytes
        self.links: dict[tuple[str, str], deque[Envelope]] = {}
        self.gateways = {name: Gateway(name, self) for name in names}

    @property
    def moving(self) -> list[tuple[str, str]]:
        """Links with something on them."""
        return [link for link, queue in self.links.items() if queue and link[1] in self.gateways]

    def deliver(self, link: tuple[str, str]) -> None:
        source, target = link
        queue = self.links[link]
        envelope = queue.popleft()
        if len(queue) == CONGESTED and source in self.gateways:
            self.gateways[source].hops.link_writable(target)
        self.gateways[target].hear(source, envelope)

    def reset(self, one: str, other: str) -> None:
        """What is under way between them is lost: one hears so at once, the other by the next mail."""
        for link in ((one, other), (other, one)):
            self.links.pop(link, None)
        self.links[(one, other)] = deque([Reset()])
        self.gateways[one].node_lost(other)
        self.gateways[one].hops.link_writable(other)
        self.gateways[other].hops.link_writable(one)

    def kill(self, name: str) -> None:
        """It is gone with its clients, and the map says so."""
        del self.gateways[name]
        for link in [link for link in self.links if name in link]:
            del self.links[link]
        for gateway in self.gateways.values():
            gateway.node_lost(name)


def attach(wire: FakeWire, pipe: Pipe, *, write: bool) -> None:
    if write:
        wire.end = writer = WriterSocket(wire, pipe)
        pipe.attach_source(writer)
    else:
        wire.end = reader = ReaderSocket(wire, pipe)
        pipe.attach_sink(reader)
