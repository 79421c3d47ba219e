"""The rules of a gateway's listeners, from its settings."""

from collections.abc import Iterator

from gateway.core import GatewayCore
from iii_cluster.access.reserved import Reserved
from iii_cluster.access.rules import ListenerRules, deciding_functions
from iii_cluster.config.settings import Settings, WorkerListener
from iii_cluster.modules.calling import call
from iii_cluster.modules.engine import Engine
from iii_cluster.modules.host import ModuleHost
from iii_cluster.modules.http.module import HttpModule
from iii_cluster.modules.stream.module import StreamModule

from .gate import Gate
from .guard import Guard

# How long a hook may take to decide about a registration, seconds.
HOOK_TIMEOUT = 10.0


def guard_of(core: GatewayCore, engine: Engine, host: ModuleHost) -> Guard:
    async def ask(hook: str, data: bytes) -> bytes:
        return await call(engine, hook, data, timeout=HOOK_TIMEOUT)

    deciding = {*deciding_functions(engine.settings.worker_listeners), *_of_modules(host)}
    return Guard(core, ask, Reserved(deciding, host.functions))


def gate_of(listener: WorkerListener, name: str, engine: Engine, settings: Settings) -> Gate | None:
    """None for a listener without rules."""
    rules = ListenerRules(listener, name)
    limit = listener.handshake_timeout_ms
    patience = settings.handshake_timeout if limit is None else limit / 1000

    async def ask(hook: str, data: bytes, seconds: float) -> bytes:
        return await call(engine, hook, data, timeout=seconds)

    return Gate(rules, ask, patience) if rules else None


def _of_modules(host: ModuleHost) -> Iterator[str]:
    """Functions that decide who may follow streams, or make requests."""
    for module in host.modules:
        if isinstance(module, StreamModule):
            yield module.config.auth_function or ""
        elif isinstance(module, HttpModule):
            yield from (middleware.function_id for middleware in module.config.middleware)
