"""The queues that a cluster of our own is configured with, beside those of the user's file."""

from collections.abc import Sequence

from iii_cluster.chaos.load.queues import CONFIGS
from iii_cluster.config.settings import ModuleEntry

MODULE = "iii-queue"
KEY = "queue_configs"


def with_queues(modules: Sequence[ModuleEntry]) -> tuple[ModuleEntry, ...]:
    config = next((entry.config for entry in modules if entry.name == MODULE), {})
    made = ModuleEntry(MODULE, config | {KEY: (config.get(KEY) or {}) | CONFIGS})
    return (*(entry for entry in modules if entry.name != MODULE), made)
