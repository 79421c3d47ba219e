"""The module `iii-observability`."""

from iii_cluster.modules.module import Module
from iii_cluster.telemetry.config import OBSERVABILITY, Observability


class ObservabilityModule(Module):
    id = OBSERVABILITY
    name = "Observability"
    Config = Observability
