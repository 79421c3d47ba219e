"""Trigger types and trigger instances: engine::triggers::*, ::registered-triggers::*, ::trigger-types::list."""

import msgspec

from gateway.access.sight import Sight
from iii_cluster.protocol import errors
from iii_cluster.protocol.errors import EngineError
from iii_cluster.protocol.listing import first_segment

from . import arguments, functions
from .arguments import parse
from .offered import Offered
from .survey import Row, Rows, Survey, internal, matches, pick_namespace, reply

TYPES_LIST = "engine::triggers::list"
TYPES_INFO = "engine::triggers::info"
OLD_TYPES_LIST = "engine::trigger-types::list"
LIST = "engine::registered-triggers::list"
INFO = "engine::registered-triggers::info"

# Longest config summary, characters.
_SUMMARY = 80


def type_row(row: Row, names: dict[str, str]) -> Row:
    definition = _definition(row)
    return {
        "id": row["id"],
        "namespace": row["namespace"],
        "worker_name": row.get("module") or names.get(row["owner"], first_segment(row["id"])),
        "description": definition.get("description", ""),
    }


def trigger_row(row: Row, names: dict[str, str]) -> Row:
    config = row["config"].decode()
    summary = config if len(config) <= _SUMMARY else config[:_SUMMARY] + "…"
    listed: Row = {
        "id": row["id"],
        "trigger_type": row["type"],
        "function_id": row["function"],
        "worker_name": names.get(row["owner"], first_segment(row["function"])),
        "config": msgspec.Raw(row["config"]),
        "config_summary": summary,
        "state": row["state"],
    }
    if row["metadata"]:
        listed["metadata"] = msgspec.Raw(row["metadata"])
    return listed


def _definition(row: Row) -> Row:
    definition: Row = msgspec.json.decode(row["definition"]) if row["definition"] else {}
    return definition


async def _all_types(survey: Survey, offered: Offered, sight: Sight | None) -> Rows:
    rows = await survey.shards("types.list")
    types = [row for row in (*rows, *offered.types()) if sight is None or sight.type(row)]
    return Rows(types, rows.missing)


async def _all_triggers(survey: Survey, sight: Sight | None) -> Rows:
    rows = await survey.shards("triggers.list")
    return rows if sight is None else Rows(sight.triggers(rows), rows.missing)


async def types_listing(survey: Survey, offered: Offered, data: bytes, sight: Sight | None) -> bytes:
    """All trigger types (what newer clients mean by triggers)."""
    asked = parse(TYPES_LIST, data, arguments.ListTypes)
    types = await _all_types(survey, offered, sight)
    names = await survey.worker_names()
    rows = [type_row(row, names) for row in types if asked.include_internal or not internal(row["id"])]
    chosen = [
        row
        for row in rows
        if (asked.prefix is None or row["id"].startswith(asked.prefix))
        and asked.worker in (None, row["worker_name"])
        and matches(asked.search, row["id"], row["description"])
    ]
    chosen.sort(key=lambda row: (row["id"], row["namespace"]))
    return reply({"triggers": chosen}, types)


async def old_types_listing(survey: Survey, offered: Offered, data: bytes, sight: Sight | None) -> bytes:
    """Trigger types with their schemas, in the shape of the clients that had this function."""
    asked = parse(OLD_TYPES_LIST, data, arguments.ListTypes)
    types = await _all_types(survey, offered, sight)
    rows = []
    for row in types:
        if asked.include_internal or not internal(row["id"]):
            definition = _definition(row)
            schemas = {key: definition[key] for key in _SCHEMAS if key in definition}
            rows.append({"id": row["id"], "description": definition.get("description", ""), **schemas})
    return reply({"trigger_types": sorted(rows, key=lambda row: str(row["id"]))}, types)


_SCHEMAS = ("trigger_request_format", "call_request_format")


async def type_info(survey: Survey, offered: Offered, data: bytes, sight: Sight | None) -> bytes:
    asked = parse(TYPES_INFO, data, arguments.TypeInfo)
    return msgspec.json.encode(await _type_detail(survey, offered, asked.id, asked.namespace, sight))


async def _type_detail(survey: Survey, offered: Offered, name: str, namespace: str | None, sight: Sight | None) -> Row:
    own = offered.type(name)
    rows = [own] if own is not None else await survey.owner(name, "types.get", {"id": name})
    rows = [row for row in rows if sight is None or sight.type(row)]
    found = pick_namespace("Trigger type", name, namespace, rows)
    definition = _definition(found)
    detail = type_row(found, await survey.worker_names())
    schemas = {
        "configuration_schema": definition.get("trigger_request_format"),
        "request_schema": definition.get("call_request_format"),
    }
    detail |= {key: value for key, value in schemas.items() if value is not None}
    listed = own is not None or sight is not None
    detail["instance_count"] = await _instances(survey, found["id"], sight) if listed else found["instances"]
    return detail


async def _instances(survey: Survey, type: str, sight: Sight | None) -> int:
    """Of a type that no worker provides, or as far as they may be seen."""
    return sum(row["type"] == type and row["state"] == "live" for row in await _all_triggers(survey, sight))


async def old_listing(survey: Survey, data: bytes, sight: Sight | None) -> bytes:
    """Trigger instances under the name that newer clients use for types."""
    asked = parse(TYPES_LIST, data, arguments.ListTypes)
    triggers = await _all_triggers(survey, sight)
    rows = [
        {
            "id": row["id"],
            "trigger_type": row["type"],
            "function_id": row["function"],
            "config": msgspec.Raw(row["config"]),
            "metadata": msgspec.Raw(row["metadata"] or b"null"),
        }
        for row in triggers
        if asked.include_internal or not internal(row["function"])
    ]
    return reply({"triggers": sorted(rows, key=lambda row: str(row["id"]))}, triggers)


async def listing(survey: Survey, data: bytes, sight: Sight | None) -> bytes:
    """All trigger instances."""
    asked = parse(LIST, data, arguments.ListTriggers)
    triggers = await _all_triggers(survey, sight)
    names = await survey.worker_names()
    chosen = [
        row
        for row in (trigger_row(row, names) for row in triggers)
        if (asked.include_internal or not internal(row["function_id"]))
        and asked.trigger_type in (None, row["trigger_type"])
        and asked.function_id in (None, row["function_id"])
        and asked.worker in (None, row["worker_name"])
        and matches(asked.search, row["id"], row["trigger_type"], row["function_id"])
    ]
    chosen.sort(key=lambda row: (row["trigger_type"], row["id"]))
    return reply({"registered_triggers": chosen}, triggers)


async def _trigger(survey: Survey, name: str, sight: Sight | None) -> list[Row]:
    """By id; by the caller's own before that of others."""
    for id in (name,) if sight is None else (sight.meant(name), name):
        rows = await survey.owner(id, "triggers.get", {"id": id})
        rows = rows if sight is None else sight.triggers(rows)
        if rows:
            return rows
    return []


async def info(survey: Survey, offered: Offered, data: bytes, sight: Sight | None) -> bytes:
    """One trigger instance, with its type and its function; null where that does not exist."""
    asked = parse(INFO, data, arguments.TriggerInfo)
    rows = await _trigger(survey, asked.id, sight)
    if not rows:
        raise EngineError(errors.NOT_FOUND, f"Trigger {asked.id} not found")
    row = rows[0]
    names = await survey.worker_names()
    detail = trigger_row(row, names)
    del detail["config_summary"], detail["state"]
    try:
        detail["trigger"] = await _type_detail(survey, offered, row["type"], None, sight)
    except EngineError:
        detail["trigger"] = None
    try:
        detail["function"] = await functions.detail(survey, offered, row["function"], row["namespace"], names, sight)
    except EngineError:
        detail["function"] = None
    return msgspec.json.encode(detail)
