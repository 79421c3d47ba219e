"""Resolved settings of one process: what the file, the environment and the flags add up to.

Defaults live here and nowhere else. Times are seconds unless the name says `_ms`.
"""

from enum import StrEnum
from typing import Annotated, Any, Literal

from msgspec import Meta, Struct

WORKER_PORT = 49134
HTTP_PORT = 3111
STREAM_PORT = 3112
ADMIN_PORT = 49140
REDIS_PORT = 49139

# What a value from a file, the environment or a flag must satisfy; plain values for everybody else.
Port = Annotated[int, Meta(ge=0, le=65535)]
Seconds = Annotated[float, Meta(gt=0)]
Window = Annotated[float, Meta(ge=0)]  # seconds, 0: none
Count = Annotated[int, Meta(ge=0)]
Limit = Annotated[int, Meta(ge=1)]
Name = Annotated[str, Meta(pattern=r"^[A-Za-z0-9._-]{1,64}$")]
LogLevel = Literal["debug", "info", "warning", "error"]


class Duplicates(StrEnum):
    """What happens when a second live connection registers a function id."""

    BALANCE = "balance"  # all of them serve, calls are spread
    REJECT = "reject"  # the first keeps it, the others are told
    REPLACE = "replace"  # the newest serves, the others stand by


class ModuleEntry(Struct, frozen=True):
    """A module that the file says something of: a built-in one by its present name, or "package.module:Class"."""

    name: str
    config: dict[str, Any] = {}


class Settings(Struct, frozen=True, kw_only=True):
    cluster: Name = "iii"  # name of the cluster: prefix of its keys and channels
    redis_urls: tuple[str, ...] = ()  # the first holds keys; inboxes are spread over all
    host: str = "0.0.0.0"  # where worker, HTTP and stream listeners bind
    worker_port: Port = WORKER_PORT
    http_port: Port = HTTP_PORT
    stream_port: Port = STREAM_PORT
    admin_host: str = "127.0.0.1"
    admin_port: Port = ADMIN_PORT  # 0: any free port
    duplicate_functions: Duplicates = Duplicates.BALANCE
    lease_ttl: Seconds = 2.0
    lease_interval: Seconds = 0.5
    barrier: Seconds = 2.0  # longest hold of lookups in a slot that changed hands
    drain_timeout: Seconds = 10.0  # longest wait for calls in flight at shutdown
    reattach_window: Window = 2.0  # how long a worker that lost its connection may take to come back for its calls
    handler_timeout: Seconds = 300.0  # longest wait of a module for a function it calls: conditions, hooks, handlers
    redis_outage_limit: Seconds = 10.0  # longest wait for Redis before remote calls fail
    handshake_timeout: Seconds = 10.0
    ping_interval: Seconds = 20.0
    ping_timeout: Seconds = 20.0
    max_message_bytes: Limit = 64 * 2**20
    max_frame_bytes: Limit = 16 * 2**20
    max_connections: Limit = 20_000  # worker sockets of one gateway
    handshake_rate: Limit = 500  # new connections served per second; more wait for their turn
    max_registrations: Limit = 200_000  # functions and triggers of one connection
    send_high_water: Limit = 2**20  # bytes queued for one worker before its callers are paused
    stall_timeout: Seconds = 10.0  # a worker that reads nothing this long while congested is cut off
    log_level: LogLevel = "info"
    modules: tuple[ModuleEntry, ...] = ()  # only in files; children get them from their parent


class Topology(Struct, frozen=True, kw_only=True):
    """What one machine runs: processes per role, and Valkey when no Redis is given."""

    gateways: Count = 1
    shards: Count = 2
    coordinators: Count = 1
    redis_port: Port = REDIS_PORT  # of the embedded Valkey; 0: any free port
    data_dir: str = ".iii-cluster"  # of the embedded Valkey
