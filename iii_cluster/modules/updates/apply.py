"""Operations applied to a value, in order; one that fails is skipped and told of. Pure."""

from collections.abc import Sequence
from typing import Any, Final

from .checks import check
from .failure import Failed, kind_of, shown
from .numbers import plus
from .ops import Append, Decrement, Increment, Merge, Op, OpError, Set

DOC_URL = "docs/modules/state.md#errors-of-operations"  # explains the codes


class Missing:
    """The value of a key that is not there."""


MISSING: Final = Missing()


class _Document:
    """`absent`: nothing was stored, and no operation has succeeded yet; it counts as an empty object."""

    __slots__ = ("absent", "root")

    def __init__(self, value: Any) -> None:
        self.absent = isinstance(value, Missing)
        self.root = {} if self.absent else value


def apply(value: Any, ops: Sequence[Op]) -> tuple[Any, list[OpError]]:
    """The new value, and the errors of skipped operations. `value` is MISSING or JSON as Python has it; it is used up,
    `ops` are not. A missing value becomes {} even if every operation fails.
    """
    document = _Document(value)
    errors: list[OpError] = []
    for index, op in enumerate(ops):
        try:
            _apply(document, op, check(op))
            document.absent = False
        except Failed as failed:
            name = type(op).__struct_config__.tag
            errors.append(OpError(index, f"{name}.{failed.what}", failed.message, DOC_URL))
    return document.root, errors


def _apply(document: _Document, op: Op, segments: list[str]) -> None:
    if isinstance(op, Set):
        _set(document, segments, op.value)
    elif isinstance(op, Merge):
        _merge(document, segments, op.value)
    elif isinstance(op, Increment):
        _add(document, segments, op.by)
    elif isinstance(op, Decrement):
        _add(document, segments, -op.by)
    elif isinstance(op, Append):
        _append(document, segments, op.value)
    else:
        _remove(document, segments)


def _set(document: _Document, segments: list[str], value: Any) -> None:
    if not segments:
        document.root = _copy(value)
    else:
        _object(document, segments)[segments[0]] = _copy(value)


def _remove(document: _Document, segments: list[str]) -> None:
    if not segments:
        document.root = None
    else:
        _object(document, segments).pop(segments[0], None)


def _add(document: _Document, segments: list[str], by: int | float) -> None:
    where = shown(segments)
    if not segments:
        document.root = plus(0 if document.absent else document.root, by, where)
    else:
        target = _object(document, segments)
        target[segments[0]] = plus(target.get(segments[0], 0), by, where)


def _merge(document: _Document, segments: list[str], value: dict[str, Any]) -> None:
    if segments:
        _node(document, segments).update(_copy(value))
    elif isinstance(document.root, dict):
        document.root.update(_copy(value))
    # A root that is no object stays as it is, without an error.


def _append(document: _Document, segments: list[str], value: Any) -> None:
    if not segments:
        document.root = _appended(None if document.absent else document.root, value, segments)
        return
    target = _object(document, segments)
    leaf = segments[-1]
    if len(segments) == 1:
        target[leaf] = _appended(target.get(leaf), value, segments)
        return
    node = _find(target, segments[:-1])
    if node is not None and leaf in node:
        node[leaf] = _appended(node[leaf], value, segments)
    else:
        _node(document, segments[:-1])[leaf] = [_copy(value)]  # deeper down, even a string begins an array


def _appended(current: Any, value: Any, segments: list[str]) -> Any:
    if current is None:
        return value if isinstance(value, str) else [_copy(value)]
    if isinstance(current, list):
        current.append(_copy(value))
        return current
    if isinstance(current, str) and isinstance(value, str):
        return current + value
    message = f"{kind_of(value)} cannot be appended to {kind_of(current)} at path {shown(segments)}"
    raise Failed("type_mismatch", message)


def _object(document: _Document, segments: list[str]) -> dict[str, Any]:
    if isinstance(document.root, dict):
        return document.root
    message = f"path {shown(segments)} cannot be reached: the value is {kind_of(document.root)}, not an object"
    raise Failed("target_not_object", message)


def _find(node: Any, segments: list[str]) -> dict[str, Any] | None:
    """The object at a path, if there is one."""
    for segment in segments:
        node = node.get(segment)
        if not isinstance(node, dict):
            return None
    found: dict[str, Any] = node
    return found


def _node(document: _Document, segments: list[str]) -> dict[str, Any]:
    """The object at a path; whatever is in the way gives place to an empty one."""
    if not isinstance(document.root, dict):
        document.root = {}
    node: dict[str, Any] = document.root
    for segment in segments:
        child = node.get(segment)
        if not isinstance(child, dict):
            child = node[segment] = {}
        node = child
    return node


def _copy(value: Any) -> Any:
    """A later operation may change what an earlier one has put there, and all of them may be applied again."""
    if isinstance(value, dict):
        return {name: _copy(child) for name, child in value.items()}
    return [_copy(child) for child in value] if isinstance(value, list) else value
