"""engine::functions::list and ::info."""

import msgspec

from iii_cluster.protocol import errors, messages
from iii_cluster.protocol.errors import EngineError
from iii_cluster.protocol.listing import FunctionRow, function_row

from . import arguments
from .arguments import parse
from .offered import Offered
from .survey import Row, Rows, Survey, internal, matches, pick_namespace, reply

LIST = "engine::functions::list"
INFO = "engine::functions::info"

# Most ids one batch may ask for.
_MAX_BATCH = 32


async def listing(survey: Survey, offered: Offered, data: bytes, *, oldest_formats: bool) -> bytes:
    """All functions of the cluster, sorted by id; a search ranks id prefixes, then ids, then descriptions."""
    asked = parse(LIST, data, arguments.ListFunctions)
    rows = await survey.shards("functions.list")
    names = await survey.worker_names()
    functions = [function_row(row, names, oldest_formats=oldest_formats) for row in rows]
    functions += offered.functions(oldest_formats=oldest_formats)
    chosen = [row for row in functions if _wanted(row, asked)]
    chosen.sort(key=lambda row: (_rank(row, asked.search), row.function_id, row.namespace))
    return reply({"functions": chosen}, rows)


def _wanted(row: FunctionRow, asked: arguments.ListFunctions) -> bool:
    if not asked.include_internal and (internal(row.function_id) or _marked_internal(row)):
        return False
    if asked.prefix is not None and not row.function_id.startswith(asked.prefix):
        return False
    workers = {*(asked.workers or ()), *([asked.worker] if asked.worker is not None else ())}
    if workers and row.worker_name not in workers:
        return False
    return matches(asked.search, row.function_id, row.description)


def _marked_internal(row: FunctionRow) -> bool:
    if messages.is_null(row.metadata):
        return False
    metadata = msgspec.json.decode(row.metadata)
    return isinstance(metadata, dict) and metadata.get("internal") is True


def _rank(row: FunctionRow, search: str | None) -> int:
    if search is None:
        return 0
    name, wanted = row.function_id.lower(), search.lower()
    return 0 if name.startswith(wanted) else 1 if wanted in name else 2


async def info(survey: Survey, offered: Offered, data: bytes) -> bytes:
    """One function in detail, or up to 32 in the order asked for."""
    asked = parse(INFO, data, arguments.FunctionInfo)
    if (asked.function_id is None) == (asked.function_ids is None):
        raise EngineError(errors.INVALID_ARGUMENTS, "give either function_id or function_ids")
    names = await survey.worker_names()
    if asked.function_id is not None:
        return msgspec.json.encode(await detail(survey, offered, asked.function_id, asked.namespace, names))
    ids = asked.function_ids or []
    if not 0 < len(ids) <= _MAX_BATCH:
        raise EngineError(errors.INVALID_ARGUMENTS, f"function_ids takes 1 to {_MAX_BATCH} ids, got {len(ids)}")
    details = [await _detail_or_error(survey, offered, name, asked.namespace, names) for name in ids]
    return msgspec.json.encode({"functions": details})


async def _detail_or_error(
    survey: Survey, offered: Offered, name: str, namespace: str | None, names: dict[str, str]
) -> Row:
    try:
        return await detail(survey, offered, name, namespace, names)
    except EngineError as error:
        if error.code != errors.NOT_FOUND:
            raise
        return {"function_id": name, "error": "not_found"}


async def detail(survey: Survey, offered: Offered, name: str, namespace: str | None, names: dict[str, str]) -> Row:
    row = offered.function(name, namespace)
    if row is None:
        found = pick_namespace("Function", name, namespace, await survey.owner(name, "functions.get", {"id": name}))
        row = function_row(found, names, oldest_formats=False)
    triggers: Rows = await survey.shards("triggers.of_function", {"function": name, "namespace": row.namespace})
    members = {
        "function_id": name,
        "namespace": row.namespace,
        "worker_name": row.worker_name,
        "description": row.description,
        "request_schema": row.request_format,
        "response_schema": row.response_format,
        "metadata": row.metadata,
    }
    body: Row = {
        key: value
        for key, value in members.items()
        if value is not None and not (isinstance(value, msgspec.Raw) and messages.is_null(value))
    }
    body["registered_triggers"] = [
        {"id": t["id"], "trigger_type": t["type"], "config": msgspec.Raw(t["config"])} for t in triggers
    ]
    return body
