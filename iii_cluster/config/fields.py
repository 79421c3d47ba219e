"""The values that add up to Settings and Topology: their keys, variables, types and how a raw value becomes one."""

import math
from typing import Any
from urllib.parse import urlsplit

import msgspec
from msgspec import Struct

from .settings import Settings, Topology

SECRETS = frozenset({"tokens", "console_tokens"})
REDIS_SCHEMES = ("redis", "rediss", "unix")


class Field(Struct, frozen=True):
    """`name` is the attribute, `key` the word in the `cluster:` section, `variable` the environment's."""

    name: str
    key: str
    variable: str
    type: Any
    is_number: bool

    @property
    def flag(self) -> str:
        """ "" where other users of the machine would read a secret."""
        if self.name in SECRETS:
            return ""
        return "--redis-url" if self.name == "redis_urls" else "--" + self.name.replace("_", "-")


def _field(info: msgspec.structs.FieldInfo) -> Field:
    key = "name" if info.name == "cluster" else info.name
    variable = {"redis_urls": "REDIS_URL"}.get(info.name, info.name.upper())
    kinds = msgspec.inspect.type_info(info.type)
    is_number = isinstance(kinds, msgspec.inspect.IntType | msgspec.inspect.FloatType)
    return Field(info.name, key, f"III_CLUSTER_{variable}", info.type, is_number)


# These have a part of the file of their own; in the environment, from a parent to its children, they are JSON.
DOCUMENTS: dict[str, str] = {"modules": "III_CLUSTER_MODULES", "listeners": "III_CLUSTER_LISTENERS"}
# What clients call the token they show.
TOKEN_VARIABLE = "III_TOKEN"

FIELDS: dict[str, Field] = {
    info.name: _field(info)
    for struct in (Settings, Topology)
    for info in msgspec.structs.fields(struct)
    if info.name not in DOCUMENTS
}
SETTINGS = tuple(name for name in Settings.__struct_fields__ if name in FIELDS)
FLAGS = tuple(name for name in SETTINGS if FIELDS[name].flag)
KEYS: dict[str, Field] = {field.key: field for field in FIELDS.values()}


class BadValue(ValueError):
    """A value that does not fit its field; the text never quotes what could be a secret."""

    def __init__(self, message: str, hint: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint


def convert(field: Field, value: object, *, text: bool = False) -> object:
    """The value with the field's type. `text` allows numbers written as text, as in the environment."""
    if field.name == "redis_urls":
        return _redis_urls(value)
    if field.name in SECRETS:
        return _tokens(value)
    if isinstance(value, bool) and "off" in choices(field.type):
        return _switch(field, value)
    return convert_plain(field.type, value, text=text)


def convert_plain(type_: Any, value: object, *, text: bool = False) -> Any:
    """`value` as `type_`. Raises BadValue in msgspec's words, with a hint for the usual slip of the pen."""
    try:
        result = msgspec.convert(value, type_, strict=not text)
    except msgspec.ValidationError as error:
        raise BadValue(_lower_first(str(error).partition(" - at ")[0]), _hint(type_, value)) from None
    if isinstance(result, float) and not math.isfinite(result):
        raise BadValue("expected a finite number")
    return result


def _redis_urls(value: object) -> tuple[str, ...]:
    given = [value] if isinstance(value, str) else value
    if not isinstance(given, list | tuple) or not all(isinstance(url, str) for url in given):
        raise BadValue("expected a Redis URL or a list of them")
    urls = tuple(part.strip() for url in given for part in url.split(",") if part.strip())
    for position, url in enumerate(urls, 1):
        which = f"Redis URL {position}" if len(urls) > 1 else "the Redis URL"
        scheme, _, rest = url.partition("://")
        if scheme not in REDIS_SCHEMES or not rest:
            raise BadValue(f"{which} must start with redis://, rediss:// or unix://")
        if not _has_valid_port(url):
            raise BadValue(f"{which} has no valid host and port", "write special characters of a password as %XX")
    return urls


def _tokens(value: object) -> tuple[str, ...]:
    given = value.split(",") if isinstance(value, str) else value
    if not isinstance(given, list | tuple) or not all(isinstance(token, str) for token in given):
        raise BadValue("expected a token or a list of them, as text")
    tokens = tuple(token.strip() for token in given)
    if not all(tokens) or any("," in token for token in tokens):
        raise BadValue("a token must not be empty, nor contain a comma")
    return tokens


def _switch(field: Field, value: bool) -> str:
    """YAML reads `off` and `on` without quotes as false and true."""
    words = choices(field.type)
    if value and "on" not in words:
        raise BadValue(f"expected one of {len(words)} words, got `bool`", f"one of {', '.join(words)}")
    return "on" if value else "off"


def _has_valid_port(url: str) -> bool:
    try:
        return urlsplit(url).port != 0
    except ValueError:
        return False


def _hint(type_: Any, value: object) -> str:
    words = choices(type_)
    if words:
        return "one of " + ", ".join(words)
    if not isinstance(value, str):
        return ""
    try:
        msgspec.convert(value, type_, strict=False)
    except msgspec.ValidationError:
        return ""
    return "write the number without quotes"


def choices(type_: Any) -> list[str]:
    """The words a type allows; none when it is not a choice of words."""
    info = msgspec.inspect.type_info(type_)
    if isinstance(info, msgspec.inspect.EnumType):
        return [str(member.value) for member in info.cls]
    if isinstance(info, msgspec.inspect.LiteralType):
        return [str(value) for value in info.values]
    return []


def _lower_first(text: str) -> str:
    return text[:1].lower() + text[1:]
