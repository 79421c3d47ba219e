"""The module: two functions, and a trigger type that fires when a meter passes a limit."""

from collections.abc import Iterable, Mapping
from typing import Annotated, Any, Protocol

import msgspec
from msgspec import Meta, Struct

from iii_cluster.bus.envelopes import Trigger
from iii_cluster.cluster.map import Role
from iii_cluster.modules.adapters import AdapterChoice, load_adapter
from iii_cluster.modules.conditions import Conditions
from iii_cluster.modules.engine import Engine, Watched
from iii_cluster.modules.module import Function, Module, Request, TriggerType
from iii_cluster.protocol import errors
from iii_cluster.protocol.errors import EngineError

PASSED = "meters:passed"


class Store(Protocol):
    """What an adapter can do."""

    async def add(self, meter: str, by: int) -> int: ...

    async def read(self, meter: str) -> int: ...


class Config(Struct, frozen=True, forbid_unknown_fields=True):
    adapter: AdapterChoice | None = None


class Add(Struct):
    meter: str
    by: Annotated[int, Meta(ge=1, le=2**31)] = 1


class Read(Struct):
    meter: str


class Limit(Struct):
    """The config of a trigger."""

    meter: str
    limit: int


class MeterModule(Module):
    id = "meters"
    name = "Meters"
    Config = Config
    adapters = {"redis": "meters.adapters:RedisMeters", "memory": "meters.adapters:MemoryMeters"}  # noqa: RUF012
    default_adapter = "redis"

    _store: Store
    _watched: Watched
    _conditions: Conditions
    _engine: Engine

    def functions(self) -> Mapping[str, Function[Any]]:
        return {
            "meters::add": Function(self._add, Add, "Add to a meter"),
            "meters::read": Function(self._read, Read, "What a meter shows"),
        }

    def trigger_types(self) -> Iterable[TriggerType]:
        yield TriggerType(id=PASSED, description="A meter has passed a limit", check=_check)

    async def initialize(self, engine: Engine) -> None:
        if engine.role is not Role.GATEWAY:
            return  # nothing here needs a single owner
        adapter, config = load_adapter(MeterModule, self.config.adapter)
        self._store = adapter(config, engine)
        self._engine = engine
        self._conditions = Conditions(engine)
        self._watched = engine.watch(PASSED)

    async def _add(self, input: Add, _request: Request) -> dict[str, int]:
        total = await self._store.add(input.meter, input.by)
        for trigger in self._watched.all():
            limit = _limit(trigger)
            if limit.meter == input.meter and total - input.by < limit.limit <= total:
                await self._tell(trigger, {"meter": input.meter, "limit": limit.limit, "total": total})
        return {"total": total}

    async def _read(self, input: Read, _request: Request) -> dict[str, int]:
        return {"total": await self._store.read(input.meter)}

    async def _tell(self, trigger: Trigger, event: dict[str, Any]) -> None:
        data = msgspec.json.encode(event)
        if await self._conditions.allow(trigger, data):
            self._engine.invoke(trigger.function, data, namespace=trigger.namespace, metadata=trigger.metadata)


def _check(trigger: Trigger) -> None:
    _limit(trigger)


def _limit(trigger: Trigger) -> Limit:
    try:
        return msgspec.json.decode(trigger.config, type=Limit)
    except msgspec.MsgspecError as error:
        raise EngineError(errors.TRIGGER_REGISTRATION_FAILED, f"{PASSED} needs a meter and a limit: {error}") from None
