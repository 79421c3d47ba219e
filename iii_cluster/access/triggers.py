"""Triggers of workers under rules: ids of their own, and every function that one could have called. Pure."""

from typing import Any

import msgspec

# Members of a trigger's config that name functions, for all types.
_ONE = "function_id"
_SEVERAL = "function_ids"
_OLD_CONDITION = "_condition_path"

_MARK = "realm:"


def scoped(realm: str, id: str) -> str:
    """The id of a trigger as the cluster knows it: ids of one realm can neither replace nor remove another's."""
    return f"{_MARK}{realm}/{id}" if realm else id


def unscoped(realm: str, id: str) -> str:
    """The id as workers of the realm know it; others' as they are."""
    return id.removeprefix(f"{_MARK}{realm}/") if realm else id


def under_rules(id: str) -> bool:
    """Whether it may be the id of a trigger of some realm."""
    return id.startswith(_MARK)


def named_functions(config: bytes) -> list[str]:
    """Functions that a trigger's config names: conditions, middleware. Raises DecodeError."""
    decoded: Any = msgspec.json.decode(config) if config else None
    if not isinstance(decoded, dict):
        return []
    found: list[str] = []
    for key, value in decoded.items():
        if key.endswith(_ONE) or key == _OLD_CONDITION:
            found += [value] if isinstance(value, str) else []
        elif key.endswith(_SEVERAL) and isinstance(value, list):
            found += [one for one in value if isinstance(one, str)]
    return [function for function in found if function]
