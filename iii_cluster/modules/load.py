"""The modules of a process, made from what the configuration says of them."""

from collections.abc import Sequence

from iii_cluster.config.settings import ModuleEntry

from .adapters import AdapterChoice, load_adapter
from .imports import BadConfig, convert, imported
from .module import Module

# Always there, in this order; a file only says how they are.
BUILTIN = {
    "iii-state": "iii_cluster.modules.state.module:StateModule",
    "iii-stream": "iii_cluster.modules.stream.module:StreamModule",
    "iii-queue": "iii_cluster.modules.queue.module:QueueModule",
    "iii-pubsub": "iii_cluster.modules.pubsub.module:PubSubModule",
    "iii-cron": "iii_cluster.modules.cron.module:CronModule",
    "iii-http": "iii_cluster.modules.http.module:HttpModule",
    "iii-observability": "iii_cluster.modules.observability.module:ObservabilityModule",
}
# Only there when a file names them.
OPTIONAL = {"iii-http-functions": "iii_cluster.modules.http_functions.module:HttpFunctionsModule"}


def load_modules(entries: Sequence[ModuleEntry]) -> list[Module]:
    """The built-in modules, then the others, in the order of the file. Raises BadConfig."""
    configs = {entry.name: entry.config for entry in entries}
    others = [entry.name for entry in entries if entry.name not in BUILTIN]
    return [make(ModuleEntry(name, configs.get(name, {}))) for name in (*BUILTIN, *others)]


def make(entry: ModuleEntry) -> Module:
    """One module; everything that its config names is found and checked. Raises BadConfig."""
    kind = imported({**BUILTIN, **OPTIONAL}.get(entry.name, entry.name))
    if not (isinstance(kind, type) and issubclass(kind, Module)):
        raise BadConfig(f"{entry.name} is no module: it does not extend iii_cluster.modules.module.Module")
    config = convert(entry.config, kind.Config)
    choice = getattr(config, "adapter", None)
    if isinstance(choice, AdapterChoice):
        load_adapter(kind, choice)
    return kind(config)
