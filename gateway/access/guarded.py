"""What a gateway knows of one connection under rules: what it calls things, and what of it waits. Pure."""

import asyncio
from collections import deque
from collections.abc import Iterable
from typing import NamedTuple

import msgspec

from iii_cluster.access.rules import Access
from iii_cluster.access.triggers import scoped
from iii_cluster.protocol import frames, messages

# Calls of earlier connections that it may still answer.
MAX_INHERITED = 1000


class Named(NamedTuple):
    """A trigger as the worker itself speaks of it."""

    id: str
    type: str
    function: str


class Guarded:
    """Names: prefixes and hooks change what a worker registers, and it must be spoken to in its own words."""

    __slots__ = (
        "_functions",
        "_names",
        "_trigger_ids",
        "_type_names",
        "_types",
        "access",
        "held",
        "inherited",
        "moving",
        "offered",
        "paused",
        "released",
        "size",
        "triggers",
        "waiting",
    )

    def __init__(self, access: Access) -> None:
        self.access = access
        self._functions: dict[str, str] = {}  # its id -> the registered one
        self._names: dict[bytes, bytes] = {}  # the registered id -> its own, as JSON
        self._types: dict[str, str] = {}
        self._type_names: dict[str, str] = {}  # back
        self._trigger_ids: dict[str, str] = {}
        self.triggers: dict[str, Named] = {}  # back
        self.inherited: set[str] = set()  # ids of calls that its earlier connections were given
        self.offered: set[str] = set()  # triggers it will be told of as soon as it is known that it may
        self.held = bool(access.hooks or access.namespaces)  # registrations wait for its announcement
        self.released = asyncio.Event()
        self.waiting: deque[messages.Message] = deque()  # frames behind a registration that is being decided
        self.size = 0  # of those, bytes
        self.paused = False
        self.moving = False  # somebody takes care of them

    def inherit(self, ids: Iterable[str]) -> None:
        for id in ids:
            if len(self.inherited) < MAX_INHERITED:
                self.inherited.add(id)

    def release(self) -> None:
        """It has announced itself."""
        self.held = False
        self.released.set()

    # -- functions ---------------------------------------------------------------------------------

    def function(self, own: str) -> str | None:
        """The registered id."""
        return self._functions.get(own)

    def name_function(self, own: str, registered: str) -> None:
        self._functions[own] = registered
        self._names[frames.text(registered)] = frames.text(own)

    def forget_function(self, own: str) -> str | None:
        """The registered id."""
        registered = self._functions.pop(own, None)
        if registered is not None:
            self._names.pop(frames.text(registered), None)
        return registered

    def rejected(self, registered: str) -> str:
        """The cluster refused a function; returns what the worker calls it."""
        own = self._names.pop(frames.text(registered), None)
        if own is None:
            return registered
        name: str = msgspec.json.decode(own)
        self._functions.pop(name, None)
        return name

    def own_name(self, function_json: bytes) -> bytes:
        """What the worker calls a function of its; both ids as JSON."""
        return self._names.get(function_json, function_json)

    # -- trigger types -----------------------------------------------------------------------------

    def name_type(self, own: str, registered: str) -> None:
        self._types[own] = registered
        self._type_names[registered] = own

    def forget_type(self, own: str) -> str | None:
        registered = self._types.pop(own, None)
        if registered is not None:
            self._type_names.pop(registered, None)
        return registered

    def type(self, own: str) -> str:
        """The registered id."""
        return self._types.get(own, own)

    def own_type(self, registered: str) -> str:
        return self._type_names.get(registered, registered)

    # -- triggers ----------------------------------------------------------------------------------

    def name_trigger(self, own: Named, registered: str) -> None:
        self._trigger_ids[own.id] = registered
        self.triggers[registered] = own

    def trigger(self, own: str) -> str:
        """The registered id; that of another connection of its realm when it registered none."""
        return self._trigger_ids.get(own) or scoped(self.access.realm, own)

    def revoked(self, registered: str) -> None:
        """Somebody else removed it."""
        named = self.triggers.pop(registered, None)
        if named is not None:
            self._trigger_ids.pop(named.id, None)

    def forget_trigger(self, own: str) -> str:
        registered = self.trigger(own)
        self._trigger_ids.pop(own, None)
        self.triggers.pop(registered, None)
        return registered
