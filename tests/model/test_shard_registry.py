"""Two shards, gateways that come, go and come back, maps that reach everybody at other times, links of any speed.

Whatever happens on the way: once everything is delivered, what the shards hold and what watchers believe is what
the living gateways registered, and every trigger is where the rules put it.
"""

from collections import defaultdict, deque
from itertools import count

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from iii_cluster.access.triggers import scoped
from iii_cluster.bus.envelopes import (
    Announced,
    BindTrigger,
    Cleanup,
    CleanupDone,
    DropTriggerType,
    Envelope,
    FunctionOwners,
    Owner,
    ProviderAnswer,
    PutTrigger,
    PutTriggerType,
    RejectFunction,
    RemoveTrigger,
    Served,
    Trigger,
    TriggerChange,
    UnbindTrigger,
    Watch,
)
from iii_cluster.cluster.durable import DURABLE
from iii_cluster.cluster.map import ClusterMap, NodeInfo, Role, SlotOwner
from iii_cluster.cluster.slots import SLOTS, slot_of
from iii_cluster.config.settings import Duplicates
from iii_cluster.routing.keys import parse_function_key, parse_served_key
from shard.core import ShardCore
from tests.support.gateway_model import FunctionKey, Gateway, subject
from tests.support.registry_truth import Truth
from tests.support.shard import ROUTE, ROUTES

SHARDS = ("shard-a", "shard-b")
LEADER = "coordinator-1"
FORMER = "coordinator-0"
BUILTIN = "engine::workers-available"
NAMESPACES = ("default", "shop")
FUNCTIONS = ("f", "g")
TYPES = ("hook", "tick", BUILTIN, ROUTE)
CONFIGS = (b'"a:x"', b'"a:y"', b"null")  # of routes: what they compete for
TRIGGERS = ("t1", "t2", scoped("guests", "t3"))
KEYS = tuple(f"{kind}:{n}/{f}" for kind in ("function", "served") for n in NAMESPACES for f in FUNCTIONS) + tuple(
    f"triggers:{t}" for t in TYPES
)
GROUPS = 4  # slots move in groups, by remainder
CONNS = (1, 2)
REALMS = ("", "", "guests", "partners")
WINDOW = 2.0  # seconds a lost worker is expected back


class Registry(RuleBasedStateMachine):
    duplicates = Duplicates.BALANCE

    def __init__(self) -> None:
        super().__init__()
        self.stamps = count(1)
        self.names = count(1)
        self.clock = 0.0
        self.gateways: dict[str, Gateway] = {}
        self.maps: list[ClusterMap] = [ClusterMap(term=1)]
        self.term = 1
        self.links: dict[tuple[str, str], deque[Envelope]] = defaultdict(deque)
        self.storage: dict[str, BindTrigger] = {}
        self.sure: set[tuple[str, FunctionKey]] = set()  # registrations every shard can know of: (gateway, key)
        self.closed: dict[Owner, bool] = {}  # connections to be cleaned up, and whether their worker may come back
        self.moved: set[tuple[str, str]] = set()  # functions that moved with their worker
        self.free: dict[tuple[str, str], float] = {}  # functions a free worker lost, and when: it may come back
        self.lasting: set[str] = set()  # triggers that nobody may see gone
        self.cores: dict[str, ShardCore] = {}
        for name in SHARDS:
            self.cores[name] = ShardCore(
                name,
                Wire(self, name),
                duplicates=self.duplicates,
                builtin_types={BUILTIN, ROUTE},
                barrier=2.0,
                reattach_window=WINDOW,
                module_types={ROUTE: ROUTES},
            )

    # -- the world

    def post(self, src: str, to: str, envelope: Envelope) -> None:
        self.links[src, to].append(envelope)

    def new_map(self, owners: tuple[SlotOwner, ...] | None = None) -> None:
        old = self.maps[-1]
        nodes = {name: NodeInfo(id=name, role=Role.GATEWAY) for name in self.gateways}
        nodes |= {name: NodeInfo(id=name, role=Role.SHARD) for name in SHARDS}
        nodes[LEADER] = NodeInfo(id=LEADER, role=Role.COORDINATOR)
        new = ClusterMap(term=self.term, epoch=old.epoch + 1, leader=LEADER, nodes=nodes, slots=owners or old.slots)
        self.maps.append(new)

    def deliver(self, src: str, to: str) -> None:
        envelope = self.links[src, to].popleft()
        if to in self.cores:
            self.cores[to].handle(src, envelope, self.clock)
            self.load(to)
        elif to in self.gateways:
            self.gateways[to].receive(src, envelope)

    def gateway(self, name: str) -> Gateway:
        return Gateway(name, lambda shard, envelope: self.post(name, shard, envelope))

    def busy(self) -> list[tuple[str, str]]:
        return [link for link, mail in self.links.items() if mail]

    # -- rules: the cluster

    @initialize()
    def start(self) -> None:
        self.gateways = {name: self.gateway(name) for name in ("gateway-0", "gateway-00")}
        self.new_map(tuple(SlotOwner(SHARDS[slot % 2], 1) for slot in range(SLOTS)))
        for node in (*self.gateways, *SHARDS):
            self.advance(node, 1)

    @rule(group=st.integers(0, GROUPS - 1), shard=st.sampled_from(SHARDS))
    def move_slots(self, group: int, shard: str) -> None:
        epoch = self.maps[-1].epoch + 1
        slots = list(self.maps[-1].slots)
        for slot in range(group, SLOTS, GROUPS):
            if slots[slot].node != shard:
                slots[slot] = SlotOwner(shard, epoch)
        self.new_map(tuple(slots))

    @rule(data=st.data(), shard=st.sampled_from(SHARDS), key=st.sampled_from(KEYS))
    def fail_over(self, data: st.DataObject, shard: str, key: str) -> None:
        """Out of a settled state one shard loses everything to the other; everybody knows, the mail is on its way."""
        self.watch(data, key)
        self.everything_settles()
        self.hand_over_from(shard)

    def hand_over_from(self, shard: str) -> None:
        """Everybody knows."""
        epoch = self.maps[-1].epoch + 1
        (heir,) = set(SHARDS) - {shard}
        self.new_map(tuple(SlotOwner(heir, epoch) if o.node == shard else o for o in self.maps[-1].slots))
        for node in self.epochs():
            self.advance(node, epoch)

    @precondition(lambda self: len(self.gateways) < 4)
    @rule()
    def gateway_joins(self) -> None:
        name = f"gateway-{next(self.names)}"
        self.gateways[name] = self.gateway(name)
        self.new_map()
        self.advance(name, len(self.maps) - 1)

    @precondition(lambda self: len(self.gateways) > 1)
    @rule(data=st.data())
    def gateway_dies(self, data: st.DataObject) -> None:
        name = data.draw(st.sampled_from(sorted(self.gateways)))
        del self.gateways[name]
        self.new_map()  # what it sent is still on the way

    @rule(data=st.data())
    def gateway_reincarnates(self, data: st.DataObject) -> None:
        """Cut off for too long, it comes back under a new node id with all its connections."""
        old = data.draw(st.sampled_from(sorted(self.gateways)))
        name = f"gateway-{next(self.names)}"
        gateway = self.gateways[name] = self.gateways.pop(old)
        gateway.reincarnate(name, lambda shard, envelope: self.post(name, shard, envelope))
        self.new_map()
        self.advance(name, len(self.maps) - 1)

    @precondition(lambda self: len(self.gateways) > 1)
    @rule(data=st.data())
    def gateway_dies_and_its_workers_move(self, data: st.DataObject) -> None:
        name = data.draw(st.sampled_from(sorted(self.gateways)))
        lost = self.gateways.pop(name)
        for key in lost.functions:
            self.lose(lost, key)
        self.new_map()
        heir = self.gateways[data.draw(st.sampled_from(sorted(self.gateways)))]
        for number in sorted({key[0] for key in lost.functions} | {key[0] for key in lost.triggers}):
            conn = heir_connection(heir, lost, number)
            for key in [key for key in sorted(lost.functions) if key[0] == number]:
                self.register_elsewhere(name, key, heir, conn)
            for trigger in triggers_of(lost, number):
                self.announce_trigger(heir, conn, trigger)

    @rule(data=st.data())
    def gateway_comes_back_under_another_id(self, data: st.DataObject) -> None:
        """It was cut off: declared dead, it joins again with the same workers."""
        name = data.draw(st.sampled_from(sorted(self.gateways)))
        old = self.gateways.pop(name)
        again = self.gateways[f"{name}+"] = self.gateway(f"{name}+")
        again.functions, again.types, again.triggers = old.functions, old.types, old.triggers
        again.worker_numbers, again.conns, again.realms = old.worker_numbers, old.conns, old.realms
        again.watched = dict.fromkeys(old.watched)
        again.held = {(again.owner(o.conn), type, id): given for (o, type, id), given in old.held.items()}
        self.new_map()
        self.advance(again.id, len(self.maps) - 1)

    @rule()
    def another_coordinator_leads(self) -> None:
        self.term += 1
        self.new_map()
        for owner, back in self.closed.items():  # it finishes what the former one has begun
            self.clean_up(owner, back)

    @rule(data=st.data(), shard=st.sampled_from(SHARDS))
    def former_leader_cleans_up_after_the_living(self, data: st.DataObject, shard: str) -> None:
        """It was stopped for a while and does not know yet; whoever follows another leader does."""
        if (term := self.cores[shard].map.term) > 1:
            gateway, conn = self.pick(data)
            for step in ("functions", "triggers"):
                self.post(FORMER, shard, Cleanup(1, step, [gateway.owner(conn)], term - 1, [0]))

    @rule(data=st.data())
    def adopt(self, data: st.DataObject) -> None:
        """One node takes a newer map, maybe skipping some."""
        behind = {n: e for n, e in self.epochs().items() if e < self.maps[-1].epoch}
        if behind:
            node = data.draw(st.sampled_from(sorted(behind)))
            self.advance(node, data.draw(st.integers(behind[node] + 1, self.maps[-1].epoch)))

    def epochs(self) -> dict[str, int]:
        epochs = {name: gateway.map.epoch for name, gateway in self.gateways.items()}
        return epochs | {name: core.map.epoch for name, core in self.cores.items()}

    def advance(self, node: str, epoch: int) -> None:
        new = self.maps[epoch]
        if node in self.gateways:
            self.gateways[node].adopt(new)
            return
        core = self.cores[node]
        for gone in core.map.nodes.keys() - new.nodes.keys():
            self.links[gone, node].clear()  # the bus forgets the dead
        core.apply_map(new, self.clock)
        self.load(node)

    def load(self, shard: str) -> None:
        core = self.cores[shard]
        core.durable_loaded(core.slots.loadable(), list(self.storage.values()))

    @rule(data=st.data(), limit=st.integers(1, 5))
    def some_mail_arrives(self, data: st.DataObject, limit: int) -> None:
        for _ in range(limit):
            if links := self.busy():
                self.deliver(*data.draw(st.sampled_from(links)))

    @rule(data=st.data(), shard=st.sampled_from(SHARDS))
    def link_is_reset(self, data: st.DataObject, shard: str) -> None:
        """Mail in both directions is lost; both ends are told."""
        gateway = self.gateways[data.draw(st.sampled_from(sorted(self.gateways)))]
        for function in gateway.functions:
            if gateway.map.owner(function[2]) == shard:
                self.lose(gateway, function)
        self.links[gateway.id, shard].clear()
        self.links[shard, gateway.id].clear()
        self.sure = {(g, key) for g, key in self.sure if g != gateway.id and key[1:] not in self.moved}
        self.cores[shard].link_reset(gateway.id, self.clock)
        self.load(shard)
        gateway.announce({slot for slot in range(SLOTS) if gateway.map.slots[slot].node == shard})
        self.post(gateway.id, shard, Announced(gateway.map.epoch))
        for key in gateway.watched:
            if gateway.map.owner(subject(key)) == shard:
                self.post(gateway.id, shard, Watch(gateway.map.epoch, [key]))

    @rule(seconds=st.floats(0.1, 3.0))
    def time_passes(self, seconds: float) -> None:
        self.clock += seconds
        self.sure.clear()  # a barrier may pass
        for core in self.cores.values():
            core.tick(self.clock)
            core.settle()
        for shard in SHARDS:
            self.load(shard)

    # -- rules: workers

    def pick(self, data: st.DataObject) -> tuple[Gateway, int]:
        """A gateway and the current connection in one of its places."""
        gateway = self.gateways[data.draw(st.sampled_from(sorted(self.gateways)))]
        place = data.draw(st.sampled_from(CONNS))
        if place not in gateway.conns:
            conn = gateway.conns[place] = next(gateway.worker_numbers)
            gateway.realms[conn] = data.draw(st.sampled_from(REALMS))
        return gateway, gateway.conns[place]

    @rule(data=st.data(), namespace=st.sampled_from(NAMESPACES), id=st.sampled_from(FUNCTIONS))
    def register_function(self, data: st.DataObject, namespace: str, id: str) -> None:
        gateway, conn = self.pick(data)
        gateway.put_function((conn, namespace, id), next(self.stamps))

    @rule(
        data=st.data(),
        namespace=st.sampled_from(NAMESPACES),
        id=st.sampled_from(FUNCTIONS),
        late=st.integers(0, 4),
        moves=st.booleans(),
    )
    def a_guest_registers_what_a_free_worker_has_just_lost(
        self, data: st.DataObject, namespace: str, id: str, late: int, moves: bool
    ) -> None:
        """`moves`: the function's slot moves right after the loss."""
        gateway = self.gateways[data.draw(st.sampled_from(sorted(self.gateways)))]
        free, guest = next(gateway.worker_numbers), next(gateway.worker_numbers)
        gateway.put_function((free, namespace, id), next(self.stamps))
        self.everything_settles()
        if data.draw(st.booleans()):
            self.send_away(gateway, free)
        self.close(gateway, free, back=True)
        while late and (links := self.busy()):
            late -= 1
            self.deliver(*data.draw(st.sampled_from(links)))
        if moves:
            self.hand_over_from(self.maps[-1].owner(id))
        gateway.realms[guest] = REALMS[-1]
        gateway.put_function((guest, namespace, id), next(self.stamps))
        key = f"function:{namespace}/{id}"
        gateway.watched.setdefault(key, None)
        gateway.tell(id, Watch(gateway.map.epoch, [key]))
        while links := self.busy():
            self.deliver(*data.draw(st.sampled_from(links)))

    @rule(data=st.data())
    def drop_function(self, data: st.DataObject) -> None:
        gateway, _ = self.pick(data)
        if gateway.functions:
            gateway.forget_function(data.draw(st.sampled_from(sorted(gateway.functions))))

    @rule(data=st.data())
    def worker_is_sent_to_another_gateway(self, data: st.DataObject) -> None:
        """What it registered is dropped in the order of mail, and, if it has the time, registered again over there."""
        gateway, conn = self.pick(data)
        heir = self.gateways[data.draw(st.sampled_from(sorted(self.gateways)))]
        keys = [key for key in sorted(gateway.functions) if key[0] == conn]
        triggers = self.send_away(gateway, conn)
        self.close(gateway, conn, back=True)
        conn = heir_connection(heir, gateway, conn)
        for key in keys:
            self.register_elsewhere(gateway.id, key, heir, conn)
        if data.draw(st.booleans()):
            for trigger in triggers:
                self.announce_trigger(heir, conn, trigger)

    @rule(data=st.data())
    def worker_is_lost_and_comes_back(self, data: st.DataObject) -> None:
        """The mail of its old connection, of the clean-up and of the new connection is on its way at the same time."""
        gateway, conn = self.pick(data)
        heir = self.gateways[data.draw(st.sampled_from(sorted(self.gateways)))]
        keys = [key for key in sorted(gateway.functions) if key[0] == conn]
        triggers = triggers_of(gateway, conn)
        if data.draw(st.booleans()) and triggers:  # what it says last may be overtaken
            gateway.forget_trigger(conn, data.draw(st.sampled_from(triggers)).id)
        self.close(gateway, conn, back=True)
        conn = heir_connection(heir, gateway, conn)
        for key in keys:
            self.register_elsewhere(gateway.id, key, heir, conn)
        for trigger in triggers:
            self.announce_trigger(heir, conn, trigger)

    @rule(
        data=st.data(),
        type=st.sampled_from(TYPES),
        id=st.sampled_from(TRIGGERS),
        late=st.integers(0, 6),
        end=st.sampled_from(("sent away", "lost", "with its gateway")),
    )
    def trigger_moves_without_a_moment_in_between(
        self, data: st.DataObject, type: str, id: str, late: int, end: str
    ) -> None:
        """In a steady cluster watchers never see it gone, wherever its worker was and goes, and how that ended."""
        gateway, conn = self.pick(data)
        self.announce_trigger(gateway, conn, Trigger(id, type, "f"))
        self.watch(data, f"triggers:{type}")
        self.everything_settles()
        self.lasting = {id} if type == BUILTIN else set()
        triggers = triggers_of(gateway, conn)
        if end == "with its gateway" and len(self.gateways) > 1:
            self.kill(gateway)
        else:
            if end == "sent away":
                self.send_away(gateway, conn)
                for shard in SHARDS:
                    while self.links[gateway.id, shard]:
                        self.deliver(gateway.id, shard)
            self.close(gateway, conn, back=True)
        heir = self.gateways[data.draw(st.sampled_from(sorted(self.gateways)))]
        for _ in range(late):
            if links := self.busy():
                self.deliver(*data.draw(st.sampled_from(links)))
        conn = next(heir.worker_numbers)
        for trigger in triggers:
            self.announce_trigger(heir, conn, trigger)
        while links := self.busy():
            self.deliver(*data.draw(st.sampled_from(links)))
        self.lasting.clear()

    def kill(self, gateway: Gateway) -> None:
        """Everybody knows."""
        del self.gateways[gateway.id]
        for key in gateway.functions:
            self.lose(gateway, key)
        self.new_map()
        for node in self.epochs():
            self.advance(node, self.maps[-1].epoch)

    def send_away(self, gateway: Gateway, conn: int) -> list[Trigger]:
        """Returns the worker's triggers."""
        for key in [key for key in sorted(gateway.functions) if key[0] == conn]:
            self.lose(gateway, key)
            gateway.forget_function(key, back=True)
        triggers = triggers_of(gateway, conn)
        for trigger in triggers:
            gateway.forget_trigger(conn, trigger.id, back=True)
        return triggers

    def register_elsewhere(self, lost: str, key: FunctionKey, heir: Gateway, conn: int) -> None:
        _, namespace, id = key
        heir.put_function((conn, namespace, id), next(self.stamps))
        self.moved.add((namespace, id))
        if (lost, key) in self.sure and self.steady(id):
            self.sure.add((heir.id, (conn, namespace, id)))

    def lose(self, gateway: Gateway, key: FunctionKey) -> None:
        """It may come back. What its shard surely knew of is nobody else's for a while, if that one keeps the slot."""
        conn, namespace, id = key
        if not gateway.realms.get(conn) and (gateway.id, key) in self.sure and self.steady(id):
            self.free[namespace, id] = self.clock

    def steady(self, id: str) -> bool:
        """The id's slot is not about to change hands: who gains one does not know whom its former owner expects."""
        slot = self.maps[-1].slot(id)
        maps = [*(g.map for g in self.gateways.values()), *(c.map for c in self.cores.values())]
        return all(known.slot(id) == slot for known in maps) and self.cores[slot.node].slots.ready(slot_of(id))

    @rule(data=st.data(), namespace=st.sampled_from(NAMESPACES), id=st.sampled_from(TYPES[:2]))
    def register_type(self, data: st.DataObject, namespace: str, id: str) -> None:
        gateway, conn = self.pick(data)
        stamp = gateway.types[conn, namespace, id] = next(self.stamps)
        gateway.tell(id, PutTriggerType(gateway.map.epoch, gateway.owner(conn), namespace, id, stamp, b"{}"))

    @rule(data=st.data())
    def drop_type(self, data: st.DataObject) -> None:
        gateway, _ = self.pick(data)
        if gateway.types:
            key = data.draw(st.sampled_from(sorted(gateway.types)))
            del gateway.types[key]
            owner = gateway.owner(key[0])
            for held, (trigger, namespace) in list(gateway.held.items()):
                if (held[0], namespace, trigger.type) == (owner, *key[1:]):
                    del gateway.held[held]
            gateway.tell(key[2], DropTriggerType(owner, key[1], key[2]))

    @rule(
        data=st.data(),
        id=st.sampled_from(TRIGGERS),
        type=st.sampled_from(TYPES),
        home=st.sampled_from(NAMESPACES),
        at=st.sampled_from((None, *NAMESPACES)),
        config=st.sampled_from(CONFIGS),
    )
    def register_trigger(
        self, data: st.DataObject, id: str, type: str, home: str, at: str | None, config: bytes
    ) -> None:
        self.announce_trigger(*self.pick(data), Trigger(id, type, "f", config, home=home, provider_namespace=at))

    @rule(data=st.data(), routes=st.lists(st.tuples(st.sampled_from(TRIGGERS), st.sampled_from(CONFIGS[:2]))))
    def register_routes(self, data: st.DataObject, routes: list[tuple[str, bytes]]) -> None:
        for id, config in routes:
            self.announce_trigger(*self.pick(data), Trigger(id, ROUTE, "f", config))

    def announce_trigger(self, gateway: Gateway, conn: int, trigger: Trigger) -> None:
        id, type = trigger.id, trigger.type
        owner, epoch, stamp = gateway.owner(conn), gateway.map.epoch, next(self.stamps)
        known = gateway.triggers.get((conn, id))
        if known is not None and known[1].type != type:
            gateway.tell(known[1].type, UnbindTrigger(owner, id, known[1].type))
        gateway.triggers[conn, id] = (stamp, trigger)
        gateway.failed.discard((conn, id))
        gateway.tell(id, PutTrigger(epoch, owner, stamp, trigger))
        gateway.tell(type, BindTrigger(epoch, owner, stamp, trigger))

    @rule(data=st.data())
    def drop_trigger(self, data: st.DataObject) -> None:
        gateway, _ = self.pick(data)
        if gateway.triggers:
            gateway.forget_trigger(*data.draw(st.sampled_from(sorted(gateway.triggers))))

    @rule(data=st.data(), id=st.sampled_from(TRIGGERS))
    def remove_trigger(self, data: st.DataObject, id: str) -> None:
        gateway, _ = self.pick(data)
        gateway.tell(id, RemoveTrigger(id, gateway.map.epoch))

    @rule(data=st.data(), type=st.sampled_from(TYPES), config=st.sampled_from(CONFIGS))
    def register_durable_trigger(self, data: st.DataObject, type: str, config: bytes) -> None:
        gateway, _ = self.pick(data)
        trigger = Trigger(f"durable-{next(self.names)}", type, "g", config)
        bind = BindTrigger(gateway.map.epoch, DURABLE, next(self.stamps), trigger)
        self.storage[trigger.id] = bind
        gateway.tell(trigger.id, PutTrigger(bind.epoch, DURABLE, bind.stamp, trigger))
        gateway.tell(type, bind)

    @precondition(lambda self: self.storage)
    @rule(data=st.data())
    def remove_durable_trigger(self, data: st.DataObject) -> None:
        gateway, _ = self.pick(data)
        id = data.draw(st.sampled_from(sorted(self.storage)))
        gateway.tell(id, RemoveTrigger(id, gateway.map.epoch))

    @rule(data=st.data(), refused=st.booleans())
    def provider_answers(self, data: st.DataObject, refused: bool) -> None:
        gateway, _ = self.pick(data)
        if gateway.held:
            held = data.draw(st.sampled_from(sorted(gateway.held, key=lambda key: (key[0].conn, *key[1:]))))
            owner, type, id = held
            if refused:
                del gateway.held[held]
            gateway.tell(type, ProviderAnswer(owner, type, id, b"no" if refused else b""))

    @rule(data=st.data())
    def connection_closes(self, data: st.DataObject) -> None:
        """The leader's clean-up may overtake what the gateway has sent."""
        self.close(*self.pick(data), back=data.draw(st.booleans()))

    def close(self, gateway: Gateway, conn: int, back: bool) -> None:
        gateway.conns = {place: number for place, number in gateway.conns.items() if number != conn}
        for key in [key for key in gateway.functions if key[0] == conn and back]:
            self.lose(gateway, key)
        owner = gateway.close(conn)
        self.closed[owner] = back
        self.clean_up(owner, back)

    def clean_up(self, owner: Owner, back: bool) -> None:
        for shard in SHARDS:
            for step in ("functions", "triggers"):
                self.post(LEADER, shard, Cleanup(1, step, [owner], self.term, [0] if back else []))

    @rule(data=st.data(), key=st.sampled_from(KEYS))
    def watch(self, data: st.DataObject, key: str) -> None:
        gateway, _ = self.pick(data)
        if key not in gateway.watched:
            gateway.watched[key] = None
            gateway.tell(subject(key), Watch(gateway.map.epoch, [key]))

    # -- what must hold

    @invariant()
    def shards_are_consistent(self) -> None:
        # What was dropped is not sure any more, even if it is registered again at once.
        alive = {(name, key) for name, gateway in self.gateways.items() for key in gateway.functions}
        self.sure &= alive
        for core in self.cores.values():
            core.invariants()
            for kept in (core.triggers.lingering, core.bindings.lingering):
                assert (kept.deadline() or 0.0) <= self.clock + WINDOW

    @rule()
    def everything_settles(self) -> None:
        """All maps are adopted, all mail is delivered: now everything has to agree."""
        for node, epoch in self.epochs().items():
            if epoch < self.maps[-1].epoch:
                self.advance(node, self.maps[-1].epoch)
        for _ in range(3):
            while links := self.busy():
                self.deliver(*links[0])
            for core in self.cores.values():
                core.settle()
        assert all(core.slots.filling() == 0 for core in self.cores.values())
        self.clock += WINDOW
        for core in self.cores.values():
            core.tick(self.clock)  # whoever is not back by now is not expected any more
        while links := self.busy():
            self.deliver(*links[0])
        assert all(core.slots.filling() == 0 and len(core.holds) == 0 for core in self.cores.values())
        self.sure = {(name, key) for name, gateway in self.gateways.items() for key in gateway.functions}
        self.moved.clear()
        self.closed.clear()
        truth = Truth(self.duplicates, self.maps[-1], self.gateways, self.storage, self.cores)
        truth.check_functions(f"function:{n}/{f}" for n in NAMESPACES for f in FUNCTIONS)
        truth.check_trigger_store()
        truth.check_bindings(TYPES, (BUILTIN, ROUTE))
        truth.check_rivals(ROUTE)

    def check_not_found(self, namespace: str, id: str) -> None:
        """No hand-over makes a shard deny a function that was there all the time."""
        for name, key in self.sure:
            if name in self.gateways and key[1:] == (namespace, id):
                assert key not in self.gateways[name].functions

    def check_realm(self, core: ShardCore, said: FunctionOwners) -> None:
        """Calls of what a free worker serves, or may soon serve again, go to nobody who is under rules."""
        namespace, id = parse_function_key(said.key)
        function = core.functions.find(namespace, id)
        if function is None:
            return
        realms = {function.registrations[owner].realm for owner in said.owners}
        assert len(realms) == 1
        if realms != {""}:
            assert all(registration.realm for registration in function.registrations.values())
            assert self.clock >= self.free.get((namespace, id), -WINDOW) + WINDOW

    def teardown(self) -> None:
        if self.gateways:
            self.everything_settles()


def heir_connection(heir: Gateway, lost: Gateway, conn: int) -> int:
    """The next connection of the worker that had `conn`."""
    new = next(heir.worker_numbers)
    heir.realms[new] = lost.realms.get(conn, "")
    return new


def triggers_of(gateway: Gateway, conn: int) -> list[Trigger]:
    return [trigger for (at, _), (_, trigger) in sorted(gateway.triggers.items()) if at == conn]


class Wire:
    """A core's effects: mail goes onto links, storage is a dict."""

    def __init__(self, world: Registry, name: str) -> None:
        self._world = world
        self._name = name

    def send(self, node: str, envelope: Envelope) -> None:
        if isinstance(envelope, RejectFunction):
            gateway = self._world.gateways.get(node)
            free = gateway is not None and not gateway.realms.get(envelope.conn)
            assert envelope.owner_worker or not free, "free workers lose to none"
            self._world.sure.discard((node, (envelope.conn, envelope.namespace, envelope.id)))
        if isinstance(envelope, FunctionOwners) and envelope.owners:
            self._world.check_realm(self._world.cores[self._name], envelope)
        if isinstance(envelope, FunctionOwners) and not envelope.owners:
            self._world.check_not_found(*parse_function_key(envelope.key))
        if isinstance(envelope, Served) and not envelope.on:
            self._world.check_not_found(*parse_served_key(envelope.key))
        if isinstance(envelope, TriggerChange):
            assert self._world.lasting.isdisjoint(envelope.dropped)
        if not isinstance(envelope, CleanupDone):
            self._world.post(self._name, node, envelope)

    def forget_durable(self, trigger: Trigger) -> None:
        self._world.storage.pop(trigger.id, None)
        self._world.cores[self._name].durable_forgotten(trigger)

    def settle_soon(self) -> None:
        """`time_passes` does."""


class RejectingRegistry(Registry):
    duplicates = Duplicates.REJECT


class ReplacingRegistry(Registry):
    duplicates = Duplicates.REPLACE


EFFORT = settings(max_examples=30, stateful_step_count=60, deadline=None, suppress_health_check=list(HealthCheck))

TestBalance = Registry.TestCase
TestReject = RejectingRegistry.TestCase
TestReplace = ReplacingRegistry.TestCase
TestBalance.settings = TestReject.settings = TestReplace.settings = EFFORT
