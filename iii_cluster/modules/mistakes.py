"""All that keeps a config from being a Struct, each at its place; msgspec stops at the first. Pure."""

from collections.abc import Iterator, Mapping
from types import NoneType, UnionType
from typing import Annotated, Any, Union, get_args, get_origin

import msgspec
from msgspec import Struct

from iii_cluster.config.errors import did_you_mean
from iii_cluster.config.fields import choices

UNKNOWN_KEY = "unknown key"

Place = tuple[str | int, ...]


class Mistake(Struct, frozen=True):
    """`message` does not name the place."""

    place: Place
    message: str
    hint: str = ""


def path_of(place: Place) -> str:
    """`alerts[2].operator`"""
    text = "".join(f"[{step}]" if isinstance(step, int) else f".{step}" for step in place)
    return text.removeprefix(".")


def mistakes(value: Any, type_: Any, place: Place = ()) -> Iterator[Mistake]:
    """Of `value`, which is to be a `type_`: a Struct, or what a field of one may be."""
    try:
        msgspec.convert(value, type_)
    except msgspec.ValidationError as error:
        found = [*_within(value, _narrowed(value, type_), place)]
        yield from found or [_own(error, type_, place)]


def _narrowed(value: Any, type_: Any) -> Any:
    """What the value is surely meant to be, of what it may be."""
    if get_origin(type_) is Annotated:
        return _narrowed(value, get_args(type_)[0])
    if get_origin(type_) in (Union, UnionType):
        kinds = [kind for kind in get_args(type_) if kind is not NoneType]
        if len(kinds) == 1:
            return _narrowed(value, kinds[0])
        if isinstance(value, Mapping):
            return next((kind for kind in _tagged(type_) if _tag(kind) == value.get(_tag_field(kind))), type_)
    return type_


def _within(value: Any, type_: Any, place: Place) -> Iterator[Mistake]:
    origin, parts = get_origin(type_), get_args(type_)
    if _is_struct(type_) and isinstance(value, Mapping):
        yield from _of_fields(value, type_, place)
    elif origin in (list, tuple) and isinstance(value, list) and (origin is list or parts[-1] is Ellipsis):
        for index, item in enumerate(value):
            yield from mistakes(item, parts[0], (*place, index))
    elif origin in (dict, Mapping) and isinstance(value, Mapping):
        for key, item in value.items():
            yield from mistakes(item, parts[1], (*place, str(key)))
    elif isinstance(value, Mapping) and (known := _tagged(type_)):
        name = _tag_field(known[0])
        tags = [str(_tag(kind)) for kind in known]
        if name in value:
            yield Mistake((*place, name), "unknown word", "one of " + ", ".join(tags))
        else:
            yield Mistake(place, f"`{name}` is missing", "one of " + ", ".join(tags))


def _of_fields(value: Mapping[str, Any], type_: Any, place: Place) -> Iterator[Mistake]:
    fields = msgspec.structs.fields(type_)
    known = [field.encode_name for field in fields]
    if type_.__struct_config__.forbid_unknown_fields:
        for key in value:
            if key not in known and key != type_.__struct_config__.tag_field:
                yield Mistake((*place, str(key)), UNKNOWN_KEY, did_you_mean(str(key), known))
    for field in fields:
        if field.encode_name in value:
            yield from mistakes(value[field.encode_name], field.type, (*place, field.encode_name))
        elif field.required:
            yield Mistake(place, f"`{field.encode_name}` is missing")


def _own(error: msgspec.ValidationError, type_: Any, place: Place) -> Mistake:
    text = str(error).partition(" - at ")[0]
    words = _words(type_)
    return Mistake(place, text[:1].lower() + text[1:], "one of " + ", ".join(words) if words else "")


def _words(type_: Any) -> list[str]:
    """Those that are allowed, where there is a choice of words."""
    if get_origin(type_) in (Union, UnionType):
        return [word for part in get_args(type_) for word in choices(part)]
    return choices(type_)


def _is_struct(type_: Any) -> bool:
    return isinstance(type_, type) and issubclass(type_, Struct)


def _tagged(type_: Any) -> list[Any]:
    """Structs that are told from each other by a word."""
    parts = get_args(type_) if get_origin(type_) in (Union, UnionType) else ()
    return [part for part in parts if _is_struct(part) and _tag_field(part)]


def _tag(type_: Any) -> str | int | None:
    return type_.__struct_config__.tag  # type: ignore[no-any-return]


def _tag_field(type_: Any) -> str:
    return type_.__struct_config__.tag_field or ""
