"""Functions: who exports `namespace`/`id`, and which of them serve under the duplicate policy."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from hashlib import blake2b

from iii_cluster.bus.envelopes import DropFunction, Owner, PutFunction, RejectFunction
from iii_cluster.cluster.slots import SLOTS, slot_of
from iii_cluster.config.settings import Duplicates

from .effects import Effects
from .ownership import Ownership, Record


@dataclass(slots=True, eq=False)
class Registration(Record):
    """One connection's registration of one function."""

    stamp: int  # unix ms
    definition: bytes
    function: "Function"


@dataclass(slots=True, eq=False)
class Function:
    namespace: str
    id: str
    registrations: dict[Owner, Registration] = field(default_factory=dict)  # in order of arrival


def function_hash(namespace: str, id: str) -> int:
    """64 bits of one function, XORed into the digest of the registry."""
    return int.from_bytes(blake2b(f"{namespace}/{id}".encode(), digest_size=8).digest(), "big")


class Functions:
    """`changed` is told of every function whose serving owners may have changed."""

    def __init__(self, effects: Effects, policy: Duplicates, changed: Callable[[str, str], None]) -> None:
        self.index: Ownership[Registration] = Ownership()
        self._effects = effects
        self._policy = policy
        self._changed = changed
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
        registrations = function.registrations.values()
        if self._policy is Duplicates.REPLACE:
            # Of equal stamps the latest to arrive.
            return [max(reversed(registrations), key=lambda registration: registration.stamp)]
        return list(registrations)

    def owners(self, namespace: str, id: str) -> list[Owner]:
        function = self.find(namespace, id)
        return [] if function is None else [registration.owner for registration in self.serving(function)]

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

    def put(self, put: PutFunction) -> None:
        function = self._ids.get(put.id, {}).get(put.namespace)
        if function is None:
            function = self._create(put.namespace, put.id)
        known = function.registrations.get(put.owner)
        if known is not None:
            known.epoch = max(known.epoch, put.epoch)
            known.stamp, known.definition = put.stamp, put.definition
        else:
            if self._policy is Duplicates.REJECT and self._rejected(function, put):
                return
            owner = self.index.canonical(put.owner)
            slot = slot_of(put.id)
            registration = Registration(owner, slot, put.epoch, put.stamp, put.definition, function)
            function.registrations[owner] = registration
            self.index.add(registration)
        self._changed(put.namespace, put.id)

    def drop(self, drop: DropFunction) -> None:
        function = self.find(drop.namespace, drop.id)
        if function is not None and drop.owner in function.registrations:
            self.remove(function.registrations[drop.owner])

    def remove(self, registration: Registration) -> None:
        function = registration.function
        self._detach(registration)
        if not function.registrations:
            self._delete(function)
        self._changed(function.namespace, function.id)

    def release(self, owner: Owner) -> None:
        for registration in self.index.of_owner(owner):
            self.remove(registration)

    # -- inside

    def _rejected(self, function: Function, put: PutFunction) -> bool:
        """Policy `reject`: the oldest registration stays, whichever of the two arrived first."""
        for holder in list(function.registrations.values()):
            if holder.stamp <= put.stamp:
                self._reject(put.owner, put.stamp, function, holder.owner)
                return True
            self._detach(holder)
            self._reject(holder.owner, holder.stamp, function, put.owner)
        return False

    def _reject(self, loser: Owner, stamp: int, function: Function, winner: Owner) -> None:
        envelope = RejectFunction(loser.conn, function.namespace, function.id, winner.worker, stamp)
        self._effects.send(loser.node, envelope)

    def _detach(self, registration: Registration) -> None:
        del registration.function.registrations[registration.owner]
        self.index.remove(registration)

    def _create(self, namespace: str, id: str) -> Function:
        function = Function(namespace, id)
        self._ids.setdefault(id, {})[namespace] = function
        self._count(function, 1)
        return function

    def _delete(self, function: Function) -> None:
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
        digest = 0
        for function in functions:
            digest ^= function_hash(function.namespace, function.id)
        assert self.digest(range(SLOTS)) == (len(functions), digest)
