"""A worker that reconnects proves who it was, and its old connection is retired, on whichever gateway it is."""

import asyncio
import logging

from iii_cluster.bus.ask import Asker, AskError

from .core import GatewayCore
from .ids import maker_of
from .listener import same_secret
from .worker import Worker

log = logging.getLogger(__name__)

RETIRE = "retire"

# How long the new connection waits for the old one's gateway, seconds. Clean-up goes by connection, so going on
# without an answer (that gateway may just have died) is safe.
_PATIENCE = 1.0


class Reattach:
    """Retires old connections for new ones."""

    def __init__(self, core: GatewayCore, asker: Asker) -> None:
        self._core = core
        self._asker = asker
        self._running: set[asyncio.Task[None]] = set()
        asker.answer(RETIRE, lambda _node, body: core.retire(body["worker"], body["token"], same_secret))

    def request(self, worker: Worker, previous: str, token: str) -> None:
        """Retire `previous` here, or ask the gateway that made its id while `worker` waits."""
        if self._core.retire(previous, token, same_secret):
            return
        node = maker_of(previous, self._core.map)
        if node and node != self._core.node:
            self._core.hold(worker)
            task = asyncio.create_task(self._ask(worker, node, previous, token))
            self._running.add(task)
            task.add_done_callback(self._running.discard)

    async def _ask(self, worker: Worker, node: str, previous: str, token: str) -> None:
        try:
            await self._asker.ask(node, RETIRE, {"worker": previous, "token": token}, timeout=_PATIENCE)
        except (AskError, TimeoutError) as error:
            log.info("action=retire_unanswered worker=%s gateway=%s reason=%r", previous, node, error)
        finally:
            self._core.unhold(worker)
