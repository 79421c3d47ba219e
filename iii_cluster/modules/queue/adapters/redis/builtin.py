"""The adapter that files of a single engine call `builtin`: jobs are in Redis here, too."""

import logging
from typing import Any, ClassVar

from msgspec import Struct

from iii_cluster.modules.engine import Engine

from .adapter import RedisAdapter, RedisConfig

logger = logging.getLogger(__name__)


class BuiltinConfig(Struct, frozen=True, forbid_unknown_fields=True):
    """What such files may say; nothing of it is needed here."""

    store_method: str | None = None
    file_path: str | None = None
    save_interval_ms: int | None = None
    max_attempts: int | None = None
    backoff_ms: int | None = None
    concurrency: int | None = None
    poll_interval_ms: int | None = None
    mode: str | None = None


class BuiltinAdapter(RedisAdapter):
    Config: ClassVar[Any] = BuiltinConfig

    def __init__(self, config: BuiltinConfig, engine: Engine) -> None:
        super().__init__(RedisConfig(), engine)
        logger.info("action=adapter_replaced module=iii-queue adapter=builtin by=redis")
