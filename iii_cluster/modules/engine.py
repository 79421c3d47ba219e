"""What a module may ask of the process it runs in."""

from collections.abc import Callable, Collection, Mapping
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

from iii_cluster.bus.envelopes import Trigger
from iii_cluster.cluster.map import Role
from iii_cluster.config.settings import Settings

if TYPE_CHECKING:  # the command line reads configurations without it
    from iii_cluster.redis.commands import Commands
    from iii_cluster.telemetry.telemetry import Telemetry

Done = Callable[[bytes, bytes], None]  # (result, error), both JSON; error wins, both empty: success without a value
Sent = Callable[[str], None]  # (gateway)


class Invocation(Protocol):
    """A call that is under way."""

    def forget(self) -> None:
        """Nobody waits for its end any more: `done` will not be called. A named delivery that a shard has not sent yet
        never is."""


class Watched(Protocol):
    """The live triggers of one type, wherever in the cluster they are registered."""

    @property
    def known(self) -> bool:
        """Whether the owner of the type has ever answered; before that there are none to see."""

    def all(self) -> Collection[Trigger]: ...

    async def until_known(self) -> None:
        """Returns when `known`; bounded by the caller."""


class Ownership(Protocol):
    """What this shard owns. A key belongs to the owner of its slot."""

    def token(self, key: str) -> int:
        """The fencing token under which this node owns `key`: higher than every earlier owner's. 0: it does not, or
        its lease ran out."""

    def slot_token(self, slot: int) -> int: ...

    def slots(self) -> Collection[int]:
        """All that this node owns now; none while it is fenced."""

    def subscribe(self, changed: Callable[[], None]) -> None:
        """`changed()` whenever slots came or went, or the node was fenced or is no longer."""


class Adopted(NamedTuple):
    """What became of deliveries that an earlier owner began."""

    serving: Mapping[str, str]  # under way: name -> gateway; their ends go to the asker now
    ended: Mapping[str, bytes]  # name -> error, b"" for success
    complete: bool  # every gateway has answered: what is in neither reached no worker, or one of a lost gateway
    gateways: Collection[str]  # that have answered


class Engine(Protocol):
    """The process as its modules see it. Stays the same object for the life of the module."""

    @property
    def role(self) -> Role: ...

    @property
    def node(self) -> str:
        """The present node id; a new one after the node was declared dead and joined again."""

    @property
    def settings(self) -> Settings: ...

    @property
    def prefix(self) -> str:
        """First part of all keys of this cluster: "{name}"."""

    @property
    def commands(self) -> "Commands":
        """The cluster's Redis (the first of `redis_urls`)."""

    @property
    def telemetry(self) -> "Telemetry":
        """The process's."""

    async def ask_nodes(self, op: str, body: object = None) -> tuple[dict[str, Any], Collection[str]]:
        """Ask every process of the cluster, this one too: answers by node, and who did not answer in time."""

    def commands_of(self, url: str) -> "Commands":
        """Another server's, shared by all modules that name it; closed with the process."""

    def invoke(
        self,
        function: str,
        data: bytes,
        done: Done | None = None,
        *,
        namespace: str = "default",
        metadata: bytes = b"",
        traceparent: bytes = b"",
        baggage: bytes = b"",
        once: str = "",
        sent: Sent | None = None,
    ) -> Invocation:
        """Call any function of the cluster, a module's too. `done` is called exactly once, unless forgotten; never
        before this returns. There is no time limit.

        `once` names a delivery that another node may take over after this one is lost: the gateway that serves it
        remembers the name and how it ended. Who takes over asks `adopt` before it repeats anything: the repetition may
        go to another gateway.

        On shards `sent(gateway)` is called whenever the call goes to a gateway, perhaps before this returns, and when
        another one takes it over with its worker; `sent("")` when it reached no worker there. It must not fail.
        """

    async def adopt(self, names: Collection[str], done: Callable[[str, bytes], None]) -> Adopted:
        """Take over deliveries of earlier owners, by `once`; `done(name, error)` for each that is still under way."""

    def watch(self, trigger_type: str, changed: Callable[[], None] | None = None) -> Watched:
        """Follow the triggers of a type; `changed()` after every change."""

    async def serves(self, function: str, namespace: str = "default") -> bool:
        """Whether any worker serves a function. Costs a question to a shard the first time, nothing afterwards."""

    def nudge(self, key: str) -> None:
        """Wake the shard that owns `key`: there is something to do. A hint that may be lost with its receiver."""

    def on_nudge(self, kind: str, wake: Callable[[str], None]) -> None:
        """On shards: `wake(key)` for nudges of keys that begin with "<kind>:". Also for keys that just moved away."""

    @property
    def ownership(self) -> Ownership:
        """On shards only."""
