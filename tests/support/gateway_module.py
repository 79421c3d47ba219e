"""A module that lets a worker drive the engine it runs in, for tests with real processes."""

import os
from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Any

import msgspec
from msgspec import Raw, Struct

from iii_cluster.bus.envelopes import Trigger
from iii_cluster.modules.calling import HandlerError, call
from iii_cluster.modules.engine import Engine
from iii_cluster.modules.module import Function, Module, Request, TriggerType
from iii_cluster.protocol.errors import EngineError

# For the environment of a cluster that is to have it.
ENVIRONMENT = {"III_CLUSTER_MODULES": '[{"name":"tests.support.gateway_module:Probe"}]'}

EVENT = "probe::event"


class Call(Struct):
    function: str
    data: Raw = Raw(b"null")
    namespace: str = "default"
    metadata: Raw = Raw(b"")
    once: str = ""


class Names(Struct):
    names: list[str] = []


class Served(Struct):
    function: str
    namespace: str = "default"


class Topic(Struct):
    topic: str


class Probe(Module):
    id = "probe"
    name = "Probe"

    def __init__(self, config: Any) -> None:
        super().__init__(config)
        self.seen: Counter[str] = Counter()
        self._engine: Engine

    def functions(self) -> Mapping[str, Function[Any]]:
        return {
            "probe::echo": Function(self._echo, Raw, "Answers with all that it got."),
            "probe::none": Function(self._none, Raw),
            "probe::null": Function(self._null, Raw),
            "probe::fail": Function(self._fail, Raw),
            "probe::call": Function(self._call, Call, "Calls another function."),
            "probe::count": Function(self._count, Names, "Increments a counter in Redis."),
            "probe::serves": Function(self._serves, Served),
            "probe::fire": Function(self._fire, Raw),
            "probe::adopt": Function(self._adopt, Names),
            "probe::seen": Function(self._seen, Raw, hidden=True),
        }

    def trigger_types(self) -> Iterable[TriggerType]:
        yield TriggerType(
            id=EVENT,
            description="Fired by probe::fire.",
            aliases=("probe-event",),
            check=self._check,
            registered=lambda trigger: self._note("registered", trigger),
            unregistered=lambda trigger: self._note("unregistered", trigger),
            trigger_request_format=Raw(msgspec.json.encode(msgspec.json.schema(Topic))),
        )

    async def initialize(self, engine: Engine) -> None:
        self._engine = engine
        self._events = engine.watch(EVENT)

    def describe(self) -> Mapping[str, Any]:
        return {"pid": os.getpid()}

    # -- functions

    async def _echo(self, data: Raw, request: Request) -> object:
        return {
            "node": self._engine.node,
            "data": data,
            "caller": request.caller,
            "metadata": Raw(request.metadata or b"null"),
            "traceparent": Raw(request.traceparent or b"null"),
        }

    async def _none(self, _data: Raw, _request: Request) -> object:
        return None

    async def _null(self, _data: Raw, _request: Request) -> object:
        return Raw(b"null")

    async def _fail(self, _data: Raw, _request: Request) -> object:
        raise EngineError("PROBE_ERROR", "as asked")

    async def _call(self, asked: Call, request: Request) -> object:
        try:
            result = await call(
                self._engine,
                asked.function,
                bytes(asked.data),
                namespace=asked.namespace,
                metadata=bytes(asked.metadata),
                traceparent=request.traceparent,
                once=asked.once,
            )
        except HandlerError as error:
            return {"node": self._engine.node, "error": error.code}
        return {"node": self._engine.node, "result": Raw(result or b"null")}

    async def _count(self, asked: Names, _request: Request) -> object:
        key = f"{self._engine.prefix}:probe"
        return [await self._engine.commands.execute("HINCRBY", key, name, 1) for name in asked.names]

    async def _serves(self, asked: Served, _request: Request) -> object:
        return await self._engine.serves(asked.function, asked.namespace)

    async def _fire(self, data: Raw, _request: Request) -> object:
        await self._events.until_known()
        triggers = list(self._events.all())
        for trigger in triggers:
            self._engine.invoke(trigger.function, bytes(data), namespace=trigger.namespace, metadata=trigger.metadata)
        return sorted(trigger.id for trigger in triggers)

    async def _adopt(self, asked: Names, _request: Request) -> object:
        """Ends of what is under way are told by probe::seen."""
        adopted = await self._engine.adopt(asked.names, lambda name, _error: self.seen.update([f"adopted {name}"]))
        return {
            "serving": sorted(adopted.serving),
            "ended": {name: error.decode() for name, error in adopted.ended.items()},
            "complete": adopted.complete,
        }

    async def _seen(self, _data: Raw, _request: Request) -> object:
        return self.seen

    # -- the trigger type

    def _check(self, trigger: Trigger) -> None:
        try:
            msgspec.json.decode(trigger.config, type=Topic)
        except msgspec.MsgspecError as error:
            raise EngineError("BAD_TOPIC", f"the config of the trigger could not be parsed: {error}") from None

    def _note(self, what: str, trigger: Trigger) -> None:
        self.seen[f"{what} {trigger.id}"] += 1
