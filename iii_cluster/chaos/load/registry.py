"""What live workers registered, and what a gateway says that there is."""

from collections.abc import Callable
from typing import Any

from iii_cluster.chaos.history import Final

from .client import Client
from .load import Load

Rows = list[dict[str, Any]]
Render = Callable[[Rows, str], list[str]]


def _functions(rows: Rows, prefix: str) -> list[str]:
    mine = (row for row in rows if row["function_id"].startswith(f"{prefix}::"))
    return sorted(f"{row['function_id']} of {worker}" for row in mine for worker in row["worker_ids"])


def _triggers(rows: Rows, prefix: str) -> list[str]:
    mine = (row for row in rows if row["function_id"].startswith(f"{prefix}::"))
    return sorted(_trigger(row["id"], row["trigger_type"], row["function_id"], row["state"]) for row in mine)


def _types(rows: Rows, prefix: str) -> list[str]:
    return sorted(row["id"] for row in rows if row["id"].startswith(f"{prefix}::"))


def _workers(rows: Rows, prefix: str) -> list[str]:
    mine = (row for row in rows if str(row["name"]).startswith(f"{prefix}-"))
    return sorted(f"{row['name']} {row['id']}" for row in mine)


# What is listed -> function of the engine, its input, member of its answer, and the words for its rows.
LISTINGS: dict[str, tuple[str, dict[str, Any], str, Render]] = {
    "functions": ("engine::functions::list", {}, "functions", _functions),
    "triggers": ("engine::registered-triggers::list", {"include_internal": True}, "registered_triggers", _triggers),
    "trigger types": ("engine::triggers::list", {}, "triggers", _types),
    "workers": ("engine::workers::list", {}, "workers", _workers),
}
HELD = "triggers held by their provider"


def registered(load: Load) -> dict[str, list[str]]:
    """What there must be, in the words of the listings."""
    live = [(client, client.connection) for client in load.clients if client.connection is not None]
    triggers = [trigger for client, _ in live for trigger in client.triggers.values()]
    return {
        "functions": sorted(
            f"{name} of {connection.worker}" for client, connection in live for name in client.functions
        ),
        "triggers": sorted(_trigger(t["id"], t["trigger_type"], t["function_id"], "live") for t in triggers),
        "trigger types": sorted({type for client, _ in live for type in client.types}),
        "workers": sorted(f"{client.name} {connection.worker}" for client, connection in live),
        HELD: sorted(t["id"] for t in triggers if t["trigger_type"] == load.provided[0]),
    }


async def listings(load: Load) -> list[Final]:
    """All listings as every gateway gives them now, and what the engine told the provider of the trigger type."""
    found = [final for client in load.residents for final in await _listed(load, client)]
    seen = load.provided[1]
    held = Final(gateway="all", what=HELD, at=load.recorder.now(), expected=registered(load)[HELD], seen=seen)
    return [*found, held]


async def _listed(load: Load, client: Client) -> list[Final]:
    """As the gateway of `client` lists; without a connection, or an answer, nothing."""
    found = []
    for what, (function, asked, member, render) in LISTINGS.items():
        answer = await client.ask(function, **asked)
        where = client.connection.gateway if client.connection is not None else f"{client.name} (not connected)"
        seen = render(answer[member], load.names.prefix) if answer is not None else [f"no answer from {function}"]
        expected = registered(load)[what]
        found.append(Final(gateway=where, what=what, at=load.recorder.now(), expected=expected, seen=seen))
    return found


def _trigger(id: str, type: str, function: str, state: str) -> str:
    return f"{id} ({type} -> {function}) {state}"
