"""Asking all gateways what became of deliveries that an earlier owner began."""

import asyncio
import logging
from collections.abc import Callable, Collection
from functools import partial
from typing import NamedTuple

from iii_cluster.bus.ask import Asker
from iii_cluster.cluster.map import ClusterMap, Role
from iii_cluster.routing.early import EarlyEnds

from .engine import Adopted, Done

log = logging.getLogger(__name__)

FIND = "deliveries.find"

# How long a gateway has to answer, seconds; it may have to take in the asker's map first.
PATIENCE = 3.0


class Found(NamedTuple):
    serving: dict[str, tuple[str, str]]  # by name: the gateway that serves it, the invocation id of its answer
    ended: dict[str, bytes]  # by name: the error, b"" for success
    complete: bool  # every gateway has answered
    gateways: Collection[str]  # that have answered


Ended = Callable[[str, bytes], None]  # (name, error)
Expect = Callable[[str, str, Done], None]  # (invocation id, gateway that serves it, what to call at its end)


async def adopt(
    asker: Asker, current: ClusterMap, names: Collection[str], done: Ended, early: EarlyEnds, expect: Expect
) -> Adopted:
    """Take deliveries over: `done` is called for those under way, never before this returns. `early` and `expect` are
    of the calls of this node."""
    loop = asyncio.get_running_loop()
    with early.kept() as ends:
        found = await find(asker, current, names)
        for name, (gateway, id) in found.serving.items():
            tell = partial(_tell, done, name)
            if id in ends:
                loop.call_soon(tell, *ends[id])
            else:
                expect(id, gateway, tell)
    serving = {name: gateway for name, (gateway, _) in found.serving.items()}
    return Adopted(serving, found.ended, found.complete, found.gateways)


def _tell(done: Ended, name: str, _result: bytes, error: bytes) -> None:
    try:
        done(name, error)
    except Exception:
        log.exception("action=call_end_failed once=%s", name)


async def find(asker: Asker, current: ClusterMap, names: Collection[str]) -> Found:
    """What the gateways of a map know. Ends of what is being served come to this node from now on, perhaps before
    this returns."""
    said, missing = await asker.ask_all(
        current.of_role(Role.GATEWAY), FIND, {"names": list(names), "epoch": current.epoch}, timeout=PATIENCE
    )
    serving: dict[str, tuple[str, str]] = {}
    ended: dict[str, bytes] = {}
    for gateway, answer in said.items():
        serving |= {name: (gateway, invocation) for name, invocation in answer["serving"].items()}
        ended |= answer["ended"]
    ended = {name: error for name, error in ended.items() if name not in serving}
    return Found(serving, ended, not missing, said.keys())
