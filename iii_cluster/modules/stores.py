"""Redis servers that modules were given for themselves: asked once, so that an operator learns of a wrong address."""

import asyncio
import logging

from redis.exceptions import RedisError

from iii_cluster.config.redact import redact_url
from iii_cluster.redis.commands import Unavailable

from .adapters import AdapterChoice, load_adapter
from .engine import Engine
from .module import Module

LIMIT = 5.0  # seconds a server has to answer before it is told

logger = logging.getLogger(__name__)


class StoreChecks:
    """Nothing waits for them: the server may come later, and what does not need it works."""

    def __init__(self) -> None:
        self.running: set[asyncio.Task[None]] = set()

    def begin(self, module: Module, engine: Engine) -> None:
        """Ask the module's own server, if its adapter's config has a `redis_url`."""
        choice = getattr(module.config, "adapter", None)
        if not isinstance(choice, AdapterChoice):
            return
        adapter, config = load_adapter(type(module), choice)
        url = getattr(config, "redis_url", None)
        if url and isinstance(url, str) and url not in engine.settings.redis_urls[:1]:
            name = choice.name or adapter.__name__
            task = asyncio.get_running_loop().create_task(_ask(module.id, name, url, engine))
            self.running.add(task)
            task.add_done_callback(self.running.discard)

    async def stop(self) -> None:
        for task in self.running:
            task.cancel()
        await asyncio.gather(*self.running, return_exceptions=True)


async def _ask(module: str, adapter: str, url: str, engine: Engine) -> None:
    try:
        async with asyncio.timeout(LIMIT):
            await engine.commands_of(url).execute("PING", again=True)
    except (TimeoutError, Unavailable, RedisError, ValueError) as error:
        logger.warning(
            "action=module_store_unreachable module=%s adapter=%s address=%s error=%r",
            module,
            adapter,
            redact_url(url),
            str(error) or f"no answer within {LIMIT:g} s",
        )
