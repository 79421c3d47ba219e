"""Resolved settings of one process: what the file, the environment and the flags add up to.

Defaults live here and nowhere else. Times are seconds unless the name says `_ms`.
"""

from enum import StrEnum

from msgspec import Struct

WORKER_PORT = 49134
HTTP_PORT = 3111
STREAM_PORT = 3112
ADMIN_PORT = 49140
REDIS_PORT = 49139


class Duplicates(StrEnum):
    """What happens when a second live connection registers a function id."""

    BALANCE = "balance"  # all of them serve, calls are spread
    REJECT = "reject"  # the first keeps it, the others are told
    REPLACE = "replace"  # the newest serves, the others stand by


class Settings(Struct, frozen=True, kw_only=True):
    cluster: str = "iii"  # name of the cluster: prefix of its keys and channels
    redis_urls: tuple[str, ...] = ()  # the first holds keys; inboxes are spread over all
    host: str = "0.0.0.0"  # where worker, HTTP and stream listeners bind
    worker_port: int = WORKER_PORT
    http_port: int = HTTP_PORT
    stream_port: int = STREAM_PORT
    admin_host: str = "127.0.0.1"
    admin_port: int = ADMIN_PORT  # 0: any free port
    duplicate_functions: Duplicates = Duplicates.BALANCE
    lease_ttl: float = 2.0
    lease_interval: float = 0.5
    barrier: float = 2.0  # longest hold of lookups in a slot that changed hands
    drain_timeout: float = 10.0  # longest wait for calls in flight at shutdown
    redis_outage_limit: float = 10.0  # longest wait for Redis before remote calls fail
    handshake_timeout: float = 10.0
    ping_interval: float = 20.0
    ping_timeout: float = 20.0
    max_message_bytes: int = 64 * 2**20
    max_frame_bytes: int = 16 * 2**20
    max_connections: int = 20_000  # worker sockets of one gateway
    max_registrations: int = 200_000  # functions and triggers of one connection
    send_high_water: int = 2**20  # bytes queued for one worker before its callers are paused
    stall_timeout: float = 10.0  # a worker that reads nothing this long while congested is cut off
    log_level: str = "info"
