"""engine::functions::list and ::info."""

from typing import NoReturn

import msgspec

from gateway.access.sight import Sight, metadata_of
from iii_cluster.access.rules import denial
from iii_cluster.protocol import errors, messages
from iii_cluster.protocol.errors import EngineError
from iii_cluster.protocol.listing import FunctionRow, function_row

from . import arguments
from .arguments import parse
from .offered import Offered
from .survey import Row, Survey, internal, matches, pick_namespace, reply

LIST = "engine::functions::list"
INFO = "engine::functions::info"

# Most ids one batch may ask for.
_MAX_BATCH = 32


async def listing(survey: Survey, offered: Offered, data: bytes, sight: Sight | None, *, oldest_formats: bool) -> bytes:
    """All functions that the caller may know of, by id; a search ranks id prefixes, then ids, then descriptions."""
    asked = parse(LIST, data, arguments.ListFunctions)
    rows = await survey.shards("functions.list")
    names = await survey.worker_names()
    functions = [function_row(row, names, oldest_formats=oldest_formats) for row in rows]
    functions += offered.functions(oldest_formats=oldest_formats)
    if sight is not None:
        functions = [f for f in functions if sight.function(f.namespace, f.function_id, bytes(f.metadata))]
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


async def info(survey: Survey, offered: Offered, data: bytes, sight: Sight | None) -> bytes:
    """One function in detail, or up to 32 in the order asked for."""
    asked = parse(INFO, data, arguments.FunctionInfo)
    if (asked.function_id is None) == (asked.function_ids is None):
        raise EngineError(errors.INVALID_ARGUMENTS, "give either function_id or function_ids")
    names = await survey.worker_names()
    if asked.function_id is not None:
        return msgspec.json.encode(await detail(survey, offered, asked.function_id, asked.namespace, names, sight))
    ids = asked.function_ids or []
    if not 0 < len(ids) <= _MAX_BATCH:
        raise EngineError(errors.INVALID_ARGUMENTS, f"function_ids takes 1 to {_MAX_BATCH} ids, got {len(ids)}")
    details = [await _detail_or_error(survey, offered, name, asked.namespace, names, sight) for name in ids]
    return msgspec.json.encode({"functions": details})


async def _detail_or_error(
    survey: Survey, offered: Offered, name: str, namespace: str | None, names: dict[str, str], sight: Sight | None
) -> Row:
    try:
        return await detail(survey, offered, name, namespace, names, sight)
    except EngineError as error:
        if error.code not in _TOLD:
            raise
        return {"function_id": name, "error": _TOLD[error.code]}


_TOLD = {errors.NOT_FOUND: "not_found", errors.FORBIDDEN: "forbidden"}


async def _rows(survey: Survey, name: str, namespace: str | None, sight: Sight | None) -> list[Row]:
    """Of all namespaces, as far as the caller may call them; raises EngineError(FORBIDDEN)."""
    rows = await survey.owner(name, "functions.get", {"id": name})
    if sight is None:
        return rows
    metadata = metadata_of(rows)
    seen = [row for row in rows if sight.function(row["namespace"], name, metadata[row["namespace"], name])]
    if not seen and not sight.function(namespace or "default", name):
        _forbid(name, namespace, sight)
    return seen


def _forbid(name: str, namespace: str | None, sight: Sight) -> NoReturn:
    raise EngineError(errors.FORBIDDEN, denial(name, sight.verdict(namespace or "default", name)))


async def detail(
    survey: Survey,
    offered: Offered,
    name: str,
    namespace: str | None,
    names: dict[str, str],
    sight: Sight | None,
) -> Row:
    row = offered.function(name, namespace)
    if row is None:
        found = pick_namespace("Function", name, namespace, await _rows(survey, name, namespace, sight))
        row = function_row(found, names, oldest_formats=False)
    elif sight is not None and not sight.function("default", name):
        _forbid(name, "default", sight)
    triggers: list[Row] = await survey.shards("triggers.of_function", {"function": name, "namespace": row.namespace})
    if sight is not None:
        triggers = sight.known(triggers)
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
