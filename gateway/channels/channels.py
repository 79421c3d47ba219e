"""Channels of one gateway: the engine's function that makes them, their sockets, what they are for everybody else."""

import asyncio
import logging
from http import HTTPStatus
from typing import Annotated, Any

from msgspec import Meta, Struct

from gateway.builtins.arguments import parse
from gateway.call import Call, Done
from gateway.core import GatewayCore
from iii_cluster.bus import envelopes
from iii_cluster.bus.ask import Asker, AskError
from iii_cluster.bus.service import Bus
from iii_cluster.cluster.map import ClusterMap, Role
from iii_cluster.protocol.errors import EngineError
from iii_cluster.routing.ids import maker_of

from .channel import Channel
from .handshake import Wanted
from .home import DEFAULT_BUFFER, Home
from .hops import Hops, Window
from .late import Nobody
from .makers import Makers
from .pipe import BROKEN, Pipe
from .sockets import ReaderSocket, WriterSocket
from .wire import ChannelWire

log = logging.getLogger(__name__)

CREATE = "engine::channels::create"
TAKE = "channels.take"  # op: asks a channel's home for one of its ends

_END_TAKEN = 1008  # close code for the second socket of an end

# Answers to TAKE.
_GIVEN = "given"
_TAKEN = "taken"
_UNKNOWN = "unknown"
_OVER = "over"

_OVER_REASON = "the channel is over"


class _Create(Struct):
    buffer_size: Annotated[int, Meta(ge=0)] | None = None


class Channels:
    """`create` makes one; its refs are for whoever shall connect, its ends for this process."""

    def __init__(self, core: GatewayCore) -> None:
        self._core = core
        self._asker: Asker | None = None
        self._loop = asyncio.get_running_loop()
        self._home = Home(core.ids)
        self._home.expire(self._loop.time())
        self._hops = Hops(core.effects)
        self._makers = Makers()
        self._makers.add(core.node)
        self._tasks: set[asyncio.Task[None]] = set()
        core.builtins[CREATE] = self._create

    def create(self, buffer: int = DEFAULT_BUFFER) -> Channel:
        """A channel that holds `buffer` messages. Raises EngineError when there are too many."""
        return self._home.create(buffer, "")

    def discard(self, channel: Channel) -> None:
        """Nobody new may come, and ends in this process are closed; sockets that have come go on until they end."""
        self._home.discard(channel)

    def _create(self, call: Call, done: Done) -> None:
        try:
            asked = parse(CREATE, call.data, _Create)
            buffer = asked.buffer_size if asked.buffer_size is not None else DEFAULT_BUFFER
            caller = call.caller
            if caller is None:
                channel = self._home.create(buffer, "")
            else:
                channel = self._home.create(buffer, caller.id, restricted=bool(caller.realm))
        except EngineError as error:
            done(b"", error.body())
            return
        done(b'{"writer":%b,"reader":%b}' % (channel.writer_ref, channel.reader_ref), b"")

    # -- sockets -----------------------------------------------------------------------------------

    def admit(self, connection: ChannelWire, asked: Wanted, patience: float) -> None:
        """Answer a handshake that asks for an end, after the channel's home was asked for it: at most `patience` s."""
        if asked.write is None:
            connection.reject(HTTPStatus.BAD_REQUEST, "A channel's address has ?key=...&dir=read or write\n")
            return
        channel = self._home.find(asked.id)
        if channel is not None:
            self._admit_here(connection, channel, asked.key, asked.write)
            return
        home = maker_of(asked.id, self._core.map)
        if not home or home == self._core.node or self._core.map.nodes[home].role is not Role.GATEWAY:
            if not self._makers.made(asked.id):
                _not_found(connection)
            elif home == self._core.node:
                _too_late(connection, asked.write)
            else:
                _turn_away(connection, BROKEN, "the channel's gateway is gone")
            return
        task = self._loop.create_task(self._admit_there(connection, home, asked, asked.write, patience))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def _admit_here(self, connection: ChannelWire, channel: Channel, key: str, write: bool) -> None:
        if not channel.opens(key):
            _not_found(connection)
        elif connection.enter():
            if channel.take(write=write):
                _attach(connection, channel.pipe, write)
            else:
                connection.close(_END_TAKEN, "this end is taken")

    async def _admit_there(
        self, connection: ChannelWire, home: str, asked: Wanted, write: bool, patience: float
    ) -> None:
        pipe = Pipe(0)
        hop = self._hops.reach_out(home, pipe, write=write)
        try:
            answer, window = await self._ask(home, [asked.id, asked.key, write, hop.key.number], patience)
        except (AskError, TimeoutError) as error:
            self._hops.withdraw(hop, "it was not connected in time")
            log.warning("action=channel_unavailable channel=%s home=%s reason=%r", asked.id, home, error)
            _turn_away(connection, BROKEN, "the channel's gateway does not answer")
            return
        if answer != _GIVEN:
            self._hops.drop(hop)
            if answer == _UNKNOWN:
                _not_found(connection)
            elif answer == _OVER:
                _too_late(connection, write)
            else:
                _turn_away(connection, _END_TAKEN, "this end is taken")
        elif connection.enter():
            pipe.capacity = window.messages
            self._hops.opened(hop, window)
            _attach(connection, pipe, write)
        else:  # it has left meanwhile
            self._hops.withdraw(hop, "its client has left")

    async def _ask(self, home: str, body: list[Any], patience: float) -> tuple[str, Window]:
        assert self._asker is not None, "nobody listens"
        answer, messages, size = await self._asker.ask(home, TAKE, body, timeout=patience)
        return answer, Window(messages, size)

    def _take(self, node: str, body: list[Any]) -> tuple[str, int, int]:
        """A socket of the gateway `node` asks for an end of a channel of ours."""
        id, key, write, number = body
        channel = self._home.find(id)
        if channel is None:
            return (_OVER if self._makers.made(id) else _UNKNOWN), 0, 0
        if not channel.opens(key):
            return _UNKNOWN, 0, 0
        if node not in self._core.map.nodes:  # should it die, we would not hear of it
            raise AskError(f"{node} is not in the map")
        if not channel.take(write=write):
            return _TAKEN, 0, 0
        window = Window(channel.capacity)
        self._hops.give(node, number, channel.pipe, window, lambda: channel.give_back(write=write), write=write)
        return _GIVEN, window.messages, window.size

    # -- the cluster -------------------------------------------------------------------------------

    def listen(self, bus: Bus, asker: Asker) -> None:
        """Hear other gateways, and ask them, through these from now on."""
        self._asker = asker
        asker.answer(TAKE, self._take)
        hops = self._hops
        bus.on(envelopes.ChannelData, hops.on_data)
        bus.on(envelopes.ChannelOpened, hops.on_opened)
        bus.on(envelopes.ChannelTaken, hops.on_taken)
        bus.on(envelopes.ChannelEnded, hops.on_ended)
        bus.on(envelopes.ChannelRefused, hops.on_refused)

    def on_map(self, old: ClusterMap, new: ClusterMap) -> None:
        for node in new.of_role(Role.GATEWAY):
            self._makers.add(node)
        for node in old.nodes.keys() - new.nodes.keys():
            self._hops.node_lost(node, f"{node} was lost")

    def on_reset(self, node: str) -> None:
        self._hops.node_lost(node, f"the link to {node} was reset")

    def link_writable(self, node: str) -> None:
        self._hops.link_writable(node)

    def reincarnate(self) -> None:
        """This gateway goes on under a new node id; its channels keep their ids, by which it is still found."""
        self._hops.reincarnate("their gateway was cut off from the cluster")

    @property
    def unfinished(self) -> bool:
        """Sockets use channels of this gateway, or are about to."""
        return self._home.unfinished

    def tick(self, now: float) -> None:
        """Once a second."""
        self._home.expire(now)

    def describe(self) -> dict[str, int]:
        return {"channels": len(self._home), "hops": len(self._hops)}


def _attach(connection: ChannelWire, pipe: Pipe, write: bool) -> None:
    if write:
        writer = WriterSocket(connection, pipe)
        connection.become(writer)
        pipe.attach_source(writer)
    else:
        reader = ReaderSocket(connection, pipe)
        connection.become(reader)
        pipe.attach_sink(reader)


def _not_found(connection: ChannelWire) -> None:
    connection.reject(HTTPStatus.NOT_FOUND, "Channel not found\n")


def _too_late(connection: ChannelWire, write: bool) -> None:
    """The channel has ended: a writer may finish what nobody reads, a reader is told."""
    if not write:
        _turn_away(connection, BROKEN, _OVER_REASON)
    elif connection.enter():
        pipe = Pipe(1)
        pipe.attach_sink(Nobody(pipe, _OVER_REASON))
        _attach(connection, pipe, write=True)


def _turn_away(connection: ChannelWire, code: int, reason: str) -> None:
    """It is let in to be told: some clients end their whole process when a socket is refused."""
    if connection.enter():
        connection.close(code, reason)
