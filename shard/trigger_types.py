"""Trigger types: their providers per namespace, and the triggers that hang on them."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from enum import StrEnum

from iii_cluster.bus.envelopes import Owner, Trigger
from iii_cluster.modules.module import Rival

from .ownership import Record

DEFAULT_NAMESPACE = "default"


class State(StrEnum):
    LIVE = "live"  # offered to its provider, or of a built-in type
    PARKED = "parked"  # nobody provides its type
    REFUSED = "refused"  # its provider said no, or a rival is bound


def wanted_namespaces(trigger: Trigger) -> tuple[str, ...]:
    """Where to look for a provider, best first."""
    if trigger.provider_namespace is not None:
        return (trigger.provider_namespace,)
    return tuple(dict.fromkeys((trigger.home, DEFAULT_NAMESPACE)))


@dataclass(slots=True, eq=False)
class Provider(Record):
    """One connection's registration of a trigger type."""

    stamp: int  # unix time in microseconds
    definition: bytes
    at: "Providers"
    realm: str = ""
    since: int = 0  # stamp of its first registration


@dataclass(slots=True, eq=False)
class Binding(Record):
    """A trigger at its type. `provider` and `at` name the one that has, or refused, the trigger."""

    stamp: int
    trigger: Trigger
    type: "TriggerType"
    state: State = State.PARKED
    at: "Providers | None" = None
    provider: Owner | None = None
    due: bool = True  # an offer is owed, even to the provider that has it
    told: bool = False  # the owner heard of the refusal of this episode
    answered: bool = False  # the provider answered the offer
    error: bytes = b""  # with which it was refused
    rival: Rival | None = None  # while it competes for that


@dataclass(slots=True, eq=False)
class Providers:
    """All registrations of one type in one namespace: the newest serves, the others stand by.

    A provider sees the triggers of others: one of another realm takes none from it, but those of the empty realm from
    all others.
    """

    namespace: str
    type: "TriggerType"
    stack: dict[Owner, Provider] = field(default_factory=dict)  # in order of arrival
    current: Provider | None = None
    live: dict[str, Binding] = field(default_factory=dict)
    refused: dict[str, Binding] = field(default_factory=dict)

    def push(self, provider: Provider) -> None:
        self.stack.pop(provider.owner, None)
        self.stack[provider.owner] = provider
        self._choose()

    def remove(self, provider: Provider) -> bool:
        """Whether it was the one that serves."""
        del self.stack[provider.owner]
        served = self.current is provider
        if served:
            self._choose()
        return served

    def _choose(self) -> None:
        first = min(self.stack.values(), key=lambda p: (p.realm != "", p.since, p.realm), default=None)
        realm = "" if first is None else first.realm
        # Of equal stamps the latest to arrive.
        mine = (p for p in reversed(self.stack.values()) if p.realm == realm)
        self.current = max(mine, key=lambda p: p.stamp, default=None)

    @property
    def empty(self) -> bool:
        return not (self.stack or self.live or self.refused)


@dataclass(slots=True, eq=False)
class TriggerType:
    id: str
    providers: dict[str, Providers] = field(default_factory=dict)  # by namespace
    wanting: dict[str, dict[str, Binding]] = field(default_factory=dict)  # namespace -> triggers that look there
    live: dict[str, Binding] = field(default_factory=dict)

    def providers_in(self, namespace: str) -> Providers:
        found = self.providers.get(namespace)
        if found is None:
            found = self.providers[namespace] = Providers(namespace, self)
        return found

    def resolve(self, trigger: Trigger) -> Providers | None:
        """The best namespace that has a provider for `trigger`."""
        for namespace in wanted_namespaces(trigger):
            providers = self.providers.get(namespace)
            if providers is not None and providers.current is not None:
                return providers
        return None

    def add(self, binding: Binding) -> None:
        for namespace in wanted_namespaces(binding.trigger):
            self.wanting.setdefault(namespace, {})[binding.trigger.id] = binding

    def remove(self, binding: Binding) -> None:
        for namespace in wanted_namespaces(binding.trigger):
            wanting = self.wanting[namespace]
            del wanting[binding.trigger.id]
            if not wanting:
                del self.wanting[namespace]

    def set_state(self, binding: Binding, state: State, at: Providers | None, provider: Owner | None) -> None:
        """Move `binding` between the indexes; `at` is None when parked or of a built-in type."""
        id = binding.trigger.id
        self.live.pop(id, None)
        if binding.at is not None:
            binding.at.live.pop(id, None)
            binding.at.refused.pop(id, None)
            self.forget_empty(binding.at)
        binding.state, binding.at, binding.provider = state, at, provider
        if state is State.LIVE:
            self.live[id] = binding
        if at is not None:
            self.providers[at.namespace] = at
            (at.live if state is State.LIVE else at.refused)[id] = binding

    def start_over(self, binding: Binding) -> None:
        """Park `binding` as if it had just arrived."""
        self.set_state(binding, State.PARKED, None, None)
        binding.due, binding.told, binding.answered, binding.error = True, False, False, b""

    def forget_empty(self, providers: Providers) -> None:
        if providers.empty:
            self.providers.pop(providers.namespace, None)

    @property
    def empty(self) -> bool:
        return not (self.providers or self.wanting)

    def invariants(self, bindings: Iterable[Binding]) -> None:
        mine = {b.trigger.id: b for b in bindings}
        assert {id: b for id, b in mine.items() if b.state is State.LIVE} == self.live
        for namespace, providers in self.providers.items():
            assert providers.namespace == namespace
            assert not providers.empty
            here = {id: b for id, b in mine.items() if b.at is providers}
            assert providers.live == {id: b for id, b in here.items() if b.state is State.LIVE}
            assert providers.refused == {id: b for id, b in here.items() if b.state is State.REFUSED}
            current = providers.current
            assert (current is None) == (not providers.stack)
            stamps = [p.stamp for p in providers.stack.values() if current is not None and p.realm == current.realm]
            assert current is None or current.stamp == max(stamps)
            assert current is None or current.realm == "" or all(p.realm for p in providers.stack.values())
        wanting = {(n, id) for n, bindings in self.wanting.items() for id in bindings}
        assert wanting == {(n, id) for id, b in mine.items() for n in wanted_namespaces(b.trigger)}
        for binding in mine.values():
            assert (binding.at is None) == (binding.provider is None)
            assert (binding.state is State.REFUSED) <= binding.answered
            assert binding.at is None or binding.at in self.providers.values()
            assert binding.at is None or binding.provider in binding.at.stack


class ByFunction:
    """Bindings by the function their triggers call."""

    def __init__(self) -> None:
        self._bindings: dict[tuple[str, str], dict[Binding, None]] = {}

    def of(self, namespace: str, function: str) -> list[Binding]:
        return list(self._bindings.get((namespace, function), ()))

    def add(self, binding: Binding) -> None:
        trigger = binding.trigger
        self._bindings.setdefault((trigger.namespace, trigger.function), {})[binding] = None

    def remove(self, binding: Binding) -> None:
        key = binding.trigger.namespace, binding.trigger.function
        bindings = self._bindings[key]
        del bindings[binding]
        if not bindings:
            del self._bindings[key]

    def invariants(self, bindings: Iterable[Binding]) -> None:
        """`bindings` are all of them."""
        assert {id(b) for mine in self._bindings.values() for b in mine} == {id(b) for b in bindings}
        assert all(self._bindings.values())


class TriggerTypes(dict[str, TriggerType]):
    """By id: those that have providers or triggers."""

    def of(self, id: str) -> TriggerType:
        type = self.get(id)
        if type is None:
            type = self[id] = TriggerType(id)
        return type

    def forget_empty(self, type: TriggerType) -> None:
        if type.empty:
            self.pop(type.id, None)
