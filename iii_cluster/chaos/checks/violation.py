"""Something that must not be."""

from msgspec import Struct


class Violation(Struct, frozen=True, kw_only=True):
    """`check` names the rule, `at` is when it was broken (s after the start), `text` says what happened."""

    check: str
    at: float
    text: str
    faults: list[str] = []  # under way or just over
