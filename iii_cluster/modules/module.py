"""The module interface: functions and trigger types that the engine itself offers, in every process of a cluster.

A module is named in the configuration file, by its name or as `package.module:Class`. Each gateway and each shard makes
one instance of it: gateways answer its functions, shards do what needs a single owner. See docs/modules.md.
"""

from collections.abc import Awaitable, Callable, Iterable, Mapping
from typing import Any, ClassVar, Generic, NamedTuple, TypeVar

import msgspec
from msgspec import Raw, Struct

from iii_cluster.bus.envelopes import Trigger
from iii_cluster.telemetry.tracing import Trace

from .engine import Engine

T = TypeVar("T")


class Request(Struct, frozen=True):
    """One call of a module's function. `traceparent` and `baggage` are JSON strings, quotes included, or empty."""

    function: str
    data: bytes  # the input, JSON
    caller: str = ""  # worker id; "" when the engine itself calls
    traceparent: bytes = b""
    baggage: bytes = b""
    metadata: bytes = b""  # JSON or empty

    @property
    def trace(self) -> Trace:
        return self.traceparent, self.baggage


class Function(Generic[T]):
    """A function of a module.

    `handler` gets the decoded input; what does not fit `input` fails the call with `deserialization_error` before it.
    It returns anything msgspec can encode; `None` means no result at all, `Raw(b"null")` a JSON null. It raises
    `EngineError` for what the caller did or the store could not do.
    """

    __slots__ = ("decode", "description", "handler", "hidden", "input")

    def __init__(
        self,
        handler: Callable[[T, Request], Awaitable[object]],
        input: type[T],
        description: str = "",
        *,
        hidden: bool = False,
    ) -> None:
        self.handler = handler
        self.input = input
        self.decode: Callable[[bytes], T] = msgspec.json.Decoder(input).decode
        self.description = description
        self.hidden = hidden  # from listings: a name kept for old clients


def with_old_names(module: str, functions: Mapping[str, Function[Any]]) -> dict[str, Function[Any]]:
    """Each as "<module>::<name>", and hidden as "<module>.<name>" for old clients."""
    named = {f"{module}::{name}": function for name, function in functions.items()}
    for name, known in functions.items():
        named[f"{module}.{name}"] = Function(known.handler, known.input, known.description, hidden=True)
    return named


class Rival(NamedTuple):
    """What a trigger competes for: of all triggers with one `key`, only those of one `variant` are bound at a time."""

    key: str
    variant: str


class TriggerType(Struct, frozen=True, kw_only=True):
    """A trigger type that a module fires.

    `check` is called by the gateway that a trigger is registered at and raises `EngineError` to refuse it.
    `registered` and `unregistered` tell that gateway's module of it, the latter only of what a worker asked for, not of
    workers that are gone; they must not block.

    Triggers of one type may exclude each other across the cluster: `rival` says what one competes for, None for
    nothing, and `conflict(bound, refused)` is the error the owner of the refused one is told. The shard that owns the
    type calls both: pure, quick, and the same in every process.
    """

    id: str
    description: str = ""
    aliases: tuple[str, ...] = ()  # other names for it, of old clients
    check: Callable[[Trigger], None] | None = None
    registered: Callable[[Trigger], None] | None = None
    unregistered: Callable[[Trigger], None] | None = None
    rival: Callable[[Trigger], Rival | None] | None = None
    conflict: Callable[[Trigger, Trigger], str] = lambda bound, _: f"it conflicts with the trigger {bound.id}"
    trigger_request_format: Raw = Raw(b"")  # JSON schema of the config, or empty
    call_request_format: Raw = Raw(b"")  # JSON schema of what handlers get, or empty


class NoConfig(Struct, frozen=True, forbid_unknown_fields=True):
    """Of a module that has no settings."""


class Module:
    """Base of all modules. `config` is what the file says of it, as `Config`."""

    id: ClassVar[str]  # "iii-state", unique in a cluster
    name: ClassVar[str]  # for people
    Config: ClassVar[Any] = NoConfig  # a msgspec Struct; forbid_unknown_fields finds slips of the pen
    adapters: ClassVar[Mapping[str, str]] = {}  # name -> "package.module:Class"
    default_adapter: ClassVar[str] = ""

    def __init__(self, config: Any) -> None:
        self.config = config

    def functions(self) -> Mapping[str, Function[Any]]:
        """By id. Asked once, before `initialize`, in every process."""
        return {}

    def trigger_types(self) -> Iterable[TriggerType]:
        """Asked once, before `initialize`, in every process."""
        return ()

    async def initialize(self, engine: Engine) -> None:
        """Begin; `engine.role` says whether in a gateway or in a shard. Raises what makes that impossible.

        Also called anew, after `shutdown`, when a shard goes on under a new node id.
        """

    async def shutdown(self) -> None:
        """Stop what `initialize` began; within a second or so."""

    def describe(self) -> Mapping[str, Any]:
        """Numbers for the admin port, JSON-able."""
        return {}
