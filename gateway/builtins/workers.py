"""engine::workers::register, ::list and ::info."""

import time
import unicodedata
from typing import Any

from gateway.access.sight import Sight, metadata_of
from gateway.announcer import FUNCTION
from gateway.core import GatewayCore
from gateway.worker import Worker
from iii_cluster.protocol import errors, messages
from iii_cluster.protocol.errors import EngineError
from iii_cluster.protocol.listing import function_row
from iii_cluster.telemetry.gauges import Gauges

from . import arguments
from .arguments import parse
from .survey import Row, Rows, Survey, matches, pick_namespace, reply
from .triggers import trigger_row, type_row

REGISTER = "engine::workers::register"
LIST = "engine::workers::list"
INFO = "engine::workers::info"

# Longest worker name and description, characters.
_MAX_TEXT = 280
# Python clients refuse messages above the default of their library unless they declare otherwise, bytes.
_PYTHON_LIMIT = 2**20
_LARGE_MESSAGES = "large-messages.v1"


def register(core: GatewayCore, worker: Worker, data: bytes) -> bytes:
    """A worker says who it is. Its namespace is taken from the first announcement and stays."""
    said = parse(REGISTER, data, arguments.Announce)
    if messages.is_blank(said.namespace):
        raise EngineError(errors.INVALID_NAMESPACE, errors.BLANK_NAMESPACE)
    if not worker.announced:
        worker.announced = True
        namespace = said.namespace or "default"
        if namespace != worker.namespace:
            core.registry.move(worker, namespace)
    worker.info = {
        "name": clean(said.name),
        "runtime": said.runtime or "unknown",
        "version": said.version,
        "os": said.os,
        "pid": said.pid,
        "description": clean(said.description),
        "isolation": said.isolation,
        "telemetry": said.telemetry,
    }
    large = _LARGE_MESSAGES in (said.features or ())
    worker.max_frame = _PYTHON_LIMIT if said.runtime == "python" and not large else 0
    core.membership.changed(worker)
    return b'{"success":true}'


def clean(text: str | None) -> str | None:
    """Without control and direction characters, cut and trimmed; None when nothing is left."""
    if text is None:
        return None
    kept = "".join(c for c in text if unicodedata.category(c) not in ("Cc", "Cf"))
    return kept[:_MAX_TEXT].strip() or None


def local_rows(core: GatewayCore) -> list[Row]:
    """This gateway's workers, as the survey collects them."""
    return [_row(core, worker) for worker in core.workers.values() if worker.known]


def local_names(core: GatewayCore) -> list[dict[str, str]]:
    return [{worker.id: worker.info["name"] for worker in core.workers.values() if worker.info.get("name")}]


def _row(core: GatewayCore, worker: Worker) -> Row:
    functions = [r.id for r in worker.registrations.values() if r.kind == FUNCTION]
    info = worker.info
    return {
        "id": worker.id,
        "name": info.get("name"),
        "description": info.get("description"),
        "namespace": worker.namespace,
        "runtime": info.get("runtime"),
        "version": info.get("version"),
        "os": info.get("os"),
        "pid": info.get("pid"),
        "isolation": info.get("isolation"),
        "ip_address": worker.address,
        "status": "connected",
        "connected_at_ms": worker.connected_ms,
        "function_count": len(functions),
        "functions": functions,
        "active_invocations": len(worker.serving),
        "latest_metrics": None,
        "gateway": core.node,
    }


async def listing(survey: Survey, gauges: Gauges, data: bytes, sight: Sight | None) -> bytes:
    """All workers of the cluster, sorted by name. Connections that announced no pid are left out."""
    asked = parse(LIST, data, arguments.ListWorkers)
    rows = await survey.gateways("workers.list")
    chosen = [row for row in _seen(rows, sight) if _wanted(row, asked)]
    chosen.sort(key=lambda row: (row["name"] or "", row["id"]))
    await _measure(gauges, chosen)
    return reply({"workers": chosen, "timestamp": time.time_ns() // 1_000_000}, rows)


async def _measure(gauges: Gauges, rows: list[Row]) -> None:
    latest = await gauges.latest()
    for row in rows:
        row["latest_metrics"] = latest.get(row["id"])


def _seen(rows: list[Row], sight: Sight | None) -> list[Row]:
    if sight is None:
        return rows
    return [shown for row in rows if (shown := sight.worker(row)) is not None]


def _wanted(row: Row, asked: arguments.ListWorkers) -> bool:
    if asked.worker_id is not None:
        return bool(row["id"] == asked.worker_id)
    return (
        row["pid"] is not None
        and matches(asked.search, row["name"], row["description"], row["id"])
        and asked.runtime in (None, row["runtime"])
        and asked.status in (None, row["status"])
    )


async def info(survey: Survey, gauges: Gauges, data: bytes, sight: Sight | None) -> bytes:
    """One worker by name, with what it registered."""
    asked = parse(INFO, data, arguments.WorkerInfo)
    workers = await survey.gateways("workers.list")
    named = [row for row in _seen(workers, sight) if row["name"] == asked.name]
    worker = pick_namespace("Worker", asked.name, asked.namespace, named)
    await _measure(gauges, [worker])
    functions = await survey.shards("functions.list")
    types = await survey.shards("types.list")
    triggers = await survey.shards("triggers.list")
    if sight is not None:
        metadata = metadata_of(functions)
        functions = Rows(
            [row for row in functions if sight.function(*(key := (row["namespace"], row["id"])), metadata[key])],
            functions.missing,
        )
        types = Rows([row for row in types if sight.type(row)], types.missing)
        triggers = Rows(sight.triggers(triggers), triggers.missing)
    names = {worker["id"]: asked.name}
    own = worker["id"]
    body: dict[str, Any] = {
        "worker": {**worker, "internal": False},
        "functions": [function_row(row, names, oldest_formats=False) for row in functions if own in row["owners"]],
        "trigger_types": [type_row(row, names) for row in types if row["owner"] == own],
        "registered_triggers": [trigger_row(row, names) for row in triggers if row["owner"] == own],
    }
    return reply(body, workers, functions, types, triggers)
