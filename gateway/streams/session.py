"""One client and its subscriptions: what it asks for, one thing after the other, and the hooks that have a say."""

import asyncio
import logging
from collections import deque
from typing import Protocol

import msgspec
from msgspec import Raw, Struct

from gateway.sockets.port import SERVICE_RESTART
from iii_cluster.modules.stream.follow import unauthorized
from iii_cluster.modules.stream.hooks import Hooks, HooksUnknown, Membership
from iii_cluster.modules.stream.presence import Presence, Stay
from iii_cluster.telemetry.context import NO_TRACE, Trace

from .fanout import Fanout, Outlet, Subscription
from .frames import text_frames

MAX_WAITING = 256  # messages of one client that wait for hooks; its socket is not read while there are more
HOOKS_LIMIT = 5.0  # seconds until it must be known which hooks there are
TRY_AGAIN_LATER = 1013

log = logging.getLogger(__name__)


class Socket(Outlet, Protocol):
    address: str

    def pause(self) -> None: ...

    def resume(self) -> None: ...

    def close(self, code: int, reason: str) -> None: ...


class _Envelope(Struct):
    type: str
    data: Raw = Raw(b"null")


class _Asked(Struct, rename="camel"):
    subscription_id: str
    stream_name: str
    group_id: str
    id: str | None = None


class _Message(Struct):
    type: str
    asked: _Asked


_decode = msgspec.json.Decoder(_Envelope).decode
_decode_asked = msgspec.json.Decoder(_Asked).decode


def read(payload: bytes) -> _Message | None:
    """None for anything that means nothing here: clients may say what they like."""
    try:
        envelope = _decode(payload)
        return _Message(envelope.type, _decode_asked(envelope.data)) if envelope.type in ("join", "leave") else None
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return None


class Session:
    def __init__(
        self,
        socket: Socket,
        fanout: Fanout,
        hooks: Hooks,
        presence: Presence,
        context: bytes,
        max_subscriptions: int,
        trace: Trace = NO_TRACE,
    ) -> None:
        """`context`: what the auth function said of the client, JSON. `trace`: that of its handshake."""
        self.subscriptions: dict[str, Subscription] = {}
        self._socket = socket
        self._fanout = fanout
        self._hooks = hooks
        self._presence = presence
        self._stays: dict[str, Stay] = {}  # recorded ones, by subscription id
        self._context = Raw(context)
        self._max_subscriptions = max_subscriptions
        self._trace = trace
        self._waiting: deque[_Message] = deque()
        self._task: asyncio.Task[None] | None = None  # while messages wait
        self._halted = False  # its socket is not read
        self._full = False  # it was told that it has too many subscriptions
        self._closed = False

    # -- from the socket ---------------------------------------------------------------------------

    def on_text(self, payload: bytes) -> None:
        message = read(payload)
        if message is None:
            return
        if self._task is None and self._hooks.idle():
            self._do(message)
            return
        self._waiting.append(message)
        if len(self._waiting) >= MAX_WAITING and not self._halted:
            self._halted = True
            self._socket.pause()
        if self._task is None:
            self._task = asyncio.get_running_loop().create_task(self._work())

    def close(self, tell: bool) -> "list[asyncio.Task[None]]":
        """The client is gone. `tell`: the hooks of all its subscriptions; returns what to wait for then."""
        self._closed = True
        if self._task is not None:
            self._task.cancel()
        left, self.subscriptions = list(self.subscriptions.values()), {}
        for subscription in left:
            self._fanout.leave(subscription)
        if not left or not tell or self._hooks.idle():
            for subscription in left:
                self._unrecord(subscription.id)
            return []
        return [asyncio.get_running_loop().create_task(self._tell_left(left))]

    # -- messages ----------------------------------------------------------------------------------

    async def _work(self) -> None:
        """Runs while messages wait."""
        try:
            while self._waiting:
                message = self._waiting.popleft()
                if self._halted and len(self._waiting) < MAX_WAITING // 2:
                    self._halted = False
                    self._socket.resume()
                await self._ask_and_do(message)
        except HooksUnknown:
            log.warning("action=stream_client_sent_away address=%s reason=hooks are not known", self._socket.address)
            self._socket.close(TRY_AGAIN_LATER, "try again later")
        finally:
            self._task = None

    async def _ask_and_do(self, message: _Message) -> None:
        membership = self._membership(message.asked)
        if message.type == "leave":
            await self._hooks.left(membership, self._departure(membership.subscription_id), self._trace)
        elif not await self._hooks.may_join(membership, HOOKS_LIMIT, self._trace):
            self._refuse(message.asked)
            return
        self._do(message)

    def _do(self, message: _Message) -> None:
        asked = message.asked
        if self._closed:
            return
        if message.type == "leave":
            self._forget(asked.subscription_id)
            return
        self._forget(asked.subscription_id)
        if len(self.subscriptions) >= self._max_subscriptions:
            self._refuse_more(asked)
            return
        subscription = Subscription(asked.subscription_id, asked.stream_name, asked.group_id, asked.id, self._socket)
        self.subscriptions[asked.subscription_id] = subscription
        membership = self._membership(subscription)
        if self._hooks.told_of_leaving(membership):
            self._stays[subscription.id] = self._presence.joined(membership, self._told)
        self._fanout.join(subscription)

    def _forget(self, id: str) -> None:
        known = self.subscriptions.pop(id, None)
        if known is not None:
            self._fanout.leave(known)
            self._unrecord(id)

    def _unrecord(self, id: str) -> None:
        stay = self._stays.pop(id, None)
        if stay is not None:
            self._presence.left(stay)

    def _departure(self, id: str) -> str:
        stay = self._stays.get(id)
        return "" if stay is None else stay.departure

    def _told(self) -> None:
        """Hooks were told that this client has left: so it does, and joins again."""
        self._socket.close(SERVICE_RESTART, "service restart")

    def _refuse(self, asked: _Asked) -> None:
        self._socket.send(text_frames(unauthorized(asked.stream_name, asked.group_id, asked.id)))

    def _refuse_more(self, asked: _Asked) -> None:
        if not self._full:
            self._full = True
            log.warning(
                "action=stream_join_refused address=%s reason=limit of %d subscriptions",
                self._socket.address,
                self._max_subscriptions,
            )
        self._refuse(asked)

    def _membership(self, of: "_Asked | Subscription") -> Membership:
        if isinstance(of, Subscription):
            return Membership(of.id, of.stream, of.group, of.item, self._context)
        return Membership(of.subscription_id, of.stream_name, of.group_id, of.id, self._context)

    async def _tell_left(self, subscriptions: list[Subscription]) -> None:
        for subscription in subscriptions:
            membership = self._membership(subscription)
            await self._hooks.left(membership, self._departure(subscription.id), self._trace)
            self._unrecord(subscription.id)
