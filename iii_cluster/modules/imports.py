"""Classes and configuration that a file names: found and checked, or told what is wrong with them."""

import importlib
import re
from collections.abc import Sequence
from typing import Any

import msgspec

from .mistakes import UNKNOWN_KEY, Mistake, mistakes, path_of

IMPORT_PATH = re.compile(r"[A-Za-z_][\w.]*:[A-Za-z_]\w*")  # "package.module:Class"


class BadConfig(ValueError):
    """`place`: keys and indexes that lead to what is wrong in the module's config. `others`: what else is wrong."""

    def __init__(self, message: str, *place: str | int, hint: str = "") -> None:
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


def convert(config: dict[str, Any], type_: Any, *place: str | int) -> Any:
    """The config as `type_`, a msgspec Struct. `place` is where in the module's config it was found.

    Raises BadConfig for all that is wrong.
    """
    try:
        return msgspec.convert(config, type_)
    except msgspec.ValidationError:
        raise together([_bad(mistake) for mistake in mistakes(config, type_, place)]) from None


def together(errors: Sequence[BadConfig]) -> BadConfig:
    """The first, with all others; there is at least one."""
    first, *others = [each for error in errors for each in (error, *error.others)]
    first.others = others
    return first


def _bad(mistake: Mistake) -> BadConfig:
    path = path_of(mistake.place)
    message = f"`{path}`: {mistake.message}" if path else mistake.message
    if mistake.message == UNKNOWN_KEY:
        message = f"{UNKNOWN_KEY} `{path}`"
    return BadConfig(message, *mistake.place, hint=mistake.hint)
