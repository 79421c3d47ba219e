"""Cron expressions of 6 or 7 fields, in UTC. Pure.

second minute hour day-of-month month day-of-week [year]
"""

import re
from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import NamedTuple

MAX_LENGTH = 1_000  # characters
FIRST_YEAR, LAST_YEAR = 1970, 2100

SHORTHANDS = {
    "@yearly": "0 0 0 1 1 *",
    "@monthly": "0 0 0 1 * *",
    "@weekly": "0 0 0 * * 1",
    "@daily": "0 0 0 * * *",
    "@hourly": "0 0 * * * *",
}

_MONTHS = (
    "january",
    "february",
    "march",
    "april",
    "may",
    "june",
    "july",
    "august",
    "september",
    "october",
    "november",
    "december",
)
_DAYS = ("sunday", "monday", "tuesday", "wednesday", "thursday", "friday", "saturday")


def _names(full: Sequence[str], **more: int) -> dict[str, int]:
    return {form: number for number, name in enumerate(full, 1) for form in (name, name[:3])} | more


class Field(NamedTuple):
    name: str
    first: int
    last: int
    names: Mapping[str, int] = MappingProxyType({})
    is_day: bool = False  # `?` stands for all values, too
    zero: bool = False  # is another name of the first value, where it stands alone


FIELDS = (
    Field("second", 0, 59),
    Field("minute", 0, 59),
    Field("hour", 0, 23),
    Field("day of month", 1, 31, is_day=True),
    Field("month", 1, 12, _names(_MONTHS)),
    Field("day of week", 1, 7, _names(_DAYS, tues=3, thurs=5), is_day=True, zero=True),  # 1 is Sunday
    Field("year", FIRST_YEAR, LAST_YEAR),
)


class BadExpression(ValueError):
    """What is wrong with an expression, in words for who wrote it."""


class Expression(NamedTuple):
    """The values each field allows, ascending. A day must fit both its fields."""

    seconds: tuple[int, ...]
    minutes: tuple[int, ...]
    hours: tuple[int, ...]
    days: tuple[int, ...]
    months: tuple[int, ...]
    weekdays: frozenset[int]  # 1 is Sunday
    years: tuple[int, ...]


def normal(text: str) -> str:
    """The same for all spellings that differ in spaces and capitals only."""
    return " ".join(text.lower().split())


def parse(text: str) -> Expression:
    """Raises BadExpression. Five fields are a six-field expression whose second is 0."""
    if len(text) > MAX_LENGTH:
        raise BadExpression(f"longer than {MAX_LENGTH} characters")
    text = normal(text)
    if text.startswith("@"):
        if text not in SHORTHANDS:
            raise BadExpression(f"{text} is none of {', '.join(SHORTHANDS)}")
        text = SHORTHANDS[text]
    fields = text.split()
    if len(fields) == 5:
        fields.insert(0, "0")
    if len(fields) not in (6, 7):
        raise BadExpression(f"{len(fields)} fields instead of 5, 6 or 7")
    if len(fields) == 6:
        fields.append("*")
    values = [_values(field, text) for field, text in zip(FIELDS, fields, strict=True)]
    seconds, minutes, hours, days, months, weekdays, years = values
    return Expression(seconds, minutes, hours, days, months, frozenset(weekdays), years)


def _values(field: Field, text: str) -> tuple[int, ...]:
    values: set[int] = set()
    for part in text.split(","):
        values.update(_part(field, part, alone=part == text))
    return tuple(sorted(values))


def _part(field: Field, text: str, *, alone: bool) -> range:
    """One element of a list: a value, a range, either with a step."""
    base, slash, step_text = text.partition("/")
    low_text, dash, high_text = base.partition("-")
    if not low_text or (slash and not step_text) or (dash and not high_text):
        raise BadExpression(f"an empty part in the {field.name}")
    step = _number(field, step_text) if slash else 1
    if step < 1:
        raise BadExpression(f"a step of 0 in the {field.name}")
    if base == "*" or (base == "?" and field.is_day and alone and not slash):
        return range(field.first, field.last + 1, step)
    low = _value(field, low_text, alone=not dash and not slash)
    high = _value(field, high_text) if dash else field.last if slash else low
    if low > high:
        raise BadExpression(f"{base} in the {field.name} ends before it begins")
    return range(low, high + 1, step)


def _value(field: Field, text: str, *, alone: bool = False) -> int:
    if text in field.names:
        return field.names[text]
    number = _number(field, text)
    if number == 0 and field.zero:
        if alone:
            return field.first
        raise BadExpression("ranges and steps of weekdays count from 1, Sunday; names are clearer")
    if not field.first <= number <= field.last:
        raise BadExpression(f"{number} in the {field.name}, which goes from {field.first} to {field.last}")
    return number


def _number(field: Field, text: str) -> int:
    if not re.fullmatch(r"[0-9]{1,9}", text):
        raise BadExpression(f"`{text}` in the {field.name}")
    return int(text)
