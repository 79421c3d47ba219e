"""Classes and configuration that a file names: found and checked, or told what is wrong with them."""

import importlib
import re
from collections.abc import Sequence
from typing import Any

import msgspec

from iii_cluster.config.errors import did_you_mean
from iii_cluster.config.fields import choices

_UNKNOWN = re.compile(r"Object contains unknown field `(.*)`")
IMPORT_PATH = re.compile(r"[A-Za-z_][\w.]*:[A-Za-z_]\w*")  # "package.module:Class"


class BadConfig(ValueError):
    """`place` are the keys that lead to what is wrong in the module's config; `others` is what else is wrong."""

    def __init__(self, message: str, *place: str, hint: str = "") -> None:
        super().__init__(message + (f" ({hint})" if hint else ""))
        self.message = message
        self.place = place
        self.hint = hint
        self.others: Sequence[BadConfig] = ()


def is_import_path(name: str) -> bool:
    return IMPORT_PATH.fullmatch(name) is not None


def imported(path: str) -> Any:
    """What "package.module:Class" names."""
    if not is_import_path(path):
        raise BadConfig(f"`{path}` is not of the form package.module:Class")
    module, _, name = path.partition(":")
    try:
        return getattr(importlib.import_module(module), name)
    except ModuleNotFoundError as error:
        raise BadConfig(f"{path} cannot be imported: there is no module {error.name}") from None
    except AttributeError:
        raise BadConfig(f"{path} cannot be imported: {module} has no {name}") from None
    except Exception as error:  # whatever somebody else's module raises
        raise BadConfig(f"{path} cannot be imported: {type(error).__name__}: {error}") from error


def convert(config: dict[str, Any], type_: Any, *place: str) -> Any:
    """The config as `type_`, a msgspec Struct. `place` is where in the module's config it was found."""
    known = [field.encode_name for field in msgspec.structs.fields(type_)]
    for name in config:
        if name not in known and type_.__struct_config__.forbid_unknown_fields:
            path = ".".join((*place, name))
            raise BadConfig(f"unknown key `{path}`", *place, name, hint=did_you_mean(name, known))
    try:
        return msgspec.convert(config, type_)
    except msgspec.ValidationError as error:
        text, _, at = str(error).partition(" - at ")
        inner = _keys(at.strip("`"))
        unknown = _UNKNOWN.fullmatch(text)
        if unknown is not None:
            inner.append(unknown[1])
            text = "unknown key"
        path = ".".join((*place, *inner))
        message = text[:1].lower() + text[1:]
        message = f"{message} `{path}`" if unknown is not None else f"`{path}`: {message}" if path else message
        words = _choices(type_, inner)
        raise BadConfig(message, *place, *inner, hint="one of " + ", ".join(words) if words else "") from None


def _choices(type_: Any, place: Sequence[str]) -> list[str]:
    """The words that a Struct allows at a place; none where it is no choice of words."""
    for key in place:
        fields = msgspec.structs.fields(type_) if isinstance(type_, type) and issubclass(type_, msgspec.Struct) else ()
        type_ = next((field.type for field in fields if field.encode_name == key), None)
    return choices(type_)


def _keys(path: str) -> list[str]:
    """`$.queue_configs[...].type` as far as it names keys."""
    return [key for key in path.partition("[")[0].split(".")[1:] if key]
