"""What the engine and its modules offer, as listings show it."""

from collections.abc import Iterable
from typing import Any

import msgspec
from msgspec import Raw

from iii_cluster.modules.host import ModuleHost
from iii_cluster.modules.module import Function, TriggerType
from iii_cluster.protocol.builtin_types import BUILTIN_TRIGGER_TYPES
from iii_cluster.protocol.listing import FunctionRow

from .survey import Row

ENGINE = "engine"
_NULL = Raw(b"null")


class Offered:
    """`builtins` are the ids of all functions of this gateway, the modules' among them."""

    def __init__(self, host: ModuleHost, builtins: Iterable[str]) -> None:
        self._host = host
        self._builtins = builtins
        self._schemas = {id: _schema(function) for id, (_, function) in host.functions.items()}

    def functions(self, *, oldest_formats: bool) -> list[FunctionRow]:
        """All but those that are hidden; `oldest_formats`: without schemas, which the oldest clients do not take."""
        rows = [FunctionRow(id, "default", ENGINE) for id in self._builtins if id not in self._host.functions]
        for id, (module, function) in self._host.functions.items():
            if not function.hidden:
                schema = _NULL if oldest_formats else self._schemas[id]
                rows.append(FunctionRow(id, "default", module.id, function.description or None, schema))
        return rows

    def function(self, id: str, namespace: str | None) -> FunctionRow | None:
        """A module's function with the schema of its input."""
        module, function = self._host.functions.get(id, (None, None))
        if module is None or function is None or namespace not in (None, "default"):
            return None
        return FunctionRow(id, "default", module.id, function.description or None, self._schemas[id])

    def types(self) -> list[Row]:
        """In the shape of a shard's rows, with the `module` instead of an owner."""
        own: list[Row] = [_type_row(name, ENGINE, TriggerType(id=name)) for name in sorted(BUILTIN_TRIGGER_TYPES)]
        return own + [
            _type_row(name, module.id, type)
            for name, type in self._host.types.items()
            if name == type.id and (module := self._host.module_of_type(name)) is not None
        ]

    def type(self, name: str) -> Row | None:
        """By any of its names."""
        id = self._host.canonical(name)
        return next((row for row in self.types() if row["id"] == id), None)


def _type_row(id: str, module: str, type: TriggerType) -> Row:
    definition: Row = {"description": type.description}
    for key in ("trigger_request_format", "call_request_format"):
        schema = bytes(getattr(type, key))
        if schema:
            definition[key] = Raw(schema)
    body = msgspec.json.encode(definition)
    return {"id": id, "namespace": "default", "module": module, "owner": "", "definition": body, "instances": 0}


def _schema(function: Function[Any]) -> Raw:
    try:
        schema = msgspec.json.schema(function.input)
    except TypeError:  # of a type, or with a default, that has none
        return _NULL
    return Raw(msgspec.json.encode(schema)) if schema else _NULL
