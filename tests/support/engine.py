"""A cluster in one process for tests of modules: functions, triggers and slots as the test says, a real Valkey.

cluster = FakeCluster()
engine = cluster.node(valkey.url)              # a shard that owns every slot
gateway = cluster.node(valkey.url, Role.GATEWAY)
cluster.register("orders::ship", handler)      # handler(data) -> JSON value, plain or async; may raise EngineError
cluster.put(Trigger("t1", "state", "orders::ship", b'{"scope":"orders"}'))
await cluster.close()
"""

import asyncio
import inspect
import json
from collections.abc import Callable, Collection
from dataclasses import dataclass, field
from itertools import count
from typing import Any

from iii_cluster.bus.envelopes import Trigger
from iii_cluster.cluster.map import Role
from iii_cluster.cluster.slots import SLOTS, slot_of
from iii_cluster.config.settings import Settings
from iii_cluster.modules.engine import Adopted, Done, Sent
from iii_cluster.modules.host import ModuleHost
from iii_cluster.modules.module import Request
from iii_cluster.protocol import errors
from iii_cluster.protocol.errors import EngineError
from iii_cluster.redis.commands import Commands
from iii_cluster.telemetry.telemetry import Telemetry

PATIENCE = 10.0  # seconds commands wait for Redis

Handler = Callable[[Any], Any]
Changed = Callable[[], None]


@dataclass(eq=False)
class FakeCall:
    """One call of a function, as its worker got it."""

    function: str
    data: bytes
    namespace: str = "default"
    metadata: bytes = b""
    traceparent: bytes = b""
    baggage: bytes = b""
    once: str = ""
    gateway: str = ""  # whose worker got it
    done: dict[int, Done] = field(default_factory=dict)  # who waits for its end
    ended: tuple[bytes, bytes] | None = None

    @property
    def value(self) -> Any:
        return json.loads(self.data)


class FakeInvocation:
    def __init__(self, call: FakeCall, number: int) -> None:
        self._call = call
        self._number = number

    def forget(self) -> None:
        self._call.done.pop(self._number, None)


class FakeWatched:
    def __init__(self, cluster: "FakeCluster", trigger_type: str) -> None:
        self._cluster = cluster
        self._type = trigger_type

    @property
    def known(self) -> bool:
        return self._cluster.triggers_known.is_set()

    def all(self) -> Collection[Trigger]:
        return [trigger for trigger in self._cluster.triggers.values() if self.known and trigger.type == self._type]

    async def until_known(self) -> None:
        await self._cluster.triggers_known.wait()


class FakeOwnership:
    """All slots under token 1 in the beginning."""

    def __init__(self) -> None:
        self._tokens = dict.fromkeys(range(SLOTS), 1)
        self._fenced = False
        self._subscribers: list[Changed] = []

    def token(self, key: str) -> int:
        return self.slot_token(slot_of(key))

    def slot_token(self, slot: int) -> int:
        return 0 if self._fenced else self._tokens.get(slot, 0)

    def slots(self) -> Collection[int]:
        return [] if self._fenced else list(self._tokens)

    def subscribe(self, changed: Changed) -> None:
        self._subscribers.append(changed)

    # -- for tests

    def give(self, slots: Collection[int], token: int) -> None:
        """Own these from now on under a (higher) token."""
        self._tokens |= dict.fromkeys(slots, token)
        self._tell()

    def take_away(self, slots: Collection[int] = range(SLOTS)) -> None:
        for slot in slots:
            self._tokens.pop(slot, None)
        self._tell()

    def fence(self, on: bool = True) -> None:
        """The lease ran out, or was renewed again."""
        self._fenced = on
        self._tell()

    def _tell(self) -> None:
        for changed in self._subscribers:
            changed()


class FakeCluster:
    """What all fake processes share. Whatever happens is called back in later turns of the loop."""

    def __init__(self) -> None:
        self.functions: dict[tuple[str, str], Handler] = {}  # by namespace and id
        self.triggers: dict[str, Trigger] = {}  # the live ones, by id
        self.triggers_known = asyncio.Event()
        self.triggers_known.set()
        self.hosts: list[ModuleHost] = []  # functions of modules are answered by these
        self.nodes: list[FakeEngine] = []
        self.calls: list[FakeCall] = []  # that reached a worker or a module, in order
        self.nudges: list[str] = []  # keys
        self.deliveries: dict[str, FakeCall] = {}  # by `once`
        self.gateways = ["gateway-1"]  # calls go to workers of the first one
        self.forgotten_deliveries = False  # whether `adopt` finds gateways that do not answer
        self.running: set[asyncio.Task[None]] = set()
        self.numbers = count(1)  # of all who wait for an end, whichever node they are of

    def node(
        self, url: str = "", role: Role = Role.SHARD, settings: Settings | None = None, name: str = ""
    ) -> "FakeEngine":
        """A process of the cluster. Without `url` it has no Redis."""
        engine = FakeEngine(self, url, role, settings or Settings(), name or f"{role}-{len(self.nodes):08x}")
        self.nodes.append(engine)
        return engine

    async def close(self) -> None:
        for task in list(self.running):
            task.cancel()
        await asyncio.gather(*self.running, return_exceptions=True)
        for node in self.nodes:
            await node.close()

    # -- what workers do

    def register(self, function: str, handler: Handler, namespace: str = "default") -> None:
        """`handler` gets the decoded input and returns a JSON value or a coroutine. EngineError becomes the error."""
        self.functions[namespace, function] = handler

    def unregister(self, function: str, namespace: str = "default") -> None:
        del self.functions[namespace, function]

    def put(self, *triggers: Trigger) -> None:
        """Register triggers, or register them anew."""
        for trigger in triggers:
            self.triggers[trigger.id] = trigger
            self._tell(trigger.type)

    def drop(self, *ids: str) -> None:
        for id in ids:
            self._tell(self.triggers.pop(id).type)

    def lose_gateway(self, gateway: str) -> None:
        """It dies while another one lives on. Its handlers run to their ends, of which nobody hears."""
        self.gateways.remove(gateway)
        error = EngineError(errors.INVOCATION_STOPPED, "its gateway was lost").body()
        for name, call in list(self.deliveries.items()):
            if call.gateway == gateway:
                del self.deliveries[name]
                done, call.done = call.done, {}
                for answer in done.values():
                    answer(b"", error)

    def called(self, function: str) -> list[Any]:
        """The inputs of all calls of a function."""
        return [call.value for call in self.calls if call.function == function]

    def _tell(self, trigger_type: str) -> None:
        for node in self.nodes:
            for changed in node.watchers.get(trigger_type, ()):
                asyncio.get_running_loop().call_soon(changed)

    # -- what the engine does

    def deliver(self, call: FakeCall) -> FakeCall:
        """Run a call; or find the delivery of this name, whose end counts for this one, too."""
        known = self.deliveries.get(call.once)
        if call.once and known is not None:
            return known
        call.gateway = self.gateways[0]
        if call.once:
            self.deliveries[call.once] = call
        task = asyncio.get_running_loop().create_task(self._run(call))
        self.running.add(task)
        task.add_done_callback(self.running.discard)
        return call

    async def _run(self, call: FakeCall) -> None:
        try:
            ended = await self._answer(call), b""
        except EngineError as error:
            ended = b"", error.body()
        except Exception as error:
            ended = b"", errors.error_body(errors.INVOCATION_ERROR, str(error))
        call.ended = ended
        done, call.done = call.done, {}
        for answer in done.values():
            answer(*ended)

    async def _answer(self, call: FakeCall) -> bytes:
        host = next((host for host in self.hosts if call.function in host.functions), None)
        handler = self.functions.get((call.namespace, call.function))
        if host is not None:
            self.calls.append(call)
            request = Request(call.function, call.data, "", call.traceparent, call.baggage, call.metadata)
            return await host.run(call.function, request) or b""
        if handler is None:
            self.deliveries.pop(call.once, None)
            message = f"Function {call.function} not found in namespace {call.namespace}."
            raise EngineError(errors.FUNCTION_NOT_FOUND, message)
        self.calls.append(call)
        result = handler(call.value)
        if inspect.isawaitable(result):
            result = await result
        return json.dumps(result, separators=(",", ":")).encode()

    def nudge(self, key: str) -> None:
        self.nudges.append(key)
        kind = key.partition(":")[0]
        for node in self.nodes:
            if node.role is Role.SHARD and node.ownership.token(key):
                for wake in node.wakers.get(kind, ()):
                    asyncio.get_running_loop().call_soon(wake, key)


class FakeEngine:
    """One process of a FakeCluster, as its modules see it."""

    def __init__(self, cluster: FakeCluster, url: str, role: Role, settings: Settings, name: str) -> None:
        self.cluster = cluster
        self.role = role
        self.node = name
        self.settings = settings
        self.prefix = f"{{{settings.cluster}}}"
        self.ownership = FakeOwnership()
        self.telemetry = Telemetry(settings)
        self.asked: dict[str, Callable[[str, Any], Any]] = {}  # what this process answers, by question
        self.watchers: dict[str, list[Changed]] = {}  # by trigger type
        self.wakers: dict[str, list[Callable[[str], None]]] = {}  # by kind of nudge
        self._url = url
        self._commands: dict[str, Commands] = {}
        self._numbers = cluster.numbers

    @property
    def commands(self) -> Commands:
        return self.commands_of(self._url)

    async def ask_nodes(self, op: str, body: object = None) -> tuple[dict[str, Any], Collection[str]]:
        await asyncio.sleep(0)
        answers = {node.node: node.asked[op](self.node, body) for node in self.cluster.nodes if op in node.asked}
        return answers, {node.node for node in self.cluster.nodes if op not in node.asked}

    def commands_of(self, url: str) -> Commands:
        assert url, "this node was made without a Redis"
        if url not in self._commands:
            self._commands[url] = Commands(url, self.node, PATIENCE)
        return self._commands[url]

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
    ) -> FakeInvocation:
        call = FakeCall(function, data, namespace, metadata, traceparent, baggage, once)
        call = self.cluster.deliver(call)
        if sent is not None:
            sent(call.gateway)
        number = next(self._numbers)
        if done is None:
            pass
        elif call.ended is not None:
            call.done[number] = done
            asyncio.get_running_loop().call_soon(self._tell_again, call, number)
        else:
            call.done[number] = done
        return FakeInvocation(call, number)

    def _tell_again(self, call: FakeCall, number: int) -> None:
        done = call.done.pop(number, None)
        if done is not None and call.ended is not None:
            done(b"", call.ended[1])  # of an earlier delivery only the error is remembered

    async def adopt(self, names: Collection[str], done: Callable[[str, bytes], None]) -> Adopted:
        await asyncio.sleep(0)
        known = {name: self.cluster.deliveries[name] for name in names if name in self.cluster.deliveries}
        ended = {name: call.ended[1] for name, call in known.items() if call.ended is not None}
        serving = {name: call.gateway for name, call in known.items() if name not in ended}
        for name in serving:
            known[name].done = {next(self._numbers): lambda _result, error, name=name: done(name, error)}  # type: ignore[misc]
        return Adopted(serving, ended, not self.cluster.forgotten_deliveries, list(self.cluster.gateways))

    def watch(self, trigger_type: str, changed: Changed | None = None) -> FakeWatched:
        if changed is not None:
            self.watchers.setdefault(trigger_type, []).append(changed)
        return FakeWatched(self.cluster, trigger_type)

    async def serves(self, function: str, namespace: str = "default") -> bool:
        await asyncio.sleep(0)
        return (namespace, function) in self.cluster.functions

    def nudge(self, key: str) -> None:
        self.cluster.nudge(key)

    def on_nudge(self, kind: str, wake: Callable[[str], None]) -> None:
        self.wakers.setdefault(kind, []).append(wake)

    async def close(self) -> None:
        for commands in self._commands.values():
            await commands.close()
