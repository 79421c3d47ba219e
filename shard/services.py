"""Services: pure bookkeeping. Announced ones are stored; the rest is read off function ids.

`a::b::c` is function `b::c` of service `a`. A shard sees only the functions of its slots, so a row counts
those, and whoever asks all shards adds rows of the same service up.
"""

from dataclasses import dataclass

from iii_cluster.bus.envelopes import Owner, PutService
from iii_cluster.cluster.slots import slot_of

from .ownership import Ownership, Record

SEPARATOR = "::"


def service_of(function: str) -> str:
    """The service a function id belongs to, "" if it belongs to none."""
    service, separator, _ = function.partition(SEPARATOR)
    return service if separator else ""


@dataclass(slots=True, eq=False)
class Service(Record):
    namespace: str
    id: str
    definition: bytes


class Services:
    def __init__(self) -> None:
        self.index: Ownership[Service] = Ownership()
        self._keys: dict[tuple[str, str], dict[Owner, Service]] = {}

    def put(self, put: PutService) -> None:
        owners = self._keys.setdefault((put.namespace, put.id), {})
        known = owners.get(put.owner)
        if known is not None:
            known.epoch = max(known.epoch, put.epoch)
            known.definition = put.definition
            return
        owner = self.index.canonical(put.owner)
        service = Service(owner, slot_of(put.id), put.epoch, put.namespace, put.id, put.definition)
        owners[owner] = service
        self.index.add(service)

    def remove(self, service: Service) -> None:
        key = (service.namespace, service.id)
        del self._keys[key][service.owner]
        if not self._keys[key]:
            del self._keys[key]
        self.index.remove(service)

    def release(self, owner: Owner) -> None:
        for service in self.index.of_owner(owner):
            self.remove(service)

    def in_slot(self, slot: int) -> list[Service]:
        return self.index.in_slot(slot)

    def invariants(self) -> None:
        self.index.invariants()
        stored = [service for owners in self._keys.values() for service in owners.values()]
        indexed = [service for slot in self.index.slots() for service in self.index.in_slot(slot)]
        assert {id(s) for s in stored} == {id(s) for s in indexed}
        assert all(self._keys.values())
