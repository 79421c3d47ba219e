"""Why a process that `iii-cluster up` started does not get ready, as its admin port tells."""

import asyncio

from iii_cluster.config.settings import Settings
from iii_cluster.local.child import ChildSpec
from iii_cluster.local.plan import admin_port_of

from .gateway import Unreachable
from .own import ask_own

# What a reason means when it has lasted as long as a start may take.
HINTS = {"not in the cluster map": "not in the cluster map: no coordinator leads"}


async def why_not_ready(spec: ChildSpec, settings: Settings) -> str:
    """Its reasons; "" when its port is not known or does not answer."""
    port = admin_port_of(spec)
    if not port:
        return ""
    try:
        _, body = await asyncio.to_thread(ask_own, settings, port, "/readyz")
    except Unreachable:
        return ""
    reasons = body.get("reasons", []) if isinstance(body, dict) else []
    return "; ".join(HINTS.get(reason, reason) for reason in reasons)
