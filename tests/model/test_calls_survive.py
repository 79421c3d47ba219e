"""Gateways and clients that lose connections, come back here or there, answer late or never: every call ends once."""

import asyncio
import json
import uuid
from collections import defaultdict, deque
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass, field
from itertools import count
from typing import Any

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from gateway.call_telemetry import CallTelemetry
from gateway.core import GatewayCore
from gateway.reattach import Reattach
from gateway.worker import Worker
from iii_cluster.bus.ask import AskError, NodeLost
from iii_cluster.bus.envelopes import (
    Deliver,
    DropFunction,
    Envelope,
    FunctionOwners,
    Invoke,
    Owner,
    PutFunction,
    Refused,
    Result,
    Unwatch,
    Watch,
)
from tests.support.call_telemetry import CountingTracer, Counts
from tests.support.gateway import FakeOutlet, cluster_map

GATEWAYS = [f"gateway-{letter * 8}" for letter in "abc"]
SHARD = "shard-00000001"
WINDOW = 2.0  # seconds
LIMIT = 10.0  # seconds a call waits for a node or a shard


class Asker:
    """Questions between the gateways of a world, without a clock: patience ends when the world says so."""

    def __init__(self, world: "World", node: str) -> None:
        self._world = world
        self._node = node
        self._ids = count(1)
        self.waiting: dict[int, tuple[str, asyncio.Future[Any]]] = {}
        self.responders: dict[str, Callable[[str, Any], Any]] = {}

    def answer(self, op: str, responder: Callable[[str, Any], Any]) -> None:
        self.responders[op] = responder

    async def ask(self, node: str, op: str, body: object, timeout: float) -> Any:  # noqa: ASYNC109
        id = next(self._ids)
        future: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        self.waiting[id] = node, future
        self._world.post(self._node, node, ("ask", id, op, body))
        try:
            return await future
        finally:
            del self.waiting[id]

    def asked(self, src: str, id: int, op: str, body: Any) -> None:
        result = self.responders[op](src, body)
        if isinstance(result, Awaitable):
            self._task = asyncio.ensure_future(self._answer_later(src, id, result))
        else:
            self._world.post(self._node, src, ("answer", id, result))

    async def _answer_later(self, src: str, id: int, result: Awaitable[Any]) -> None:
        self._world.post(self._node, src, ("answer", id, await result))

    def answered(self, id: int, result: Any) -> None:
        _, future = self.waiting.get(id, ("", None))
        if future is not None and not future.done():
            future.set_result(result)

    def fail(self, error: Exception, node: str = "") -> None:
        for asked, future in self.waiting.values():
            if node in ("", asked) and not future.done():
                future.set_exception(error)


class Shard:
    """Knows who serves what, tells who watches, and lets lookups of what nobody serves wait."""

    def __init__(self, post: Callable[[str, Envelope], None]) -> None:
        self._post = post
        self._owners: defaultdict[str, list[Owner]] = defaultdict(list)
        self._watchers: defaultdict[str, set[str]] = defaultdict(set)
        self.unanswered: list[tuple[str, str]] = []  # gateway, key

    def hear(self, src: str, said: Envelope) -> None:
        if isinstance(said, PutFunction):
            self._change(f"function:{said.namespace}/{said.id}", said.owner, serves=True)
        elif isinstance(said, DropFunction):
            self._change(f"function:{said.namespace}/{said.id}", said.owner, serves=False)
        elif isinstance(said, Watch):
            for key in said.keys:
                if self._owners[key]:
                    self._watchers[key].add(src)
                    self._tell(src, key)
                else:
                    self.unanswered.append((src, key))
        elif isinstance(said, Unwatch):
            for key in said.keys:
                self._watchers[key].discard(src)

    def give_up(self) -> None:
        """Answer that nobody serves what nobody serves."""
        waiting, self.unanswered = self.unanswered, []
        for gateway, key in waiting:
            self._tell(gateway, key)

    def clean_up(self, gone: Callable[[Owner], bool]) -> None:
        for key, owners in list(self._owners.items()):
            for owner in [owner for owner in owners if gone(owner)]:
                self._change(key, owner, serves=False)

    def forget(self, gateway: str) -> None:
        self.unanswered = [(asker, key) for asker, key in self.unanswered if asker != gateway]
        for watchers in self._watchers.values():
            watchers.discard(gateway)
        self.clean_up(lambda owner: owner.node == gateway)

    def _change(self, key: str, owner: Owner, *, serves: bool) -> None:
        owners = self._owners[key]
        if serves == (owner in owners):
            return
        (owners.append if serves else owners.remove)(owner)
        if serves:
            self._watchers[key] |= {gateway for gateway, asked in self.unanswered if asked == key}
            self.unanswered = [(gateway, asked) for gateway, asked in self.unanswered if asked != key]
        for gateway in sorted(self._watchers[key]):
            self._tell(gateway, key)
        if not owners:
            self._watchers[key].clear()

    def _tell(self, gateway: str, key: str) -> None:
        self._post(gateway, FunctionOwners(key, 1, list(self._owners[key])))


class Gateway:
    """A core and its reattaching, wired to the world."""

    def __init__(self, world: "World", name: str) -> None:
        self.name = name
        self.world = world
        self.alive = True
        self.asker = Asker(world, name)
        self.tracer, self.counts = CountingTracer(), Counts()
        self.looked = 0  # at the clock of its calls: when they begin and when they end
        telemetry = CallTelemetry(self.tracer, self.counts, self._clock)
        self.core = GatewayCore(name, self, reattach_window=WINDOW, telemetry=telemetry)
        self.reattaching = Reattach(self.core, self.asker)  # type: ignore[arg-type]
        self.core.builtins["engine::slow"] = lambda _call, done: world.engine.append(done)
        self._handlers: dict[type, Callable[[str, Any], None]] = {
            Invoke: self.core.invocations.on_invoke,
            Result: self.core.invocations.on_remote_result,
            Refused: self.core.invocations.on_refused,
            Deliver: self.core.invocations.deliver,
            FunctionOwners: self.core.routes.on_owners,
        }

    def _clock(self) -> float:
        self.looked += 1
        return self.world.time

    def hear(self, src: str, said: Any) -> None:
        if isinstance(said, Envelope):
            handler = self._handlers.get(type(said))
            if handler is not None:
                handler(src, said)
        elif said[0] == "ask":
            self.asker.asked(src, *said[1:])
        else:
            self.asker.answered(*said[1:])

    # Effects of the core

    def send(self, node: str, envelope: Envelope) -> None:
        self.world.post(self.name, node, envelope)

    def congested(self, _node: str) -> bool:
        return False

    def reattach(self, worker: Worker, previous: str, token: str) -> None:
        self.reattaching.request(worker, previous, token)


@dataclass
class Connection:
    gateway: Gateway
    worker: Worker
    outlet: FakeOutlet
    calls: list["Made"] = field(default_factory=list)  # made on it
    lost: bool = False  # and the gateway knows


@dataclass
class Made:
    """A call as its client sees it."""

    id: str
    at: int  # which of the client's connections
    answers: int  # wanted: 0 or 1
    ended: list[Any] = field(default_factory=list)
    arrived: bool = True  # the gateway has read it


class Client:
    """A worker that serves a function of its own, and remembers over reconnects what it asked and was asked."""

    def __init__(self, world: "World", name: str) -> None:
        self.world = world
        self.function = name
        self.history: list[Connection] = []
        self.connected = False
        self.made: dict[str, Made] = {}
        self.served: list[tuple[str, Any]] = []  # invocation id, data

    @property
    def now(self) -> Connection:
        return self.history[-1]

    def connect(self, gateway: Gateway, reattach: bool) -> None:
        outlet = FakeOutlet()
        worker = gateway.core.connect(outlet, "127.0.0.1", f"token-{uuid.uuid4()}")
        outlet.take()
        previous = self.history[-1].worker if self.history else None
        self.history.append(Connection(gateway, worker, outlet))
        self.connected = True
        if previous is not None and reattach:
            self.say(type="reattach", previous_worker_id=previous.id, reattach_token=previous.token)
        self.say(type="registerfunction", id=self.function)

    def say(self, **message: Any) -> None:
        self.now.gateway.core.on_text(self.now.worker, json.dumps(message).encode())

    def call(self, function: str, void: bool) -> None:
        made = Made(str(uuid.uuid4()), len(self.history) - 1, answers=0 if void else 1)
        self.made[made.id] = made
        self.now.calls.append(made)
        action = {"action": {"type": "void"}} if void else {}
        self.say(type="invokefunction", function_id=function, invocation_id=made.id, data={"id": made.id}, **action)

    def answer(self, index: int) -> None:
        invocation_id, data = self.served[index]
        self.say(type="invocationresult", invocation_id=invocation_id, function_id=self.function, result=data["id"])

    def lose(self, back: bool, in_order: bool = False) -> None:
        """The connection ends; what the gateway had not read yet is lost with it."""
        self.connected = False
        self.now.lost = True
        held = b"".join(self.now.worker.held or [])
        for made in self.now.calls:
            made.arrived = made.arrived and made.id.encode() not in held
        if self.now.gateway.alive:
            self.now.gateway.core.disconnect(self.now.worker, back=back, in_order=in_order)
            if not back:
                self.world.clean_up(self.now.worker)

    def read(self) -> None:
        """Take what came; on connections that are over nothing may come, on dead ones nobody takes it."""
        for connection in self.history:
            for frame in connection.outlet.take():
                if connection is not self.now:
                    assert not connection.lost
                    if frame["type"] == "invocationresult":
                        self.world.missed.add(frame["invocation_id"])
                elif frame["type"] == "invokefunction":
                    self.served.append((frame["invocation_id"], frame["data"]))
                elif frame["type"] == "invocationresult":
                    made = self.made[frame["invocation_id"]]
                    made.ended.append(frame.get("result") or frame["error"]["code"])
                    assert len(made.ended) <= made.answers, made
                    assert made.ended[0] in (made.id, "engine", "invocation_stopped", "function_not_found", "TIMEOUT")

    def must_have_ended(self, made: Made) -> bool:
        """Whether the client came back in time each time, to gateways that all live."""
        followed = self.history[made.at :]
        return (
            self.connected
            and made.arrived
            and made.id not in self.world.missed
            and all(connection.gateway.alive for connection in followed)
            and all(connection.worker.id in self.world.adopted for connection in followed[:-1])
        )


class World:
    """Gateways, the shard and the links between them; whatever happens, happens when a rule says so."""

    def __init__(self) -> None:
        self.loop = asyncio.new_event_loop()
        self.time = 1.0
        self.links: defaultdict[tuple[str, str], deque[Any]] = defaultdict(deque)
        self.engine: list[Callable[[bytes, bytes], None]] = []  # calls of engine functions that are to be answered
        self.missed: set[str] = set()  # calls whose answer went into a socket that was dead already
        self.adopted: set[str] = set()  # workers whose calls went to another connection
        self.shard = Shard(lambda gateway, said: self.post(SHARD, gateway, said))
        self.gateways: dict[str, Gateway] = {}
        for name in GATEWAYS:
            self.gateways[name] = gateway = Gateway(self, name)
            self._watch_adoption(gateway)
        self.clients = [Client(self, f"f{n}") for n in range(3)]
        self.epoch = 0
        self.publish_map()
        self.do(self.pass_time, 0.0)

    def _watch_adoption(self, gateway: Gateway) -> None:
        invocations = gateway.core.invocations
        original = invocations.adopt

        def adopt(worker_id: str, node: str, conn: int) -> dict[str, str]:
            lost = invocations._lost
            known = lost.get(worker_id) is not None
            served = original(worker_id, node, conn)
            if known and lost.get(worker_id) is None:
                self.adopted.add(worker_id)
            return served

        invocations.adopt = adopt

    def do(self, act: Callable[..., None], *arguments: Any) -> None:
        """Let something happen, and everything that follows from it within the gateways."""

        async def happen() -> None:
            act(*arguments)
            for _ in range(12):
                await asyncio.sleep(0)

        self.loop.run_until_complete(happen())
        for client in self.clients:
            client.read()

    def post(self, src: str, dst: str, said: Any) -> None:
        if dst in self.gateways or dst == SHARD:
            self.links[src, dst].append(said)

    def deliver(self, link: tuple[str, str]) -> None:
        src, dst = link
        said = self.links[link].popleft()
        (self.shard if dst == SHARD else self.gateways[dst]).hear(src, said)

    @property
    def under_way(self) -> list[tuple[str, str]]:
        return [link for link, said in self.links.items() if said]

    def deliver_all(self) -> None:
        while self.under_way:
            for link in self.under_way:
                self.do(self.deliver, link)

    def publish_map(self) -> None:
        self.epoch += 1
        new = cluster_map(*self.gateways, SHARD, epoch=self.epoch)
        for gateway in self.gateways.values():
            gateway.core.on_map(gateway.core.map, new)

    def pass_time(self, seconds: float) -> None:
        self.time += seconds
        for gateway in self.gateways.values():
            gateway.core.routes.expire(self.time, LIMIT)
            gateway.core.invocations.expire(self.time, LIMIT)

    def kill(self, name: str) -> None:
        dead = self.gateways.pop(name)
        dead.alive = False
        dead.asker.fail(AskError("dead"))
        for client in self.clients:
            if client.connected and client.now.gateway is dead:
                client.connected = False
        self.links = defaultdict(deque, {link: said for link, said in self.links.items() if name not in link})
        for gateway in self.gateways.values():
            gateway.asker.fail(NodeLost(name), name)
        self.shard.forget(name)
        self.publish_map()

    def clean_up(self, worker: Worker) -> None:
        self.shard.clean_up(lambda owner: owner == worker.owner)

    def notice_losses(self) -> None:
        for client in self.clients:
            for connection in client.history[:-1]:
                if connection.gateway.alive:
                    connection.gateway.core.disconnect(connection.worker, back=True)
                    connection.lost = True

    def settle(self) -> None:
        """Everything is delivered and answered, and all windows are over."""
        self.do(self.notice_losses)
        for gateway in self.gateways.values():
            for peer in self.gateways:
                self.do(gateway.core.on_reachable, peer, True)
        for _ in range(3):
            self.deliver_all()
            for client in self.clients:
                if client.connected:
                    for index in range(len(client.served)):
                        self.do(client.answer, index)
            while self.engine:
                self.do(self.engine.pop(), b'"engine"', b"")
            self.do(self.shard.give_up)
            self.deliver_all()
            for gateway in self.gateways.values():
                self.do(gateway.asker.fail, TimeoutError())
            self.do(self.pass_time, WINDOW + LIMIT + 1)

    def close(self) -> None:
        for gateway in self.gateways.values():
            self.do(gateway.asker.fail, AskError("over"))
        self.loop.close()

    def workers(self, gateway: Gateway) -> Iterator[Worker]:
        yield from gateway.core.invocations._all_workers()

    def check_tables(self, gateway: Gateway) -> None:
        """The tables of a gateway agree with those of its workers."""
        calls = gateway.core.invocations
        serving = {id: worker for worker in self.workers(gateway) for id in worker.serving}
        assert serving == calls._serving
        calling = {(worker.id, raw_id): id for worker in self.workers(gateway) for raw_id, id in worker.calling.items()}
        pending = [(call, id) for id, call in calls._pending.items() if call.caller is not None and call.raw_id]
        assert calling == {(call.caller.id, call.raw_id): id for call, id in pending if call.caller is not None}
        assert calls.waiting.count == len(calling)

    def check_telemetry(self, gateway: Gateway) -> None:
        """Calls that go on have spans that go on, no others; what has ended was counted once."""
        under_way = [call for call in gateway.core.invocations._pending.values() if call.on_end is not None]
        spans = {call.recording.span_id for call in under_way if call.recording is not None}
        assert spans == gateway.tracer.under_way()
        assert gateway.looked == len(under_way) + 2 * len(gateway.counts.calls)
        recorded = len(gateway.tracer.begun) - len(spans)
        assert recorded == len(gateway.counts.exemplars) == len(gateway.tracer.spool._spans)

    def check_empty(self, gateway: Gateway) -> None:
        calls = gateway.core.invocations
        assert (calls.in_flight, calls.kept, len(calls._parked), calls._serving) == (0, 0, 0, {})
        assert not list(calls._lost)
        assert all(not worker.calling and not worker.serving for worker in self.workers(gateway))
        assert all(target.outstanding == 0 for target in gateway.core.routes._targets.values())
        assert gateway.core.backpressure._parked._calls == gateway.core.backpressure._lookups._calls == 0


CLIENTS = st.integers(0, 2)
PLACES = st.integers(0, 2)


class CallsMachine(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.world = World()
        for index, client in enumerate(self.world.clients):
            self.world.do(client.connect, self.world.gateways[GATEWAYS[index]], False)
        self.world.deliver_all()

    def place(self, index: int) -> Gateway:
        alive = list(self.world.gateways.values())
        return alive[index % len(alive)]

    @rule(caller=CLIENTS, callee=CLIENTS, void=st.sampled_from([False, False, False, True]))
    def a_client_calls(self, caller: int, callee: int, void: bool) -> None:
        client = self.world.clients[caller]
        if client.connected:
            self.world.do(client.call, self.world.clients[callee].function, void)

    @rule(caller=CLIENTS)
    def a_client_calls_the_engine(self, caller: int) -> None:
        client = self.world.clients[caller]
        if client.connected:
            self.world.do(client.call, "engine::slow", False)

    @precondition(lambda self: self.world.engine)
    @rule()
    def the_engine_answers(self) -> None:
        self.world.do(self.world.engine.pop(0), b'"engine"', b"")

    @rule(who=CLIENTS, data=st.data())
    def a_client_answers(self, who: int, data: st.DataObject) -> None:
        client = self.world.clients[who]
        if client.connected and client.served:
            self.world.do(client.answer, data.draw(st.integers(0, len(client.served) - 1)))

    @rule(who=CLIENTS, in_order=st.booleans())
    def a_connection_is_lost(self, who: int, in_order: bool) -> None:
        client = self.world.clients[who]
        if client.connected:
            self.world.do(client.lose, True, in_order and client.now.worker.held is None)

    @rule(who=CLIENTS)
    def a_client_leaves(self, who: int) -> None:
        client = self.world.clients[who]
        if client.connected:
            self.world.do(client.lose, False)

    @rule(who=CLIENTS, where=PLACES, claims=st.sampled_from([True, True, True, False]))
    def a_client_comes_back(self, who: int, where: int, claims: bool) -> None:
        """Or reconnects before anybody noticed that its connection is dead."""
        client = self.world.clients[who]
        if not client.connected:
            self.world.do(client.connect, self.place(where), claims)

    @rule(who=CLIENTS, where=PLACES)
    def a_client_comes_back_before_its_loss_is_noticed(self, who: int, where: int) -> None:
        client = self.world.clients[who]
        if client.connected and client.now.worker.held is None:
            self.world.do(client.connect, self.place(where), True)

    @precondition(lambda self: self.world.under_way)
    @rule(data=st.data())
    def a_message_arrives(self, data: st.DataObject) -> None:
        self.world.do(self.world.deliver, data.draw(st.sampled_from(self.world.under_way)))

    @rule()
    def everything_arrives(self) -> None:
        self.world.deliver_all()

    @rule(seconds=st.sampled_from([0.5, WINDOW, LIMIT]))
    def time_passes(self, seconds: float) -> None:
        self.world.do(self.world.pass_time, seconds)

    @rule(where=PLACES)
    def patience_ends(self, where: int) -> None:
        self.world.do(self.place(where).asker.fail, TimeoutError())

    @rule()
    def the_shard_gives_up(self) -> None:
        self.world.do(self.world.shard.give_up)

    @rule(where=PLACES, peer=PLACES, on=st.booleans())
    def a_peer_is_found_unreachable_or_not(self, where: int, peer: int, on: bool) -> None:
        gateway, other = self.place(where), self.place(peer)
        if gateway is not other:
            self.world.do(gateway.core.on_reachable, other.name, on)

    @rule(where=PLACES)
    def a_gateway_dies(self, where: int) -> None:
        if len(self.world.gateways) > 1:
            self.world.do(self.world.kill, self.place(where).name)

    @invariant()
    def tables_agree(self) -> None:
        for gateway in self.world.gateways.values():
            self.world.check_tables(gateway)

    @invariant()
    def calls_are_told_of_once(self) -> None:
        for gateway in self.world.gateways.values():
            self.world.check_telemetry(gateway)

    def teardown(self) -> None:
        try:
            self.check_ends()
        finally:
            self.world.close()

    def check_ends(self) -> None:
        world = self.world
        world.settle()
        for client in world.clients:
            for made in client.made.values():
                if client.must_have_ended(made):
                    assert len(made.ended) == made.answers, made
        for client in world.clients:
            if client.connected:
                world.do(client.lose, False)
        world.settle()
        for gateway in world.gateways.values():
            world.check_empty(gateway)
            world.check_telemetry(gateway)


TestCallsSurvive = CallsMachine.TestCase
TestCallsSurvive.settings = settings(max_examples=60, stateful_step_count=60, deadline=None)
