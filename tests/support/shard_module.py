"""A module through which a test drives the engine of the shard that owns a key.

A worker calls `shard::run {key, op, ...}` at any gateway. The gateway's module leaves the order in Redis, nudges the
owner of the key, and waits until that one has left the answer.
"""

import asyncio
import uuid
from collections.abc import Mapping
from typing import Any

import msgspec
from msgspec import Raw, Struct

from iii_cluster.cluster.map import Role
from iii_cluster.modules.calling import HandlerError, call
from iii_cluster.modules.engine import Engine, Watched
from iii_cluster.modules.module import Function, Module, Request
from iii_cluster.protocol.errors import EngineError

# For the environment of a cluster that is to have it.
ENVIRONMENT = {"III_CLUSTER_MODULES": '[{"name":"tests.support.shard_module:Puppet"}]'}

KIND = "puppet"
LOOK_INTERVAL = 0.02  # seconds between looks for an answer


def key_of(name: str) -> str:
    """The key whose owner acts."""
    return f"{KIND}:{name}"


class Order(Struct):
    key: str
    op: str
    function: str = ""
    data: Raw = Raw(b"null")
    namespace: str = "default"
    once: str = ""
    type: str = ""
    names: list[str] = []
    answer: str = ""  # where the answer goes


_decode_order = msgspec.json.Decoder(Order).decode
_encode = msgspec.json.Encoder().encode


class Puppet(Module):
    id = "puppet"
    name = "Puppet"

    def __init__(self, config: Any) -> None:
        super().__init__(config)
        self._engine: Engine
        self._tasks: set[asyncio.Task[None]] = set()
        self._watched: dict[str, Watched] = {}
        self._adopted: dict[str, str] = {}  # name -> error
        self._begun = 0
        self._ownership_changes = 0
        self._slots = 0  # when the ownership changed last

    def functions(self) -> Mapping[str, Function[Any]]:
        return {"shard::run": Function(self._run, Order), "shard::echo": Function(self._echo, Raw)}

    async def initialize(self, engine: Engine) -> None:
        self._engine = engine
        self._begun += 1
        self._watched.clear()
        if engine.role is Role.SHARD:
            engine.on_nudge(KIND, self._wake)
            engine.ownership.subscribe(self._owned)
            self._owned()

    async def shutdown(self) -> None:
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def describe(self) -> Mapping[str, Any]:
        return {"begun": self._begun, "slots": self._slots, "changes": self._ownership_changes}

    # -- on gateways

    async def _echo(self, data: Raw, _request: Request) -> object:
        return {"node": self._engine.node, "data": data}

    async def _run(self, order: Order, _request: Request) -> object:
        order.answer = f"{self._engine.prefix}:puppet:{uuid.uuid4()}"
        await self._engine.commands.execute("RPUSH", self._orders(order.key), _encode(order))
        while True:
            self._engine.nudge(key_of(order.key))
            answer: bytes | None = await self._engine.commands.execute("GETDEL", order.answer)
            if answer is not None:
                return Raw(answer)
            await asyncio.sleep(LOOK_INTERVAL)

    def _orders(self, key: str) -> str:
        return f"{self._engine.prefix}:puppet:orders:{key}"

    # -- on shards

    def _owned(self) -> None:
        self._ownership_changes += 1
        self._slots = len(self._engine.ownership.slots())

    def _wake(self, key: str) -> None:
        if self._engine.ownership.token(key):
            task = asyncio.get_running_loop().create_task(self._work(key.removeprefix(f"{KIND}:")))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def _work(self, key: str) -> None:
        commands = self._engine.commands
        taken: bytes | None = await commands.execute("LPOP", self._orders(key))
        if taken is not None:
            order = _decode_order(taken)
            answer = {"node": self._engine.node, **await self._do(order)}
            await commands.execute("SET", order.answer, _encode(answer))

    async def _do(self, order: Order) -> dict[str, Any]:
        engine = self._engine
        match order.op:
            case "call":
                try:
                    data, namespace = bytes(order.data), order.namespace
                    result = await call(engine, order.function, data, namespace=namespace, once=order.once)
                except HandlerError as error:
                    return {"error": msgspec.json.decode(error.raw)}
                return {"result": Raw(result or b"null")}
            case "begin":
                engine.invoke(order.function, bytes(order.data), once=order.once)
                return {}
            case "serves":
                try:
                    return {"result": await engine.serves(order.function, order.namespace)}
                except EngineError as error:
                    return {"error": error.code}
            case "watch":
                watched = self._watched.setdefault(order.type, engine.watch(order.type))
                await watched.until_known()
                return {"result": sorted(trigger.id for trigger in watched.all())}
            case "token":
                return {"result": engine.ownership.token(key_of(order.key))}
            case "adopt":
                found = await engine.adopt(
                    order.names, lambda name, error: self._adopted.update({name: error.decode()})
                )
                ended = {name: error.decode() for name, error in found.ended.items()}
                return {"serving": sorted(found.serving), "ended": ended, "complete": found.complete}
            case "adopted":
                return {"result": self._adopted}
        raise AssertionError(order.op)
