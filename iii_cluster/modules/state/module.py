"""The state module."""

from collections.abc import Iterable, Mapping
from typing import Annotated, Any

from msgspec import Meta, Raw, Struct

from iii_cluster.bus.envelopes import Trigger
from iii_cluster.cluster.map import Role
from iii_cluster.modules.adapters import AdapterChoice, load_adapter
from iii_cluster.modules.engine import Engine
from iii_cluster.modules.events.dispatcher import Dispatcher
from iii_cluster.modules.events.writer import EventWriter
from iii_cluster.modules.module import Function, Module, TriggerType, with_old_names

from .adapter import StateAdapter
from .inputs import KeyInput, ScopeInput, SetInput, UpdateInput
from .store import Store
from .triggers import CONFIG_SCHEMA, EVENT_SCHEMA, STATE_EVENTS, check


class StateConfig(Struct, frozen=True, forbid_unknown_fields=True):
    adapter: AdapterChoice | None = None
    triggers_enabled: bool = True  # false: writes are not told of
    max_value_bytes: Annotated[int, Meta(ge=1)] | None = None  # of what state::set stores; None: any
    save_interval_ms: Annotated[int, Meta(ge=100, le=3_600_000)] = 5000  # of the store in files, which is not used here


class StateModule(Module):
    """Gateways answer the functions; shards call the targets of triggers."""

    id = "iii-state"
    name = "State"
    Config = StateConfig
    default_adapter = "redis"
    adapters = {  # noqa: RUF012
        "redis": "iii_cluster.modules.state.adapters.redis:RedisAdapter",
        "kv": "iii_cluster.modules.state.adapters.redis:KvAdapter",
        "memory": "iii_cluster.modules.state.adapters.memory:MemoryAdapter",
        "postgres": "iii_cluster.modules.state.adapters.postgres:PostgresAdapter",
    }

    def __init__(self, config: StateConfig) -> None:
        super().__init__(config)
        self._store = Store(config.max_value_bytes)
        self._running = False
        self._events: EventWriter | None = None
        self._dispatcher: Dispatcher | None = None

    def functions(self) -> Mapping[str, Function[Any]]:
        store = self._store
        offered: dict[str, Function[Any]] = {
            "set": Function(store.set, SetInput, "Store a value; answers the old and the new one"),
            "get": Function(store.get, KeyInput, "The value of a key; no result if there is none"),
            "delete": Function(store.delete, KeyInput, "Remove a value; answers what it was"),
            "update": Function(store.update, UpdateInput, "Change parts of a value in one move"),
            "list": Function(store.list, ScopeInput, "All values of a scope"),
            "list_groups": Function(store.list_groups, Raw, "All scopes that hold anything"),
            "clear": Function(store.clear, ScopeInput, "Remove all values of a scope; answers how many there were"),
        }
        return with_old_names("state", offered)

    def trigger_types(self) -> Iterable[TriggerType]:
        yield TriggerType(
            id=STATE_EVENTS.name,
            description="A value of a scope was created, updated or deleted",
            check=check,
            registered=self._registered,
            unregistered=self._unregistered,
            trigger_request_format=CONFIG_SCHEMA,
            call_request_format=EVENT_SCHEMA,
        )

    async def initialize(self, engine: Engine) -> None:
        kind, config = load_adapter(type(self), self.config.adapter)
        adapter: StateAdapter = kind(config, engine)
        outbox = adapter.outbox or engine.commands
        if engine.role is Role.SHARD:
            self._dispatcher = Dispatcher(engine, STATE_EVENTS, outbox)
            await self._dispatcher.start()
        elif engine.role is Role.GATEWAY:
            self._events = EventWriter(engine, STATE_EVENTS, outbox)
            await self._store.start(adapter, self._events, self.config.triggers_enabled, engine.settings)
            self._running = True

    async def shutdown(self) -> None:
        if self._dispatcher is not None:
            await self._dispatcher.stop()
            self._dispatcher = None
        if self._running:
            self._running = False
            await self._store.stop()

    def describe(self) -> Mapping[str, Any]:
        return {} if self._dispatcher is None else self._dispatcher.describe()

    def _registered(self, trigger: Trigger) -> None:
        if self._events is not None:
            self._events.registered(trigger)

    def _unregistered(self, trigger: Trigger) -> None:
        if self._events is not None:
            self._events.unregistered(trigger)
