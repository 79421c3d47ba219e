"""Keys of watches: `function:<namespace>/<id>`, `served:<namespace>/<id>` and `triggers:<type>`.

A slash in a namespace is escaped.
"""

from iii_cluster.cluster.slots import slot_of

FUNCTION = "function:"
SERVED = "served:"
TRIGGERS = "triggers:"


def function_key(namespace: str, id: str) -> str:
    """Watches the owners of a function."""
    return FUNCTION + _path(namespace, id)


def parse_function_key(key: str) -> tuple[str, str]:
    """Namespace and id."""
    return _parse(key.removeprefix(FUNCTION))


def served_key(namespace: str, id: str) -> str:
    """Watches whether a function has any owner."""
    return SERVED + _path(namespace, id)


def parse_served_key(key: str) -> tuple[str, str]:
    """Namespace and id."""
    return _parse(key.removeprefix(SERVED))


def triggers_key(type: str) -> str:
    return f"{TRIGGERS}{type}"


def slot_of_key(key: str) -> int | None:
    """The slot of a watch key, None if it is no key of this version."""
    if key.startswith(FUNCTION):
        return slot_of(parse_function_key(key)[1])
    if key.startswith(SERVED):
        return slot_of(parse_served_key(key)[1])
    if key.startswith(TRIGGERS):
        return slot_of(key.removeprefix(TRIGGERS))
    return None


def _path(namespace: str, id: str) -> str:
    return f"{namespace.replace('%', '%25').replace('/', '%2F')}/{id}"


def _parse(path: str) -> tuple[str, str]:
    namespace, _, id = path.partition("/")
    return namespace.replace("%2F", "/").replace("%25", "%"), id
