"""Classes and configuration that a file names: found and checked, or told what is wrong with them."""

import importlib
import re
from typing import Any

import msgspec

from iii_cluster.config.errors import did_you_mean

IMPORT_PATH = re.compile(r"[A-Za-z_][\w.]*:[A-Za-z_]\w*")  # "package.module:Class"


class BadConfig(ValueError):
    """`key` is the key of the module's config that is wrong, "" for the whole of it."""

    def __init__(self, message: str, key: str = "", hint: str = "") -> None:
        super().__init__(message + (f" ({hint})" if hint else ""))
        self.message = message
        self.key = key
        self.hint = hint


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


def convert(config: dict[str, Any], type_: Any, key: str = "") -> Any:
    """The config as `type_`, a msgspec Struct. `key` is where the config itself was found."""
    known = [field.encode_name for field in msgspec.structs.fields(type_)]
    for name in config:
        if name not in known and type_.__struct_config__.forbid_unknown_fields:
            raise BadConfig(f"unknown key `{name}`", key or name, did_you_mean(name, known))
    try:
        return msgspec.convert(config, type_)
    except msgspec.ValidationError as error:
        text, _, path = str(error).partition(" - at ")
        where = path.strip("`").removeprefix("$.")
        first = re.split(r"[.\[]", where)[0]
        message = f"`{where}`: {text[:1].lower()}{text[1:]}" if where else text[:1].lower() + text[1:]
        raise BadConfig(message, key or first) from None
