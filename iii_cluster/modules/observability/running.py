"""The module at work, in one process."""

from collections.abc import Mapping
from typing import Any

from iii_cluster.cluster.map import Role
from iii_cluster.modules.engine import Engine
from iii_cluster.modules.module import Function

from .alerting import Alerting
from .log_functions import LogFunctions
from .metric_functions import MetricFunctions
from .other_functions import OtherFunctions
from .service import ObservabilityService
from .sources import Sources
from .trace_functions import TraceFunctions


class Running:
    """Begins and stops with every incarnation of the node."""

    def __init__(self) -> None:
        self._sources = Sources()
        self._alerting = Alerting(self._sources)
        self._service: ObservabilityService | None = None

    def functions(self) -> Mapping[str, Function[Any]]:
        """They answer once it has begun."""
        kinds = (TraceFunctions, LogFunctions, MetricFunctions, OtherFunctions)
        groups = [kind(self._sources).offered() for kind in kinds]
        return {id: function for group in (*groups, self._alerting.offered()) for id, function in group.items()}

    def begin(self, engine: Engine) -> None:
        self._sources.begin(engine)
        self._alerting.begin()
        if engine.role is Role.SHARD:
            self._service = ObservabilityService(self._sources, self._alerting)
            self._service.start()

    async def stop(self) -> None:
        service, self._service = self._service, None
        if service is not None:
            await service.stop()
        await self._alerting.stop()
