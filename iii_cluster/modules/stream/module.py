"""The stream module. Clients of streams are served by gateway/streams, with what is here."""

from collections.abc import Awaitable, Callable, Iterable, Mapping
from typing import Annotated, Any

from msgspec import Meta, Struct

from iii_cluster.bus.envelopes import Trigger
from iii_cluster.cluster.map import Role
from iii_cluster.config.settings import Limit, Port, Tls
from iii_cluster.modules.adapters import AdapterChoice, load_adapter
from iii_cluster.modules.engine import Engine
from iii_cluster.modules.events.dispatcher import Dispatcher
from iii_cluster.modules.events.writer import EventWriter
from iii_cluster.modules.module import Function, Module, Request, TriggerType, with_old_names

from .adapter import StreamAdapter
from .departures import Departures
from .follow import Following
from .hooks import Hooks
from .inputs import Group, Item, Nothing, Send, SetItem, Stream, UpdateItem
from .presence import Presence
from .provided import Provided
from .providers import Providers
from .publisher import Publisher
from .store import Store
from .triggers import CHANGE, CHANGE_SCHEMA, HOOK_SCHEMA, JOIN, KIND, LEAVE, check_change, check_hook
from .turns import ItemTurns

_FUNCTIONS: dict[str, tuple[type[Any], str]] = {
    "set": (SetItem, "Store an item; answers the old and the new value"),
    "get": (Item, "The value of an item, nothing if there is none"),
    "delete": (Item, "Remove an item; answers what it was"),
    "update": (UpdateItem, "Change parts of an item in one move"),
    "list": (Group, "All items of a group"),
    "list_groups": (Stream, "All groups of a stream that hold anything"),
    "list_all": (Nothing, "All streams that hold anything, and their groups"),
    "send": (Send, "Tell all who follow a group, or an item, of something that is not stored"),
}


class StreamConfig(Struct, frozen=True, forbid_unknown_fields=True):
    adapter: AdapterChoice | None = None
    port: Port | None = None  # of the clients' listener; None: as in the settings
    host: str | None = None  # where it binds; None: as in the settings
    auth_function: str | None = None  # asked once per client
    refuse_on_auth_error: bool = False  # true: without a clear answer a client is refused, not let in
    max_connections: Limit = 20_000  # of one gateway
    max_subscriptions: Limit = 1000  # of one connection
    max_message_bytes: Annotated[int, Meta(ge=1024)] = 64 * 2**10  # of what a client sends
    tls: Tls | None = None  # of the clients' listener; None: as in the settings


class StreamModule(Module):
    """Gateways answer the functions and serve clients; shards call the targets of triggers."""

    id = "iii-stream"
    name = "Streams"
    Config = StreamConfig
    default_adapter = "redis"
    adapters = {  # noqa: RUF012
        "redis": "iii_cluster.modules.stream.adapters.redis:RedisStreams",
        "kv": "iii_cluster.modules.stream.adapters.kv:KvStreams",
        "memory": "iii_cluster.modules.stream.adapters.memory:MemoryStreams",
    }

    def __init__(self, config: StreamConfig) -> None:
        super().__init__(config)
        self.config: StreamConfig = config
        self.hooks: Hooks | None = None  # in gateways, once begun
        self.following: Following | None = None  # likewise
        self.presence: Presence | None = None  # likewise
        self._store: Store | None = None
        self._events: EventWriter | None = None
        self._dispatcher: Dispatcher | None = None
        self._departures: Departures | None = None

    def functions(self) -> Mapping[str, Function[Any]]:
        return with_old_names(
            "stream", {name: Function(self._handler(name), *what) for name, what in _FUNCTIONS.items()}
        )

    def _handler(self, name: str) -> Callable[[Any, Request], Awaitable[object]]:
        async def handler(input: Any, request: Request) -> object:
            assert self._store is not None, "the module has not begun"
            return await getattr(self._store, name)(input, request)

        return handler

    def trigger_types(self) -> Iterable[TriggerType]:
        return (
            TriggerType(
                id=CHANGE,
                description="Called with every change of an item, and with what is sent",
                check=check_change,
                registered=self._registered,
                unregistered=self._unregistered,
                trigger_request_format=CHANGE_SCHEMA,
            ),
            TriggerType(
                id=JOIN,
                description="Called when a client is about to follow a group or an item; may refuse it",
                aliases=("streams:join",),
                check=check_hook,
                trigger_request_format=HOOK_SCHEMA,
            ),
            TriggerType(
                id=LEAVE,
                description="Called when a client does not follow a group or an item any more",
                aliases=("streams:leave",),
                check=check_hook,
                trigger_request_format=HOOK_SCHEMA,
            ),
        )

    async def initialize(self, engine: Engine) -> None:
        adapter_class, adapter_config = load_adapter(StreamModule, self.config.adapter)
        adapter: StreamAdapter = adapter_class(adapter_config, engine)
        commands = engine.commands_of(adapter.server) if adapter.server else engine.commands
        if engine.role is Role.SHARD:
            self._dispatcher = Dispatcher(engine, KIND, commands)
            await self._dispatcher.start()
            self._departures = Departures(engine, commands, Hooks(engine, "", False))
            self._departures.start()
            return
        settings = engine.settings
        self._events = EventWriter(engine, KIND, commands)
        publisher = Publisher(engine, commands, self._events)
        turns = ItemTurns(commands, engine.prefix, settings.redis_outage_limit)
        provided = Provided(Providers(engine), publisher, turns, settings.max_message_bytes)
        await adapter.start(publisher)
        self._store = Store(adapter, publisher, provided, settings.max_message_bytes, settings.redis_outage_limit)
        self.hooks = Hooks(engine, self.config.auth_function or "", self.config.refuse_on_auth_error)
        self.following = Following(engine, commands, adapter, provided)
        self.presence = Presence(engine, commands)

    async def shutdown(self) -> None:
        if self._departures is not None:
            await self._departures.stop()
            self._departures = None
        if self._dispatcher is not None:
            await self._dispatcher.stop()
            self._dispatcher = None
        if self.presence is not None:
            await self.presence.close()
        if self._store is not None:
            await self._store.close()

    def _registered(self, trigger: Trigger) -> None:
        if self._events is not None:
            self._events.registered(trigger)

    def _unregistered(self, trigger: Trigger) -> None:
        if self._events is not None:
            self._events.unregistered(trigger)
