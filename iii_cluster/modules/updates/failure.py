"""Why one operation was skipped."""

from collections.abc import Sequence


class Failed(Exception):
    """`what` is the error's code without the operation in front."""

    def __init__(self, what: str, message: str) -> None:
        super().__init__(message)
        self.what = what
        self.message = message


def shown(segments: Sequence[str]) -> str:
    """A path for people: root, 'name' or [a, b]."""
    if not segments:
        return "root"
    if len(segments) == 1:
        return f"'{segments[0]}'"
    return f"[{', '.join(segments)}]"


def kind_of(value: object) -> str:
    """What JSON calls it."""
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "a boolean"
    if isinstance(value, int | float):
        return "a number"
    if isinstance(value, str):
        return "a string"
    return "an array" if isinstance(value, list) else "an object"
