"""Keys of watches: `function:<namespace>/<id>` and `triggers:<type>`. A slash in a namespace is escaped."""

from iii_cluster.cluster.slots import slot_of

FUNCTION = "function:"
TRIGGERS = "triggers:"


def function_key(namespace: str, id: str) -> str:
    return f"{FUNCTION}{namespace.replace('%', '%25').replace('/', '%2F')}/{id}"


def parse_function_key(key: str) -> tuple[str, str]:
    """Namespace and id."""
    namespace, _, id = key.removeprefix(FUNCTION).partition("/")
    return namespace.replace("%2F", "/").replace("%25", "%"), id


def triggers_key(type: str) -> str:
    return f"{TRIGGERS}{type}"


def slot_of_key(key: str) -> int | None:
    """The slot of a watch key, None if it is no key of this version."""
    if key.startswith(FUNCTION):
        return slot_of(parse_function_key(key)[1])
    if key.startswith(TRIGGERS):
        return slot_of(key.removeprefix(TRIGGERS))
    return None
