"""Functions: who exports `namespace`/`id`, and which of them serve under the duplicate policy."""

from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass, field
from hashlib import blake2b

from iii_cluster.bus.envelopes import DropFunction, Owner, PutFunction, RejectFunction
from iii_cluster.cluster.slots import SLOTS, slot_of
from iii_cluster.config.settings import Duplicates

from .effects import Effects
from .metadata import metadata_of
from .ownership import Ownership, Record
from .reservations import Reservations


@dataclass(slots=True, eq=False)
class Registration(Record):
    """One connection's registration of one function."""

    stamp: int  # unix µs
    definition: bytes
    function: "Function"
    realm: str = ""
    metadata: bytes = b""


@dataclass(slots=True, eq=False)
class Function:
    """One namespace's function of this id; it has a registration as long as it is kept."""

    namespace: str
    id: str
    registrations: dict[Owner, Registration] = field(default_factory=dict)  # in order of arrival
    contested: bool = False  # by several realms, and undecided
    described: int = 0  # registrations that have metadata

    def realm(self) -> str:
        """Of those who serve: the empty one, else the one that came first."""
        return min(self.registrations.values(), key=_precedence).realm


def _precedence(claim: Registration | PutFunction) -> tuple[bool, int, str]:
    """Of claims of different realms to one function the least has it."""
    return claim.realm != "", claim.stamp, claim.realm


def function_hash(namespace: str, id: str) -> int:
    """64 bits of one function, XORed into the digest of the registry."""
    return int.from_bytes(blake2b(f"{namespace}/{id}".encode(), digest_size=8).digest(), "big")


class Functions:
    """`changed` is told of every function whose serving owners may have changed.

    All owners of a function are of one realm. Those of the empty realm take it from any other; of two others the one
    that was there first keeps it. Whoever loses is rejected, as under the policy `reject`: its gateway forgets the
    registration, and its worker may register again. So is who comes within `window` seconds of the loss of an owner of
    another realm that may come back: calls are held for that one.

    Whoever gains a slot knows neither of such losses nor of all claims. Until it does (`decides` says so) functions
    without an owner of the empty realm are undecided: several realms may claim one at once, and nobody who asks is told
    of them. Then the one that was there first serves, and the others are rejected.
    """

    def __init__(
        self,
        effects: Effects,
        policy: Duplicates,
        changed: Callable[[str, str], None],
        decides: Callable[[int], bool],
        window: float,
    ) -> None:
        self.index: Ownership[Registration] = Ownership()
        self.reservations = Reservations(window)
        self._effects = effects
        self._policy = policy
        self._changed = changed
        self._decides = decides
        self._contested: dict[Function, None] = {}
        self._ids: dict[str, dict[str, Function]] = {}  # id -> namespace -> function
        self._counts = [0] * SLOTS
        self._digests = [0] * SLOTS

    # -- questions

    def find(self, namespace: str, id: str) -> Function | None:
        return self._ids.get(id, {}).get(namespace)

    def named(self, id: str) -> list[Function]:
        """The functions called `id` in all namespaces."""
        return list(self._ids.get(id, {}).values())

    def serving(self, function: Function) -> list[Registration]:
        """The registrations that take calls; never empty."""
        registrations: Collection[Registration] = function.registrations.values()
        if function.contested:
            realm = function.realm()
            registrations = [registration for registration in registrations if registration.realm == realm]
        if self._policy is Duplicates.REPLACE:
            # Of equal stamps the latest to arrive.
            return [max(reversed(list(registrations)), key=lambda registration: registration.stamp)]
        return list(registrations)

    def undecided(self, namespace: str, id: str) -> bool:
        """Whether its owners may yet lose it to a free worker that was lost before its slot came here."""
        function = self.find(namespace, id)
        return function is not None and not self._decides(slot_of(id)) and function.realm() != ""

    def owners(self, namespace: str, id: str) -> list[Owner]:
        function = self.find(namespace, id)
        return [] if function is None else [registration.owner for registration in self.serving(function)]

    def metadata(self, namespace: str, id: str) -> bytes:
        """What all who serve agree on, else empty."""
        function = self.find(namespace, id)
        if function is None or not function.described:
            return b""
        first, *others = self.serving(function)
        return first.metadata if all(other.metadata == first.metadata for other in others) else b""

    def elsewhere(self, namespace: str, id: str) -> list[str]:
        """Other namespaces in which `id` has owners."""
        return sorted(other for other in self._ids.get(id, ()) if other != namespace)

    def in_slot(self, slot: int) -> list[Function]:
        return list({registration.function: None for registration in self.index.in_slot(slot)})

    def digest(self, slots: Iterable[int]) -> tuple[int, int]:
        """Count and XOR of hashes of the functions in `slots`."""
        count = digest = 0
        for slot in slots:
            count += self._counts[slot]
            digest ^= self._digests[slot]
        return count, digest

    # -- events

    def put(self, put: PutFunction, now: float) -> None:
        function = self.find(put.namespace, put.id)
        known = None if function is None else function.registrations.get(put.owner)
        if known is None and self._refused(function, put, now):
            return
        if function is None:
            function = self._create(put.namespace, put.id)
        metadata = metadata_of(put.definition)
        if known is not None:
            known.epoch = max(known.epoch, put.epoch)
            function.described -= bool(known.metadata)
            known.stamp, known.definition, known.metadata = put.stamp, put.definition, metadata
        else:
            owner, slot = self.index.canonical(put.owner), slot_of(put.id)
            registration = Registration(
                owner, slot, put.epoch, put.stamp, put.definition, function, put.realm, metadata
            )
            function.registrations[owner] = registration
            self.index.add(registration)
        function.described += bool(metadata)
        self._changed(put.namespace, put.id)

    def drop(self, drop: DropFunction, now: float) -> None:
        function = self.find(drop.namespace, drop.id)
        if function is not None and drop.owner in function.registrations:
            self._lose(function.registrations[drop.owner], now, drop.back)

    def remove(self, registration: Registration) -> None:
        function = registration.function
        self._detach(registration)
        if not function.registrations:
            self._delete(function)
        self._changed(function.namespace, function.id)

    def release(self, owner: Owner, now: float, back: bool) -> None:
        """`back`: its worker may come back."""
        for registration in self.index.of_owner(owner):
            self._lose(registration, now, back)

    def decide(self, slot: int) -> None:
        """Every claim is known, and whoever was lost had the time to come back."""
        for function in [function for function in self._contested if slot_of(function.id) == slot]:
            self._uncontest(function)
            realm = function.realm()
            self._evict(function, [r for r in function.registrations.values() if r.realm != realm])
            self._changed(function.namespace, function.id)

    # -- inside

    def _lose(self, registration: Registration, now: float, back: bool) -> None:
        if back:
            function = registration.function
            self.reservations.reserve(function.namespace, function.id, registration.realm, now)
        self.remove(registration)

    def _refused(self, function: Function | None, put: PutFunction, now: float) -> bool:
        if self.reservations.keeps_out(put.namespace, put.id, put.realm, now):
            self._reject(put.owner, put.stamp, put.namespace, put.id)
            return True
        if function is None:
            return False
        refused = self._refused_by_realm(function, put)
        return refused or (self._policy is Duplicates.REJECT and self._refused_by_policy(function, put))

    def _refused_by_realm(self, function: Function, put: PutFunction) -> bool:
        """The other realm's owners are not named: whoever is under rules may not know of them."""
        if not function.contested and next(iter(function.registrations.values())).realm == put.realm:
            return False
        first = min(function.registrations.values(), key=_precedence)
        if first.realm and put.realm and not self._decides(first.slot) and self._policy is not Duplicates.REJECT:
            function.contested = True
            self._contested[function] = None
            return False
        if _precedence(first) < _precedence(put):
            self._reject(put.owner, put.stamp, put.namespace, put.id)
            return True
        self._uncontest(function)
        self._evict(function, list(function.registrations.values()))
        return False

    def _evict(self, function: Function, losers: Iterable[Registration]) -> None:
        for loser in losers:
            self._detach(loser)
            self._reject(loser.owner, loser.stamp, function.namespace, function.id)

    def _uncontest(self, function: Function) -> None:
        function.contested = False
        self._contested.pop(function, None)

    def _refused_by_policy(self, function: Function, put: PutFunction) -> bool:
        """Policy `reject`: the oldest registration stays, whichever of the two arrived first."""
        for holder in list(function.registrations.values()):
            if holder.stamp <= put.stamp:
                self._reject(put.owner, put.stamp, put.namespace, put.id, holder.owner.worker)
                return True
            self._detach(holder)
            self._reject(holder.owner, holder.stamp, put.namespace, put.id, put.owner.worker)
        return False

    def _reject(self, loser: Owner, stamp: int, namespace: str, id: str, winner: str = "") -> None:
        self._effects.send(loser.node, RejectFunction(loser.conn, namespace, id, winner, stamp))

    def _detach(self, registration: Registration) -> None:
        del registration.function.registrations[registration.owner]
        registration.function.described -= bool(registration.metadata)
        self.index.remove(registration)

    def _create(self, namespace: str, id: str) -> Function:
        function = Function(namespace, id)
        self._ids.setdefault(id, {})[namespace] = function
        self._count(function, 1)
        return function

    def _delete(self, function: Function) -> None:
        self._uncontest(function)
        namespaces = self._ids[function.id]
        del namespaces[function.namespace]
        if not namespaces:
            del self._ids[function.id]
        self._count(function, -1)

    def _count(self, function: Function, change: int) -> None:
        slot = slot_of(function.id)
        self._counts[slot] += change
        self._digests[slot] ^= function_hash(function.namespace, function.id)

    def invariants(self) -> None:
        self.index.invariants()
        functions = [function for namespaces in self._ids.values() for function in namespaces.values()]
        registrations = [r for function in functions for r in function.registrations.values()]
        indexed = [r for slot in self.index.slots() for r in self.index.in_slot(slot)]
        assert {id(r) for r in registrations} == {id(r) for r in indexed}
        assert all(self._ids.values())
        for function in functions:
            assert function.registrations
            assert self._policy is not Duplicates.REJECT or len(function.registrations) == 1
            assert all(r.function is function and r.owner == o for o, r in function.registrations.items())
            assert function.described == sum(bool(r.metadata) for r in function.registrations.values())
            assert function.contested == (function in self._contested)
            assert not (function.contested and self._decides(slot_of(function.id)))
            realms = {registration.realm for registration in function.registrations.values()}
            assert len(realms) == 1 or (function.contested and "" not in realms)
        assert all(self.find(function.namespace, function.id) is function for function in self._contested)
        digest = 0
        for function in functions:
            digest ^= function_hash(function.namespace, function.id)
        assert self.digest(range(SLOTS)) == (len(functions), digest)
