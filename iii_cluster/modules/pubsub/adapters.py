"""Adapter names of existing configuration files. Whichever is named, the cluster's own bus delivers."""

from msgspec import Struct

from iii_cluster.modules.module import NoConfig


class Cluster:
    """What is used when no adapter is named."""

    Config: type[Struct] = NoConfig


class Local(Cluster):
    """One process alone."""


class RedisConfig(Struct, frozen=True, forbid_unknown_fields=True):
    redis_url: str = ""


class Redis(Cluster):
    """Redis channels named like the topics."""

    Config = RedisConfig
