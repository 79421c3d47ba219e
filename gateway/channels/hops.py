"""The bus between two pipes of a channel: each message costs credit, which comes back when it leaves the other pipe.

An end that is not on its channel's home gateway is at one side of a hop, the home at the other. The bus delivers in
order and once, or says that it could not: then the hop is broken, and so is the channel. Pure.
"""

from collections.abc import Callable
from typing import NamedTuple

from msgspec import Struct

from iii_cluster.bus.envelopes import ChannelData, ChannelEnded, ChannelOpened, ChannelRefused, ChannelTaken
from iii_cluster.bus.outbox import Links

from .pipe import BROKEN, MAX_BYTES, Pipe


class Window(Struct, array_like=True, frozen=True):
    """What may be under way on a hop; one message more than `size` bytes allow is."""

    messages: int
    size: int = MAX_BYTES


_SHUT = Window(0, 0)


class Key(NamedTuple):
    """A hop, as one of its gateways knows it. Numbers are those of the gateway the end is at."""

    node: str  # the other one
    number: int
    home: bool  # this one is the channel's home


class Outgoing:
    """Sends what its pipe has to the other side."""

    def __init__(self, hops: "Hops", key: Key, pipe: Pipe) -> None:
        self._hops = hops
        self.key = key
        self.pipe = pipe
        self._window = _SHUT
        self._messages = 0  # under way
        self._size = 0

    def open(self, window: Window) -> None:
        self._window = window
        self.pipe.pump()

    def taken(self, messages: int, size: int) -> None:
        self._messages -= messages
        self._size -= size
        self.pipe.pump()

    def lost(self, why: str) -> None:
        self.pipe.refuse(BROKEN, why, at_once=True)

    # -- Sink --------------------------------------------------------------------------------------

    @property
    def ready(self) -> bool:
        window = self._window
        return self._messages < window.messages and self._size < window.size and self._hops.writable(self)

    def send(self, data: bytes, text: bool) -> None:
        self._messages += 1
        self._size += len(data)
        node, number, home = self.key
        self._hops.links.send(node, ChannelData(number, data, text, home))

    def finish(self, code: int, reason: str) -> None:
        self._hops.drop(self)
        node, number, home = self.key
        self._hops.links.send(node, ChannelEnded(number, code, reason, home))


class Incoming:
    """Gives its pipe what the other side sends."""

    def __init__(self, hops: "Hops", key: Key, pipe: Pipe) -> None:
        self._hops = hops
        self.key = key
        self.pipe = pipe
        self._window = _SHUT
        self._messages = 0  # taken, and not said so
        self._size = 0

    def open(self, window: Window) -> None:
        self._window = window

    def lost(self, why: str) -> None:
        self.pipe.finish(BROKEN, why)

    # -- Source ------------------------------------------------------------------------------------

    def taken(self, size: int) -> None:
        """Says so for half a window at a time: the other side never waits for what is not said."""
        self._messages += 1
        self._size += size
        if self._messages * 2 >= self._window.messages or self._size * 2 >= self._window.size:
            node, number, home = self.key
            self._hops.links.send(node, ChannelTaken(number, self._messages, self._size, home))
            self._messages = self._size = 0

    def refused(self, code: int, reason: str, at_once: bool) -> None:
        self._hops.drop(self)
        node, number, home = self.key
        self._hops.links.send(node, ChannelRefused(number, code, reason, at_once, home))
        self.pipe.finish(code, reason)  # the rest is between the other side and its writer


Hop = Outgoing | Incoming


class Hops:
    """Those of one gateway."""

    def __init__(self, links: Links) -> None:
        self.links = links
        self._hops: dict[Key, Hop] = {}
        self._given: dict[Key, tuple[Window, Callable[[], None]]] = {}  # not opened yet: what for, how to take it back
        self._blocked: dict[str, dict[Outgoing, None]] = {}  # by node: they wait for the link to take mail again
        self._last = 0

    def __len__(self) -> int:
        return len(self._hops)

    # -- making them -------------------------------------------------------------------------------

    def reach_out(self, home: str, pipe: Pipe, *, write: bool) -> Hop:
        """The hop of an end of ours, before its channel's home has agreed. With `write` the end writes."""
        self._last += 1
        key = Key(home, self._last, False)
        hop = self._hops[key] = Outgoing(self, key, pipe) if write else Incoming(self, key, pipe)
        if isinstance(hop, Outgoing):
            pipe.attach_sink(hop)
        else:
            pipe.attach_source(hop)
        return hop

    def opened(self, hop: Hop, window: Window) -> None:
        """The home gave us the end, and its client is there."""
        self.links.send(hop.key.node, ChannelOpened(hop.key.number))
        hop.open(window)

    def give(
        self, node: str, number: int, pipe: Pipe, window: Window, take_back: Callable[[], None], *, write: bool
    ) -> None:
        """The home's side of it. `pipe` is the channel's; `take_back` is called if the end is never opened."""
        key = Key(node, number, True)
        self._given[key] = window, take_back
        self._hops[key] = Incoming(self, key, pipe) if write else Outgoing(self, key, pipe)

    def withdraw(self, hop: Hop, reason: str) -> None:
        """The end is not, or cannot be, opened."""
        if isinstance(hop, Outgoing):
            hop.pipe.finish(BROKEN, reason)
        else:
            hop.pipe.refuse(BROKEN, reason)

    def drop(self, hop: Hop) -> None:
        self._hops.pop(hop.key, None)
        self._given.pop(hop.key, None)
        if isinstance(hop, Outgoing) and hop.key.node in self._blocked:
            self._blocked[hop.key.node].pop(hop, None)

    # -- links -------------------------------------------------------------------------------------

    def writable(self, hop: Outgoing) -> bool:
        """Whether its link takes mail; if not, the hop hears when it does."""
        node = hop.key.node
        if not self.links.congested(node):
            return True
        self._blocked.setdefault(node, {})[hop] = None
        return False

    def link_writable(self, node: str) -> None:
        """The link takes mail again: first come, first served until it is full."""
        for hop in self._blocked.pop(node, {}):
            hop.pipe.pump()

    def node_lost(self, node: str, why: str) -> None:
        """A gateway is gone, or envelopes from or to it are."""
        for hop in [hop for hop in self._hops.values() if hop.key.node == node]:
            if not self._take_back(hop):
                self.drop(hop)
                hop.lost(why)

    def _take_back(self, hop: Hop) -> bool:
        """The end was given and is not wanted any more; False if it is in use."""
        given = self._given.get(hop.key)
        if given is None:
            return False
        self.drop(hop)
        given[1]()
        return True

    def reincarnate(self, why: str) -> None:
        """This gateway goes on under a new node id: nobody knows its hops."""
        for node in {key.node for key in self._hops}:
            self.node_lost(node, why)

    # -- envelopes ---------------------------------------------------------------------------------

    def on_data(self, node: str, said: ChannelData) -> None:
        hop = self._hops.get(Key(node, said.hop, not said.home))
        if isinstance(hop, Incoming):
            hop.pipe.write(said.data, said.text)
        else:
            refused = ChannelRefused(said.hop, BROKEN, "nobody reads here", True, not said.home)
            self.links.send(node, refused)

    def on_opened(self, node: str, said: ChannelOpened) -> None:
        key = Key(node, said.hop, True)
        given = self._given.pop(key, None)
        if given is None:
            return
        hop = self._hops[key]
        hop.open(given[0])
        if isinstance(hop, Outgoing):
            hop.pipe.attach_sink(hop)
        else:
            hop.pipe.attach_source(hop)

    def on_taken(self, node: str, said: ChannelTaken) -> None:
        hop = self._hops.get(Key(node, said.hop, not said.home))
        if isinstance(hop, Outgoing):
            hop.taken(said.messages, said.size)

    def on_ended(self, node: str, said: ChannelEnded) -> None:
        hop = self._hops.get(Key(node, said.hop, not said.home))
        if isinstance(hop, Incoming) and not self._take_back(hop):
            self.drop(hop)
            hop.pipe.finish(said.code, said.reason)

    def on_refused(self, node: str, said: ChannelRefused) -> None:
        hop = self._hops.get(Key(node, said.hop, not said.home))
        if isinstance(hop, Outgoing) and not self._take_back(hop):
            self.drop(hop)
            hop.pipe.refuse(said.code, said.reason, at_once=said.at_once)
