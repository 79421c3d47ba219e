"""What shards have to hold once everything is delivered, computed from what the living gateways registered."""

from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass

from iii_cluster.access.triggers import under_rules
from iii_cluster.bus.envelopes import BindTrigger, Owner
from iii_cluster.cluster.durable import DURABLE
from iii_cluster.cluster.map import ClusterMap
from iii_cluster.cluster.slots import slot_of
from iii_cluster.config.settings import Duplicates
from iii_cluster.routing.keys import parse_function_key, served_key
from shard.core import ShardCore

from .gateway_model import Gateway
from .shard import rival_of


@dataclass
class Truth:
    """The whole world at rest; each check raises AssertionError."""

    duplicates: Duplicates
    map: ClusterMap
    gateways: Mapping[str, Gateway]
    storage: Mapping[str, BindTrigger]
    cores: Mapping[str, ShardCore]

    def core_of(self, key: str) -> ShardCore:
        return self.cores[self.map.owner(key)]

    def check_functions(self, keys: Iterable[str]) -> None:
        truth: dict[tuple[str, str], dict[Owner, int]] = defaultdict(dict)
        realms: dict[tuple[str, str], set[str]] = defaultdict(set)
        for gateway in self.gateways.values():
            for (conn, namespace, id), stamp in gateway.functions.items():
                truth[namespace, id][gateway.owner(conn)] = stamp
                realms[namespace, id].add(gateway.realms.get(conn, ""))
        for key in keys:
            namespace, id = parse_function_key(key)
            assert len(realms[namespace, id]) <= 1, "owners are of one realm"
            owners = serving(self.duplicates, truth[namespace, id])
            assert sorted_owners(self.core_of(id).functions.owners(namespace, id)) == owners
            for other in self.cores.values():
                assert other is self.core_of(id) or other.functions.find(namespace, id) is None
            for gateway in self.gateways.values():
                if key in gateway.watched:
                    view = gateway.watched[key]
                    assert isinstance(view, list)
                    assert sorted_owners(view) == owners != []
                if served_key(namespace, id) in gateway.watched:
                    assert gateway.watched[served_key(namespace, id)] is bool(owners)

    def check_trigger_store(self) -> None:
        claims = {
            (id, g.owner(conn)): trigger
            for g in self.gateways.values()
            for (conn, id), (_, trigger) in g.triggers.items()
        }
        claims |= {(id, DURABLE): bind.trigger for id, bind in self.storage.items()}
        ids = [id for id, _ in claims]
        assert len(ids) == len(set(ids)), "an id has one owner"
        stored = {
            (record.trigger.id, record.owner): record.trigger
            for core in self.cores.values()
            for slot in core.triggers.index.slots()
            for record in core.triggers.index.in_slot(slot)
        }
        bound = {
            (binding.trigger.id, binding.owner): binding.trigger
            for core in self.cores.values()
            for slot in core.bindings.index.slots()
            for binding in core.bindings.index.in_slot(slot)
        }
        assert stored == claims
        assert bound == claims

    def check_bindings(self, types: Collection[str], builtin: Collection[str]) -> None:
        providers: dict[tuple[str, str], tuple[int, Owner]] = {}
        for gateway in self.gateways.values():
            for (conn, namespace, type), stamp in gateway.types.items():
                found = (stamp, gateway.owner(conn))
                providers[namespace, type] = max(found, providers.get((namespace, type), found), key=lambda p: p[0])
        held = {key: given[0] for gateway in self.gateways.values() for key, given in gateway.held.items()}
        for type in types:
            core = self.core_of(type)
            live = {}
            for binding in core.bindings.in_slot(slot_of(type)):
                trigger = binding.trigger
                wanted = [trigger.provider_namespace] if trigger.provider_namespace else [trigger.home, "default"]
                target = next((providers[n, type][1] for n in wanted if (n, type) in providers), None)
                if type in builtin:
                    assert binding.state in ("live", "refused")
                    assert binding.provider is None
                elif target is None:
                    assert binding.state == "parked"
                else:
                    assert binding.provider == target
                    assert binding.state in ("live", "refused")
                if binding.state == "live":
                    live[trigger.id] = binding.stamp, trigger
                    assert target is None or type in builtin or held.get((target, type, trigger.id)) == trigger
            for gateway in self.gateways.values():
                if f"triggers:{type}" in gateway.watched:
                    assert gateway.watched[f"triggers:{type}"] == live
        bindings = [b for core in self.cores.values() for t in types for b in core.bindings.in_slot(slot_of(t))]
        # A refusal may have crossed a repeated offer that nothing was said to yet.
        assert held.keys() <= {(b.provider, b.type.id, b.trigger.id) for b in bindings if b.provider}

    def check_rivals(self, type: str) -> None:
        """Each key is had by one variant, a free worker's if there is one; the owners of the others know."""
        variants: dict[str, dict[str, set[str]]] = defaultdict(lambda: defaultdict(set))
        free: set[tuple[str, str]] = set()  # keys and variants
        for binding in self.core_of(type).bindings.in_slot(slot_of(type)):
            rival = rival_of(binding.trigger)
            key, variant = rival or ("", "")
            variants[key][variant].add(binding.state)
            if not under_rules(binding.trigger.id):
                free.add((key, variant))
            if binding.state == "refused" and binding.owner.node:
                gateway = self.gateways[binding.owner.node]
                assert (binding.owner.conn, binding.trigger.id) in gateway.failed
        for key, states in variants.items():
            bound = [variant for variant, found in states.items() if found == {"live"}]
            refused = [variant for variant, found in states.items() if found == {"refused"}]
            assert (len(bound), len(refused)) == (1, len(states) - 1), key
            assert (key, bound[0]) in free or not any((key, variant) in free for variant in refused)


def sorted_owners(owners: list[Owner]) -> list[Owner]:
    return sorted(owners, key=lambda owner: (owner.node, owner.conn))


def serving(policy: Duplicates, stamps: dict[Owner, int]) -> list[Owner]:
    if policy is Duplicates.REPLACE and stamps:
        return [max(stamps, key=lambda owner: stamps[owner])]
    assert policy is not Duplicates.REJECT or len(stamps) <= 1
    return sorted_owners(list(stamps))
