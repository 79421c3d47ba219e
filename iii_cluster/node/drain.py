"""`POST /drain`: has this node, or through it another one, leave the cluster gracefully."""

from collections.abc import Callable
from typing import Any

import msgspec
from msgspec import Struct

from iii_cluster.bus.ask import AskError

from .node import Node
from .stopping import Grace, Seconds


class Request(Struct, forbid_unknown_fields=True):
    """Body of `POST /drain`. `node` "" is the one that is asked; without `timeout` its setting counts."""

    node: str = ""
    timeout: Seconds | None = None


_decode = msgspec.json.Decoder(Request).decode


async def drain(body: bytes, node: Node, leave: Callable[[float], None]) -> tuple[int, Any]:
    """HTTP status and body. `leave` is given the grace when it is this node that leaves."""
    try:
        request = _decode(body)
    except msgspec.DecodeError as error:
        return 400, {"error": str(error)}
    target = request.node or node.info.id
    accepted: dict[str, Any] = {"node": target, "accepted": True}
    if target == node.info.id:
        grace = node.settings.drain_timeout if request.timeout is None else request.timeout
        leave(grace)
        accepted["timeout"] = grace
    elif target not in node.membership.map.nodes:
        return 404, {"error": f"{target} is not in the cluster map"}
    else:
        try:
            await node.asker.ask(target, "node.drain", Grace(request.timeout))
        except (AskError, TimeoutError) as error:
            return 502, {"error": f"{target} did not accept: {error or 'no answer in time'}"}
    return 202, accepted
