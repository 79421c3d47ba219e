"""Answers to what other nodes ask: rows of the slots this shard owns, as msgpack-able values."""

from typing import Any

from .core import ShardCore
from .functions import Function
from .services import service_of
from .trigger_types import Binding, TriggerType
from .triggers import StoredTrigger

Row = dict[str, Any]


class Questions:
    """Plain lookups. Listings are asked slot by slot, so that a long one can be answered in pieces."""

    def __init__(self, core: ShardCore) -> None:
        self._core = core

    # -- by slot

    def functions(self, slot: int) -> list[Row]:
        return [self._function(function) for function in self._core.functions.in_slot(slot)]

    def types(self, slot: int) -> list[Row]:
        return [row for type in self._core.bindings.types_in_slot(slot) for row in _type_rows(type)]

    def triggers(self, slot: int) -> list[Row]:
        return [_binding(binding) for binding in self._core.bindings.in_slot(slot)]

    def services(self, slot: int) -> list[Row]:
        """Announced services, and those named by function ids with the number of functions in this slot."""
        rows: dict[tuple[str, str], Row] = {}

        def row(namespace: str, id: str) -> Row:
            fresh = {"id": id, "namespace": namespace, "owners": [], "definition": b"", "functions": 0}
            return rows.setdefault((namespace, id), fresh)

        for service in self._core.services.in_slot(slot):
            announced = row(service.namespace, service.id)
            announced["owners"].append(service.owner.worker)
            announced["definition"] = service.definition
        for function in self._core.functions.in_slot(slot):
            if service_of(function.id):
                row(function.namespace, service_of(function.id))["functions"] += 1
        return list(rows.values())

    # -- by id

    def function(self, id: str) -> list[Row]:
        return [self._function(function) for function in self._core.functions.named(id)]

    def type(self, id: str) -> list[Row]:
        type = self._core.bindings.find_type(id)
        return [] if type is None else _type_rows(type)

    def trigger(self, id: str) -> list[Row]:
        stored = self._core.triggers.find(id)
        return [] if stored is None else [_trigger(stored, "")]

    # -- across slots

    def triggers_of_function(self, namespace: str, function: str) -> list[Row]:
        bindings = self._core.bindings.of_function(namespace, function)
        return [_binding(binding) for binding in bindings if self._core.slots.owns(binding.slot)]

    def digest(self) -> Row:
        slots = self._core.slots
        count, digest = self._core.functions.digest(slots.owned())
        return {"count": count, "digest": digest, "filling": slots.filling() > 0}

    def _function(self, function: Function) -> Row:
        serving = self._core.functions.serving(function)
        return {
            "id": function.id,
            "namespace": function.namespace,
            "owners": [registration.owner.worker for registration in serving],
            "definition": max(serving, key=lambda registration: registration.stamp).definition,
        }


def _type_rows(type: TriggerType) -> list[Row]:
    return [
        {
            "id": type.id,
            "namespace": providers.namespace,
            "owner": providers.current.owner.worker,
            "definition": providers.current.definition,
            "instances": len(providers.live),
        }
        for providers in type.providers.values()
        if providers.current is not None
    ]


def _binding(binding: Binding) -> Row:
    return _trigger(binding, binding.state.value)


def _trigger(record: StoredTrigger | Binding, state: str) -> Row:
    """The owner of a durable trigger is "". Its state is known to the owner of the type's slot alone, "" elsewhere."""
    trigger = record.trigger
    return {
        "id": trigger.id,
        "type": trigger.type,
        "function": trigger.function,
        "namespace": trigger.namespace,
        "config": trigger.config,
        "metadata": trigger.metadata,
        "owner": record.owner.worker,
        "state": state,
    }
