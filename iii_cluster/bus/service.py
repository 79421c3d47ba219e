"""The bus of one process: exactly-once, ordered envelopes to every other node, over one or several Redis servers.

The hot path makes no task, lock or future: `send` queues bytes on a link, the first one of a loop tick schedules
one flush, and the flush writes one PUBLISH per packet, one write per server.
"""

import asyncio
import logging
from collections.abc import Callable, Collection, Sequence
from itertools import count
from typing import Any, TypeVar

import msgspec

from iii_cluster.bus.callbacks import guarded
from iii_cluster.bus.counters import Counters
from iii_cluster.bus.envelopes import Envelope, Invoke, Refused, decode_envelope, encode_envelope
from iii_cluster.bus.link import Event, Link
from iii_cluster.bus.members import Members
from iii_cluster.bus.packets import SELF, MalformedPacket, unpack
from iii_cluster.bus.peer import Peer
from iii_cluster.bus.publisher import Publisher
from iii_cluster.bus.uplink import Uplink
from iii_cluster.cluster.keys import Keys

log = logging.getLogger(__name__)

TICK = 0.02  # seconds between looks at links that owe something
IDLE_TICK = 0.25  # seconds between looks at the connections
STOP_TIMEOUT = 1.0  # seconds `stop` waits for acknowledgements
STRANGER_LIFETIME = 60.0  # seconds a silent link is kept that was never used, or to a node outside the cluster

E = TypeVar("E", bound=Envelope)


class Bus:
    """Envelopes between nodes. Callbacks run on the loop, must not block, and may call the bus."""

    def __init__(self, node_id: str, urls: Sequence[str], keys: Keys) -> None:
        """`urls` names every Redis server, in the same spelling on all nodes; the first carries the broadcasts."""
        self.node_id = node_id
        self.stats = Counters()
        self.on_map: Callable[[bytes], None] | None = None
        self.on_reset: Callable[[str], None] | None = None  # envelopes from or to this node were lost
        self.on_congestion: Callable[[str, bool], None] | None = None
        self.on_reachable: Callable[[str, bool], None] | None = None  # a hint; a forgotten node is reachable
        self.on_ready: Callable[[bool], None] | None = None
        self._keys = keys
        self._uplink = Uplink(node_id, urls, keys, self)
        self._handlers: dict[type[Envelope], Callable[[str, Any], None]] = {}
        self._late: dict[type[Envelope], Callable[[str, Any], None]] = {}  # count from `release` on
        self._held: list[tuple[str, Envelope]] | None = None  # what nobody listens to yet
        self._peers: dict[str, Peer] = {}
        self._births = count(1)
        self._members = Members()
        self._dirty: list[Peer] = []
        self._watched: dict[Peer, None] = {}
        self._local: list[Envelope] = []
        self._flush_scheduled = False
        self._timer: asyncio.TimerHandle | None = None
        self._tick_at = 0.0
        self._check_at = 0.0
        self._stopped = False

    # -- life ----------------------------------------------------------------------------------------

    async def start(self) -> None:
        """Connect; returns once this node hears its own inbox and the broadcasts. Waits for Redis for ever."""
        self._loop = asyncio.get_running_loop()
        self._schedule_tick(IDLE_TICK)
        await self._uplink.start()

    async def stop(self, *, linger: bool = True) -> None:
        """Close; with `linger`, what is queued is sent before and acknowledgements are waited for, up to a second.
        No callback runs any more afterwards."""
        if linger:
            await self.settle()
            self._hail_all()
            self._flush()
        self._stopped = True
        if self._timer is not None:
            self._timer.cancel()
        await self._uplink.stop(linger)

    async def settle(self, timeout: float = STOP_TIMEOUT) -> None:  # noqa: ASYNC109
        """Wait until every reachable peer has acknowledged everything, at most `timeout` seconds."""
        deadline = self._loop.time() + timeout
        self._flush()
        while self.ready and self._loop.time() < deadline:
            if all(peer.settled for peer in self._peers.values()):
                return
            await asyncio.sleep(TICK / 2)

    @property
    def ready(self) -> bool:
        """Whether this node can publish and hears its own inbox and the broadcasts."""
        return self._uplink.ready and not self._stopped

    def disconnected_for(self, now: float) -> float:
        """Seconds, at loop time `now`, since the own inbox was last heard (or the start)."""
        lost_at = self._uplink.lost_at
        return 0.0 if lost_at is None else max(now - lost_at, 0.0)

    @property
    def peers(self) -> Collection[Peer]:
        """To whom there are links."""
        return self._peers.values()

    # -- sending -------------------------------------------------------------------------------------

    def send(self, node: str, envelope: Envelope) -> None:
        """Queue an envelope; never blocks. Everything for one node in one loop tick travels together. Envelopes to
        oneself skip Redis."""
        peer = self._peers.get(node)
        if peer is None:
            if node == self.node_id:
                self._send_local(envelope)
                return
            if self.expelled(node):
                log.debug("action=envelope_dropped node=%s reason=expelled", node)
                return
            peer = self._meet(node)
        peer.link.push(encode_envelope(envelope))
        if not peer.dirty:
            self._mark(peer)

    def _send_local(self, envelope: Envelope) -> None:
        self._local.append(envelope)
        if len(self._local) == 1:
            self._loop.call_soon(self._deliver_local)

    def _deliver_local(self) -> None:
        envelopes, self._local = self._local, []
        if self._stopped:
            return
        for envelope in envelopes:
            self._handle(self.node_id, envelope)

    def congested(self, node: str) -> bool:
        """Whether more than the window and a reserve waits for `node`: feeders should pause."""
        peer = self._peers.get(node)
        return peer is not None and peer.link.congested

    def unreachable(self, node: str) -> bool:
        """Whether nobody listened on the inbox of `node` when something was last published to it. A hint: its mail
        is kept, and it is called on until it is heard."""
        peer = self._peers.get(node)
        return peer is not None and peer.unreachable

    def forget(self, node: str) -> None:
        """Drop all state of a dead peer, with what it never received. Its name coming back starts over.

        Calls that surely never reached it come back as if it had refused them: they can go elsewhere.
        """
        peer = self._peers.pop(node, None)
        if peer is None:
            return
        peer.forgotten = True
        self._watched.pop(peer, None)
        if not self._stopped:
            self._return_calls(peer)
        if peer.link.congested:
            self._loop.call_soon(self._tell_congestion, node, False)
        if peer.unreachable:
            self._loop.call_soon(self._tell_reachable, node, True)

    def _return_calls(self, peer: Peer) -> None:
        for body in list(peer.unheard()):
            envelope = decode_envelope(body)
            if isinstance(envelope, Invoke):
                self._handle(peer.node, Refused(envelope))

    def expelled(self, node: str) -> bool:
        """Whether `node` was a member and is none any more: nothing is sent to it or taken from it."""
        return self._members.expelled(node)

    def publish_map(self, body: bytes) -> None:
        """Hand `body` to `on_map` of every node that is listening, at most once."""
        self._uplink.publish_to_all(body)
        self._schedule_flush()

    def set_members(self, nodes: Collection[str]) -> None:
        """The other nodes of the cluster: what Redis may hold for one subscriber is shared among them. Those that
        were members before are forgotten and their mail is ignored: if they live, they come back by another id."""
        for node in self._members.replace(nodes):
            self.forget(node)
        for peer in self._peers.values():
            peer.link.set_window(self._members.window)

    def _meet(self, node: str) -> Peer:
        link = Link(self.node_id, next(self._births), self.stats, self._members.window)
        inbox, publisher = self._keys.inbox(node), self._uplink.publisher_for(node)
        peer = self._peers[node] = Peer(node, link, inbox, publisher, self._loop.time(), self._reachable_changed)
        return peer

    def _mark(self, peer: Peer) -> None:
        """Flush this peer's link at the end of the tick."""
        peer.dirty = True
        self._dirty.append(peer)
        self._schedule_flush()

    def _schedule_flush(self) -> None:
        if not self._flush_scheduled:
            self._flush_scheduled = True
            self._loop.call_soon(self._flush)

    def _flush(self) -> None:
        self._flush_scheduled = False
        if self._stopped:
            return
        now = self._loop.time()
        dirty, self._dirty = self._dirty, []
        for peer in dirty:
            peer.dirty = False
            self._flush_peer(peer, now)
        self._uplink.flush()

    def _flush_peer(self, peer: Peer, now: float) -> None:
        if peer.forgotten:
            return
        peer.flush(now)
        if not peer.watched:
            peer.watched = True
            self._watched[peer] = None
            if self._tick_at > now + TICK:
                self._schedule_tick(TICK)
        if peer.link.events:
            self._tell(peer)

    # -- receiving -----------------------------------------------------------------------------------

    def on(self, kind: type[E], handler: Callable[[str, E], None]) -> None:
        """Call `handler(source node, envelope)` for envelopes of this type. One handler per type."""
        if kind in self._handlers or kind in self._late:
            raise ValueError(f"{kind.__name__} has a handler already")
        handlers = self._handlers if self._held is None else self._late
        handlers[kind] = handler

    def hold(self) -> None:
        """Until `release`, keep what those are sent who begin to listen after this.

        A node gets mail as soon as it has a lease, much of it once and never again, and its role may not be there yet.
        """
        self._held = []

    def release(self) -> None:
        """Everybody listens: deliver what was kept, in its order."""
        held, self._held = self._held or [], None
        self._handlers |= self._late
        self._late.clear()
        for src, envelope in held:
            self._handle(src, envelope)

    def heard(self, bodies: list[bytes]) -> None:
        """Messages to the own inbox; called by the uplink."""
        if self._stopped:
            return
        now = self._loop.time()
        for body in bodies:
            try:
                packet = unpack(body)
            except MalformedPacket as error:
                self.stats.undecodable += 1
                log.warning("action=packet_skipped error=%s", error)
                continue
            src = packet.src
            if packet.kind == SELF or src == self.node_id:
                continue
            self.stats.packets_in += 1
            self.stats.bytes_in += len(body)
            peer = self._peers.get(src)
            if peer is None:
                if self.expelled(src):
                    log.debug("action=packet_ignored source=%s reason=expelled", src)
                    continue
                peer = self._meet(src)
            peer.heard(now)
            link = peer.link
            envelopes = link.receive(packet, len(body), now)
            if link.events:
                self._tell(peer)
            if not peer.dirty and (link.urgent or not peer.watched):
                self._mark(peer)
            for envelope in envelopes:
                self._deliver(src, envelope)

    def broadcast(self, body: bytes) -> None:
        """A message to everybody; called by the uplink."""
        if self.on_map is not None and not self._stopped:
            guarded("on_map", self.on_map, body)

    def _deliver(self, src: str, body: bytes) -> None:
        self.stats.envelopes_in += 1
        try:
            envelope = decode_envelope(body)
        except msgspec.DecodeError as error:
            self.stats.undecodable += 1
            log.warning("action=envelope_skipped source=%s error=%s", src, error)
            return
        self._handle(src, envelope)

    def _handle(self, src: str, envelope: Envelope) -> None:
        kind = type(envelope)
        handler = self._handlers.get(kind)
        if handler is None:
            if self._held is not None:
                self._held.append((src, envelope))
                return
            log.debug("action=envelope_unhandled source=%s kind=%s", src, kind.__name__)
            return
        try:
            handler(src, envelope)
        except Exception:
            log.exception("action=handler_failed source=%s kind=%s", src, kind.__name__)

    def _tell(self, peer: Peer) -> None:
        events, peer.link.events = peer.link.events, []
        for event in events:
            if event is not Event.RESET:
                self._tell_congestion(peer.node, event is Event.CONGESTED)
                continue
            log.warning("action=link_reset peer=%s", peer.node)
            if self._held is not None:  # sent again, or lost like the rest
                self._held = [(src, envelope) for src, envelope in self._held if src != peer.node]
            if self.on_reset is not None:
                guarded("on_reset", self.on_reset, peer.node)

    def _reachable_changed(self, peer: Peer, on: bool) -> None:
        if peer.forgotten or self._stopped:
            return
        log.info("action=peer_reachable peer=%s reachable=%s", peer.node, on)
        if on:
            peer.link.wake(self._loop.time())
        if not peer.dirty:
            self._mark(peer)  # sent what it missed, or called on by the timer from now
        self._tell_reachable(peer.node, on)

    def _tell_reachable(self, node: str, on: bool) -> None:
        if self.on_reachable is not None:
            guarded("on_reachable", self.on_reachable, node, on)

    def _tell_congestion(self, node: str, on: bool) -> None:
        if self.on_congestion is not None:
            guarded("on_congestion", self.on_congestion, node, on)

    # -- time and health -----------------------------------------------------------------------------

    def _schedule_tick(self, delay: float) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._tick_at = self._loop.time() + delay
        self._timer = self._loop.call_at(self._tick_at, self._tick)

    def _tick(self) -> None:
        now = self._loop.time()
        for peer in list(self._watched):
            self._flush_peer(peer, now)
            peer.call(now)
            if not peer.active:
                peer.watched = False
                self._watched.pop(peer, None)
        if now >= self._check_at:
            self._check_at = now + IDLE_TICK
            self._uplink.check(now)
            self._drop_strangers(now)
        self._uplink.flush()
        self._schedule_tick(TICK if self._watched else IDLE_TICK)

    def _drop_strangers(self, now: float) -> None:
        """Late mail of, or to, a forgotten peer makes links that nobody would ever forget again."""
        for peer in list(self._peers.values()):
            stranger = self._members.stranger(peer.node)
            if now - peer.heard_at > STRANGER_LIFETIME and (peer.link.blank or stranger):
                self.forget(peer.node)

    def publisher_up(self, publisher: Publisher) -> None:
        """A server can be published to again; called by the uplink."""
        self.stats.connects += 1
        now = self._loop.time()
        for peer in self._peers.values():
            if peer.publisher is publisher:
                peer.link.wake(now)
                if not peer.dirty:
                    self._mark(peer)

    def ready_changed(self, ready: bool) -> None:
        """The inbox was lost or restored; called by the uplink."""
        if ready:
            self._hail_all()
        else:
            self.stats.outages += 1
        if self.on_ready is not None:
            guarded("on_ready", self.on_ready, ready)

    def _hail_all(self) -> None:
        for peer in self._peers.values():
            peer.link.hail()
            if not peer.dirty:
                self._mark(peer)
