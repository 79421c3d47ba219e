"""The modules of one process: what they offer, their life, and calls of their functions."""

import asyncio
import logging
from collections.abc import Sequence
from typing import Any

import msgspec

from iii_cluster.protocol import errors
from iii_cluster.protocol.errors import EngineError
from iii_cluster.redis.commands import Unavailable

from .engine import Engine
from .module import Function, Module, Request, TriggerType
from .stores import StoreChecks

SHUTDOWN_TIMEOUT = 3.0  # seconds all modules together may take
SHUTDOWN_SHARE = 0.2  # seconds that each may take at least

log = logging.getLogger(__name__)

_encode = msgspec.json.Encoder().encode


class ModuleFailed(Exception):
    """A module could not begin."""


class ModuleHost:
    """`functions` and `types` are what all modules offer, by id; types by their aliases, too.

    Raises ValueError when two modules offer the same.
    """

    def __init__(self, modules: Sequence[Module]) -> None:
        self.modules = tuple(modules)
        self.functions: dict[str, tuple[Module, Function[Any]]] = {}
        self.types: dict[str, TriggerType] = {}
        self._type_owners: dict[str, Module] = {}  # by the names in `types`
        self._running: list[Module] = []
        self.checks = StoreChecks()
        ids: set[str] = set()
        for module in modules:
            if module.id in ids:
                raise ValueError(f"there are two modules called {module.id}")
            ids.add(module.id)
            self._add_functions(module)
            self._add_types(module)

    def _add_functions(self, module: Module) -> None:
        for id, function in module.functions().items():
            known = self.functions.get(id)
            if known is not None:
                raise ValueError(f"the modules {known[0].id} and {module.id} both offer the function {id}")
            self.functions[id] = module, function

    def _add_types(self, module: Module) -> None:
        for type in module.trigger_types():
            for name in (type.id, *type.aliases):
                known = self._type_owners.get(name)
                if known is not None:
                    raise ValueError(f"the modules {known.id} and {module.id} both offer the trigger type {name}")
                self.types[name] = type
                self._type_owners[name] = module

    def canonical(self, type: str) -> str:
        """The id of a trigger type that may be called by an alias; the type itself when no module offers it."""
        known = self.types.get(type)
        return type if known is None else known.id

    def module_of_type(self, type: str) -> Module | None:
        return self._type_owners.get(type)

    # -- life

    async def initialize(self, engine: Engine) -> None:
        """Begin all, in order; raises ModuleFailed, with those that have begun shut down again."""
        for module in self.modules:
            self.checks.begin(module, engine)
            try:
                await module.initialize(engine)
            except asyncio.CancelledError:
                self._running.append(module)  # it may have begun something
                raise
            except Exception as error:
                log.error("action=module_failed module=%s error=%r", module.id, error, exc_info=_unexpected(error))
                await self.shutdown()
                raise ModuleFailed(f"module {module.id} could not begin: {error or type(error).__name__}") from error
            self._running.append(module)

    async def shutdown(self) -> None:
        """End all that have begun, the latest first. One that fails, or takes too long, does not keep the others."""
        clock = asyncio.get_running_loop().time
        deadline = clock() + SHUTDOWN_TIMEOUT
        await self.checks.stop()
        while self._running:
            module = self._running.pop()
            limit = max(deadline - clock(), SHUTDOWN_SHARE)
            try:
                async with asyncio.timeout(limit):
                    await module.shutdown()
            except TimeoutError:
                log.warning("action=module_slow_to_stop module=%s limit_s=%.1f", module.id, limit)
            except Exception:
                log.exception("action=module_stop_failed module=%s", module.id)

    def describe(self) -> dict[str, Any]:
        """Numbers of the modules that have begun and tell any, by module id."""
        return {module.id: numbers for module in self._running if (numbers := module.describe())}

    # -- calls

    async def run(self, function: str, request: Request) -> bytes | None:
        """The result of a function as JSON, None for none. Raises EngineError; KeyError when no module offers it."""
        module, offered = self.functions[function]
        try:
            input = offered.decode(request.data or b"null")
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
            raise EngineError(errors.DESERIALIZATION_ERROR, f"{function}: {error}") from None
        try:
            result = await offered.handler(input, request)
        except EngineError:
            raise
        except Unavailable as error:
            raise EngineError(errors.INTERNAL_ERROR, str(error)) from error
        except Exception as error:
            log.exception("action=module_call_failed module=%s function=%s", module.id, function)
            raise EngineError(errors.INTERNAL_ERROR, f"{function} failed: {type(error).__name__}") from error
        if result is None:
            return None
        try:
            return _encode(result)
        except (TypeError, ValueError, OverflowError, RecursionError) as error:
            raise EngineError(errors.SERIALIZATION_ERROR, f"{function}: {error}") from error


def _unexpected(error: BaseException) -> BaseException | None:
    """What Redis, the network or the module's own check says needs no traceback."""
    return None if isinstance(error, OSError | ValueError | EngineError | Unavailable) else error
