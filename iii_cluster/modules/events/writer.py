"""The writing end of the outboxes, in gateways."""

import math
import time
from collections.abc import Sequence
from typing import NamedTuple

import msgspec

from iii_cluster.bus.envelopes import Trigger
from iii_cluster.modules.engine import Engine, Watched
from iii_cluster.redis.commands import Commands
from iii_cluster.telemetry.tracing import Trace

from . import context
from .kind import Kind
from .outbox import lane_of, outbox_of, stream_of
from .patterns import Patterns
from .script import EventScript

MAX_NAMED = 32  # triggers an event names; of more, the shard finds out itself whom it concerns
LOCAL_PATIENCE = 5.0  # seconds until a trigger registered here must be known to its shard

_PUT = EventScript("iii_cluster.modules.events", "put.lua")
_encode = msgspec.json.Encoder().encode


class Target(NamedTuple):
    """Where the event of a write goes. `stream` is a key, `arguments` (lane, triggers, contexts) are arguments of its
    script."""

    outbox: str
    stream: str
    arguments: tuple[int, bytes, bytes]


class EventWriter:
    """target = events.target(scope, key, traces=[trace])       # None: no trigger asks for it
    await commands.run(script, [data, target.stream], [..., *target.arguments])     # `append` in an EventScript
    events.wake(target)
    """

    def __init__(self, engine: Engine, kind: Kind, commands: Commands) -> None:
        """`commands`: the server the outboxes are on, which is where the data is if that is in Redis."""
        self._engine = engine
        self._kind = kind
        self._commands = commands
        self._patterns = Patterns(kind)
        self._local: dict[str, tuple[Trigger, float]] = {}  # registered here a moment ago
        self._stale = True
        self._until = math.inf  # when the first of these is to be forgotten
        self._watched: Watched = engine.watch(kind.name, self._changed)

    def registered(self, trigger: Trigger) -> None:
        """A trigger was registered at this gateway: who has registered it may write at once."""
        self._local[trigger.id] = trigger, time.monotonic() + LOCAL_PATIENCE
        self._stale = True

    def unregistered(self, trigger: Trigger) -> None:
        self._local.pop(trigger.id, None)
        self._stale = True

    def target(self, *parts: str, traces: Sequence[Trace] = ()) -> Target | None:
        """None when no trigger asks for events of these parts. `traces`: of whoever writes, one for each event."""
        if self._stale or (self._local and time.monotonic() >= self._until):
            self._load()
        ids = self._patterns.matching(parts)
        if not ids and self._watched.known:
            return None
        lane = lane_of(parts)
        outbox = outbox_of(self._kind.name, lane)
        named = b"" if len(ids) > MAX_NAMED or not self._watched.known else _encode(ids)
        return Target(outbox, stream_of(self._engine.prefix, outbox), (lane, named, context.lines_of(traces)))

    def wake(self, target: Target | None) -> None:
        """The event is in its outbox."""
        if target is not None:
            self._engine.nudge(target.outbox)

    async def append(self, target: Target, *events: bytes) -> None:
        """Of data that is not in Redis: inside the transaction, as the last thing before it commits; `wake` afterwards.
        So events keep the order of the writes, and no write is without its event. Several of one key: in one call.
        """
        await self._commands.run(_PUT, [target.stream], [*target.arguments, *events])

    def _changed(self) -> None:
        self._stale = True

    def _load(self) -> None:
        triggers = {trigger.id: trigger for trigger in self._watched.all()}
        now = time.monotonic()
        self._local = {
            id: (trigger, end) for id, (trigger, end) in self._local.items() if id not in triggers and now < end
        }
        triggers |= {id: trigger for id, (trigger, _end) in self._local.items()}
        self._patterns.load(triggers.values())
        self._until = min((end for _trigger, end in self._local.values()), default=math.inf)
        self._stale = False
