"""Where answers come from: the cluster's store, and the numbers of all its processes."""

from collections.abc import Iterator
from contextlib import contextmanager

from redis.exceptions import ResponseError

from iii_cluster.modules.engine import Engine
from iii_cluster.modules.failures import failed
from iii_cluster.protocol.errors import EngineError
from iii_cluster.redis.commands import Unavailable
from iii_cluster.telemetry.config import Observability
from iii_cluster.telemetry.metrics.gather import SNAPSHOT, decoded
from iii_cluster.telemetry.metrics.snapshot import Snapshot
from iii_cluster.telemetry.store.store import Store

from .numbers import Numbers, numbers_of
from .rollup_store import RollupStore

NO_SPANS = "memory_exporter_not_enabled"
READ_FAILED = "observability_blocking_task_failed"


class Sources:
    """Of use once it has begun."""

    def __init__(self) -> None:
        self._engine: Engine | None = None

    def begin(self, engine: Engine) -> None:
        self._engine = engine

    @property
    def engine(self) -> Engine:
        assert self._engine is not None, "the module has not begun"
        return self._engine

    @property
    def config(self) -> Observability:
        """What the file says, and the environment where it says nothing."""
        return self.engine.telemetry.config

    @property
    def rollups(self) -> RollupStore:
        return RollupStore(self.engine.commands, self.engine.prefix)

    @property
    def spans(self) -> Store:
        """The store, if spans go there. Raises EngineError."""
        store = self.spans_if_kept
        if store is None:
            raise EngineError(NO_SPANS, "no spans are kept: iii-observability is off, or its exporter is otlp")
        return store

    @property
    def spans_if_kept(self) -> Store | None:
        kept = self.config.enabled and self.config.exporter != "otlp"
        return self.engine.telemetry.store if kept else None

    @property
    def logs(self) -> Store | None:
        config = self.config
        kept = config.enabled and config.logs_enabled and config.logs_exporter != "otlp"
        return self.engine.telemetry.store if kept else None

    @property
    def metrics(self) -> Store | None:
        config = self.config
        kept = config.enabled and config.metrics_enabled and config.metrics_exporter != "otlp"
        return self.engine.telemetry.store if kept else None

    @property
    def any(self) -> Store | None:
        return self.engine.telemetry.store

    async def snapshots(self) -> list[Snapshot]:
        """Of all processes that answer in time."""
        snapshots, _ = decoded(*await self.engine.ask_nodes(SNAPSHOT))
        return list(snapshots.values())

    async def numbers(self) -> Numbers:
        return numbers_of(await self.snapshots())


@contextmanager
def told(code: str = READ_FAILED) -> Iterator[None]:
    """Callers are told `code` when the store fails."""
    try:
        yield
    except (Unavailable, ResponseError) as error:
        raise failed(code, error) from error
