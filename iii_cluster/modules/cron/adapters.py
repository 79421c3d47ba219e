"""Adapter names of existing configuration files. Whichever is named, the shards keep time and Redis the records."""

from msgspec import Struct

from iii_cluster.modules.module import NoConfig


class Cluster:
    """What is used when no adapter is named."""

    Config: type[Struct] = NoConfig


class KvConfig(Struct, frozen=True, forbid_unknown_fields=True):
    lock_ttl_ms: int = 30_000
    lock_index: str = "cron_locks"
    store_method: str = "in_memory"
    file_path: str = ""
    save_interval_ms: int = 5_000


class Kv(Cluster):
    """Locks of one process."""

    Config = KvConfig


class RedisConfig(Struct, frozen=True, forbid_unknown_fields=True):
    redis_url: str = ""


class Redis(Cluster):
    """Locks in a Redis."""

    Config = RedisConfig
