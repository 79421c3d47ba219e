"""Adapter names of existing configuration files that mean nothing here: whichever is named, the cluster does it."""

from msgspec import Struct

from .adapters import AdapterChoice, load_adapter
from .imports import BadConfig
from .module import Module, NoConfig


class Cluster:
    """What is used when no adapter is named."""

    Config: type[Struct] = NoConfig


class RedisConfig(Struct, frozen=True, forbid_unknown_fields=True):
    redis_url: str = ""


class Redis(Cluster):
    """A Redis of the module's own."""

    Config = RedisConfig


def load_named(module: type[Module], choice: AdapterChoice | None) -> type[Cluster]:
    """The adapter that was named, for the log. Raises BadConfig, also for one of another package."""
    named, _ = load_adapter(module, choice)
    if not issubclass(named, Cluster):
        raise BadConfig(f"{module.name.lower()} takes no adapters of other packages", "adapter")
    return named
