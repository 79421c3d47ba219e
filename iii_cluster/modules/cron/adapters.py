"""Adapter names of existing configuration files. Whichever is named, the shards keep time and Redis the records."""

from msgspec import Struct

from iii_cluster.modules.cluster_adapter import Cluster


class KvConfig(Struct, frozen=True, forbid_unknown_fields=True):
    lock_ttl_ms: int = 30_000
    lock_index: str = "cron_locks"
    store_method: str = "in_memory"
    file_path: str = ""
    save_interval_ms: int = 5_000


class Kv(Cluster):
    """Locks of one process."""

    Config = KvConfig
