"""The reference engine's store of one process: named in configuration files, replaced by the cluster's Redis."""

import logging

from msgspec import Struct

from iii_cluster.modules.engine import Engine

from .redis import RedisStreams, RedisStreamsConfig

log = logging.getLogger(__name__)


class KvConfig(Struct, frozen=True, forbid_unknown_fields=True):
    """None of it is used."""

    store_method: str = "in_memory"
    file_path: str = "kv_store_data.db"
    save_interval_ms: int = 5000
    channel_size: int = 256


class KvStreams(RedisStreams):
    """What one process keeps is unknown to all others."""

    Config = KvConfig  # type: ignore[assignment]

    def __init__(self, config: KvConfig, engine: Engine) -> None:
        super().__init__(RedisStreamsConfig(), engine)
        log.info("action=stream_adapter named=kv used=redis store_method=%s", config.store_method)
