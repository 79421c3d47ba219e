"""What a gateway knows of one worker connection. The socket itself is behind `Outlet`."""

import logging
import time
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, Protocol

from iii_cluster.access.rules import Access
from iii_cluster.bus.envelopes import Owner, Trigger
from iii_cluster.protocol.payload import caller_suffix
from iii_cluster.routing.route import Feeder, Target

from .announcer import Registration

if TYPE_CHECKING:
    from .access.guarded import Guarded

log = logging.getLogger(__name__)

# Longest part of a bad frame that is logged, characters.
_LOGGED = 120


class Outlet(Protocol):
    """The sending half of a worker's socket."""

    def send(self, frame: bytes) -> None:
        """Queue one text frame; written at the end of the loop's tick."""

    def pause(self) -> None:
        """Stop reading; counted, so every pause needs its resume."""

    def resume(self) -> None: ...

    def abort(self) -> None: ...

    @property
    def open(self) -> bool:
        """What is sent reaches the worker, as far as can be known here."""

    @property
    def congested(self) -> bool:
        """More is queued than the worker keeps up with."""


class Answers(Protocol):
    """Where the answers to a worker's calls go."""

    def send(self, frame: bytes) -> None: ...


# What becomes of a worker's messages, by their type.
Handlers = Mapping[type, Callable[["Worker", Any], None]]


class Worker:
    """One connection: identity, namespace, registrations, calls in flight."""

    __slots__ = (
        "access",
        "address",
        "announced",
        "answers",
        "calling",
        "connected_ms",
        "dropped",
        "feeders",
        "gone",
        "guarded",
        "handlers",
        "held",
        "info",
        "inherits",
        "known",
        "max_frame",
        "namespace",
        "offers",
        "outlet",
        "owner",
        "realm",
        "registrations",
        "remote_feeders",
        "serving",
        "special",
        "suffix",
        "target",
        "token",
    )

    def __init__(
        self, owner: Owner, token: str, outlet: Outlet, target: Target, address: str, handlers: Handlers
    ) -> None:
        self.owner = owner
        self.handlers = handlers
        self.token = token
        self.outlet = outlet
        self.answers: Answers = outlet  # something else once the socket takes no more
        self.target = target
        self.address = address
        self.suffix = caller_suffix(owner.worker)
        self.connected_ms = time.time_ns() // 1_000_000
        self.namespace = "default"
        self.realm = ""  # the listener whose rules it is under, "" for one that may do anything; never changes
        self.access: Access | None = None  # None: it may do anything
        self.guarded: Guarded | None = None  # what it calls things, if it is under rules
        self.special = False  # calls of its functions are not sent as they are
        self.known = False  # the coordinator was told of it: it sent a protocol message
        self.announced = False
        self.gone = False
        self.inherits = False  # calls of an earlier connection may be left on another gateway
        self.dropped = 0  # frames that came to nothing
        self.held: list[bytes] | None = None  # frames that wait until the old connection is retired
        self.info: dict[str, Any] = {}  # what it announced of itself
        self.max_frame = 0  # largest message it accepts, bytes; 0: no limit known
        self.registrations: dict[tuple[str, str, str], Registration] = {}
        self.offers: dict[str, Trigger] = {}  # triggers it was told of as their provider
        self.calling: dict[bytes, str] = {}  # its own invocation ids -> ours
        self.serving: dict[str, str] = {}  # our invocation ids -> node of the caller
        self.feeders: set[Feeder] = set()  # callers paused until this one reads again
        self.remote_feeders: set[str] = set()  # gateways told that it does not keep up

    @property
    def id(self) -> str:
        return self.owner.worker

    @property
    def number(self) -> int:
        return self.owner.conn

    def own_name(self, function_json: bytes) -> bytes:
        """What the worker itself calls a function that it serves; both ids as JSON."""
        return function_json if self.guarded is None else self.guarded.own_name(function_json)

    def drop(self, what: str, reason: str) -> None:
        """Log that a frame came to nothing; of a stream of them, ever fewer. Both texts may be the worker's."""
        self.dropped += 1
        if self.dropped.bit_count() == 1:
            log.warning(
                "action=frame_dropped worker=%s count=%d frame=%s reason=%s",
                self.id,
                self.dropped,
                what[:_LOGGED],
                reason[:_LOGGED],
            )

    def __repr__(self) -> str:
        return f"Worker({self.id})"
