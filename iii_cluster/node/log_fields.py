"""What a log line says, as fields: `action=job_dead queue=%s` and its arguments. Pure.

Names come from the template only: no value, whatever it is, can make a field.
"""

import re
from collections.abc import Sequence
from functools import lru_cache
from typing import Any

Fields = dict[str, str | int | float | bool]

_NAME = re.compile(r"(?:^| )(\w+)=")
_PLACE = re.compile(r"%(?:%|[-+ #0]*(?:\d+|\*)?(?:\.(?:\d+|\*))?[a-zA-Z])")
_WORDS = re.compile(r"\w+=\S*(?: \w+=\S*)*")
_FORGED = re.compile(r"\s\w+=")


def fields_of(template: object, args: object) -> Fields:
    """Empty where a line is no list of name=value."""
    if not isinstance(template, str) or not isinstance(args, tuple):
        return {}
    if template == "%s" and len(args) == 1 and isinstance(args[0], str) and _WORDS.fullmatch(args[0]):
        words = (word.partition("=") for word in args[0].split(" "))  # written by somebody who leaves no spaces
        return {name: value for name, _, value in words}
    fields: Fields = {}
    at = 0
    for name, text, places in _parts(template):
        fields[name] = _value(text, args[at : at + places])
        at += places
    return fields


def message_of(template: object, args: object) -> str:
    """The line as text. A value of somebody else that looks like more fields is quoted."""
    text = str(template)
    if not args:
        return text
    if isinstance(args, tuple) and isinstance(template, str) and _parts(template):
        places = [place for place in _PLACE.findall(template) if place != "%%"]
        if len(places) == len(args):
            args = tuple(_quoted(arg) if place == "%s" else arg for place, arg in zip(places, args, strict=True))
    return text % args


def _quoted(value: object) -> str:
    text = str(value)
    return repr(text) if _FORGED.search(text) else text


@lru_cache(maxsize=1024)
def _parts(template: str) -> list[tuple[str, str, int]]:
    """(name, template of the value, arguments it takes); none unless all of the line is like that."""
    found = list(_NAME.finditer(template))
    if not found or found[0].start() > 0 or "%(" in template or "*" in template:
        return []
    ends = [match.start() for match in found[1:]] + [len(template)]
    texts = [template[match.end() : end] for match, end in zip(found, ends, strict=True)]
    return [
        (match[1], text, sum(place != "%%" for place in _PLACE.findall(text)))
        for match, text in zip(found, texts, strict=True)
    ]


def _value(text: str, args: Sequence[Any]) -> str | int | float | bool:
    if len(args) == 1 and _PLACE.fullmatch(text) and isinstance(args[0], str | int | float):
        return args[0]  # as it is, without quotes or rounding
    try:
        return text % tuple(args)
    except (TypeError, ValueError):
        return text
