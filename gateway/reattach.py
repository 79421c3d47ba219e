"""A worker that reconnects proves who it was: its old connection is retired, and its calls follow it.

The old connection may be on another gateway, and closed by now. That gateway is asked to retire it:
1. `retire`: it checks the token, closes the old connection and sends kept answers to the new one.
2. `moved`: it tells the gateways of those who wait for the worker where their calls are now.
3. `serve`: it hands these calls to the new connection's gateway. What nobody takes is stopped.
4. Its answer to `retire` comes last. The frames of the new connection wait for it.
"""

import asyncio
import hmac
import logging
from collections import defaultdict
from collections.abc import Awaitable, Collection, Mapping
from typing import Any

from iii_cluster.bus.ask import Asker, AskError
from iii_cluster.routing.caller import MOVED
from iii_cluster.routing.ids import maker_of

from .core import GatewayCore
from .worker import Worker

log = logging.getLogger(__name__)

RETIRE = "retire"
SERVE = "serve"

# How long the new connection waits for the old one's gateway, seconds. Clean-up goes by connection, so going on
# without an answer (that gateway may just have died) is safe.
_PATIENCE = 1.0


class Reattach:
    """Retires old connections for new ones."""

    def __init__(self, core: GatewayCore, asker: Asker) -> None:
        self._core = core
        self._asker = asker
        self._running: set[asyncio.Task[None]] = set()
        handover = core.invocations.handover
        asker.answer(RETIRE, lambda _node, body: self._retire_for(body))
        asker.answer(MOVED, lambda _node, body: handover.moved(body["calls"], body["node"], body["conn"]))
        asker.answer(SERVE, lambda _node, body: handover.serve(body["conn"], body["calls"], body.get("named", {})))

    # -- the gateway of the new connection ---------------------------------------------------------

    def request(self, worker: Worker, previous: str, token: str) -> None:
        """Retire `previous` here, or ask the gateway that made its id while `worker` waits."""
        core = self._core
        if self._retire(previous, token, worker.realm):
            if worker.guarded is not None:
                worker.guarded.inherit(core.invocations.handover.left_with(previous))
            core.invocations.adopt(previous, core.node, worker.number)
            return
        node = maker_of(previous, core.map)
        if node and node != core.node:
            core.hold(worker)
            worker.inherits = True
            task = asyncio.create_task(self._ask(worker, node, previous, token))
            self._running.add(task)
            task.add_done_callback(self._running.discard)

    async def _ask(self, worker: Worker, node: str, previous: str, token: str) -> None:
        claim: dict[str, Any] = {"worker": previous, "token": token, "node": self._core.node, "conn": worker.number}
        claim["realm"] = worker.realm
        try:
            left = await self._asker.ask(node, RETIRE, claim, timeout=_PATIENCE)
            if worker.guarded is not None and isinstance(left, list):
                worker.guarded.inherit(left)
        except (AskError, TimeoutError) as error:
            log.info("action=retire_unanswered worker=%s gateway=%s reason=%r", previous, node, error)
        finally:
            self._core.unhold(worker)

    # -- the gateway of the old connection ---------------------------------------------------------

    def _retire(self, previous: str, token: str, realm: str) -> bool:
        """Whether the token is that of a connection of the realm here, which is closed now if it was not."""
        core = self._core
        return core.retire(previous, token, same_secret, realm) or core.invocations.proves(
            previous, token, same_secret, realm
        )

    def _retire_for(self, claim: Mapping[str, Any]) -> bool | list[str] | Awaitable[list[str]]:
        """False, or the calls that the new connection may still answer though they are not moved to it."""
        previous: str = claim["worker"]
        if not self._retire(previous, claim["token"], claim.get("realm", "")):
            return False
        left = self._core.invocations.handover.left_with(previous)
        node = claim.get("node")
        if node is None:  # it is of an earlier release and takes no calls over
            self._core.invocations.losses.forget(previous)
            return left
        calls = self._core.invocations.adopt(previous, node, claim["conn"])
        return self._hand_over(previous, calls, node, claim["conn"], left) if calls else left

    async def _hand_over(
        self, previous: str, calls: Mapping[str, str], node: str, conn: int, left: list[str]
    ) -> list[str]:
        """Give what the worker was serving (invocation id -> node of the caller) to its new connection's gateway."""
        accepted = False
        try:
            moved = await self._in_flight(calls, node, conn)
            claim = {"conn": conn, "calls": moved, "named": self._core.invocations.deliveries.hand_over(moved)}
            accepted = await self._asker.ask(node, SERVE, claim, timeout=_PATIENCE)
        except (AskError, TimeoutError) as error:
            log.warning("action=calls_stopped worker=%s gateway=%s reason=%r", previous, node, error)
        finally:
            self._core.invocations.losses.handed_over(previous, accepted=accepted)
        return left

    async def _in_flight(self, calls: Mapping[str, str], node: str, conn: int) -> dict[str, str]:
        """Tell the callers' gateways where their calls are now; those of the calls that they still wait for."""
        by_origin: defaultdict[str, list[str]] = defaultdict(list)
        for invocation_id, origin in calls.items():
            by_origin[origin].append(invocation_id)
        answers = await asyncio.gather(*(self._tell(origin, ids, node, conn) for origin, ids in by_origin.items()))
        return {invocation_id: calls[invocation_id] for ids in answers for invocation_id in ids}

    async def _tell(self, origin: str, ids: list[str], node: str, conn: int) -> Collection[str]:
        if not origin:  # lost; another node may ask for those that are still there
            return ids
        if origin == self._core.node:
            return self._core.invocations.handover.moved(ids, node, conn)
        try:
            said = {"calls": ids, "node": node, "conn": conn}
            in_flight: list[str] = await self._asker.ask(origin, MOVED, said, timeout=_PATIENCE)
        except (AskError, TimeoutError):  # not a gateway, of an earlier release, or slow
            return ids
        return in_flight


def same_secret(known: str, offered: str) -> bool:
    """Compare in constant time."""
    return hmac.compare_digest(known.encode(), offered.encode())
