"""Where a module keeps its data: adapters by name, by a reference engine's class, or of a user's own package."""

from typing import Any

import msgspec
from msgspec import Struct, field

from .imports import BadConfig, convert, imported
from .module import Module

# Last part of the class names that files of the oldest generation use.
CLASSES = {
    "KvStore": "kv",
    "KvCronAdapter": "kv",
    "RedisAdapter": "redis",
    "RedisCronAdapter": "redis",
    "Bridge": "bridge",
    "BuiltinQueueAdapter": "builtin",
    "RabbitMQAdapter": "rabbitmq",
    "LocalAdapter": "local",
}

UNSUPPORTED = {"bridge": "data is not kept in another engine"}  # of the reference engine


class AdapterChoice(Struct, frozen=True, forbid_unknown_fields=True):
    """`adapter:` of a module: `name` is "redis" or "package.module:Class"."""

    name: str | None = None
    class_: str | None = field(default=None, name="class")
    config: dict[str, Any] | None = None


def load_adapter(module: type[Module], choice: AdapterChoice | None) -> tuple[type[Any], Any]:
    """The adapter's class and its config, validated. Raises BadConfig."""
    choice = choice or AdapterChoice()
    if choice.name is not None and choice.class_ is not None:
        raise BadConfig("an adapter has either a `name` or a `class`", "adapter")
    name = choice.name
    if choice.class_ is not None:
        name = CLASSES.get(choice.class_.rpartition("::")[2], choice.class_)
    name = name or module.default_adapter
    path = module.adapters.get(name, name if ":" in name and "::" not in name else "")
    if name in UNSUPPORTED:
        raise BadConfig(f"the adapter `{name}` is not supported: {UNSUPPORTED[name]}", "adapter")
    if not path:
        known = ", ".join(sorted(module.adapters))
        raise BadConfig(f"unknown adapter `{name}`", "adapter", hint=f"one of {known}, or package.module:Class")
    adapter = imported(path)
    config_type = getattr(adapter, "Config", None)
    if not (isinstance(adapter, type) and isinstance(config_type, type) and issubclass(config_type, msgspec.Struct)):
        raise BadConfig(f"{path} is no adapter: it has no Config", "adapter")
    return adapter, convert(choice.config or {}, config_type, "adapter", "config")
