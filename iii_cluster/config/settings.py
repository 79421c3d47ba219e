"""Resolved settings of one process: what the file, the environment and the flags add up to.

Defaults live here and nowhere else. Times are seconds unless the name says `_ms`.
"""

from enum import StrEnum
from typing import Annotated, Any, Literal

from msgspec import Meta, Struct
from msgspec.structs import replace

from .hosts import is_loopback

WORKER_PORT = 49134
HTTP_PORT = 3111
STREAM_PORT = 3112
ADMIN_PORT = 49140
REDIS_PORT = 49139
METRICS_PORT = 9464
CONSOLE_PORT = 3113

# What a value from a file, the environment or a flag must satisfy; plain values for everybody else.
Port = Annotated[int, Meta(ge=0, le=65535)]
Seconds = Annotated[float, Meta(gt=0)]
Window = Annotated[float, Meta(ge=0)]  # seconds, 0: none
Count = Annotated[int, Meta(ge=0)]
Limit = Annotated[int, Meta(ge=1)]
Name = Annotated[str, Meta(pattern=r"^[A-Za-z0-9._-]{1,64}$")]
LogLevel = Literal["debug", "info", "warning", "error"]
LogFormat = Literal["default", "json"]
Switch = Literal["on", "off"]
Compression = Literal["off", "workers", "streams", "all"]


class Duplicates(StrEnum):
    """What happens when a second live connection registers a function id."""

    BALANCE = "balance"  # all of them serve, calls are spread
    REJECT = "reject"  # the first keeps it, the others are told
    REPLACE = "replace"  # the newest serves, the others stand by


class ModuleEntry(Struct, frozen=True):
    """A module that the file says something of: a built-in one by its present name, or "package.module:Class"."""

    name: str
    config: dict[str, Any] = {}


class Tls(Struct, frozen=True, forbid_unknown_fields=True):
    """What a listener proves who it is with: PEM files. Read again when they change."""

    cert_file: Annotated[str, Meta(min_length=1)]
    key_file: str = ""  # "": the key is in cert_file
    client_ca_file: str = ""  # clients must show a certificate that one of these signed; "": they need none


class Rbac(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What workers of a listener may do: functions that decide, and what everybody may call."""

    auth_function_id: str = ""
    on_function_registration_function_id: str = ""
    on_trigger_registration_function_id: str = ""
    on_trigger_type_registration_function_id: str = ""
    expose_functions: tuple[str | dict[str, Any], ...] = ()


class WorkerListener(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A port for workers: one `iii-worker-manager` entry of the file."""

    port: Port = WORKER_PORT
    host: str | None = None  # None: as in the settings
    handshake_timeout_ms: Limit | None = None  # None: as in the settings
    middleware_function_id: str = ""
    rbac: Rbac | None = None  # None: its workers may do anything
    tokens: tuple[str, ...] | None = None  # None: as in the settings
    tokens_file: str | None = None
    tls: Tls | None = None  # None: as in the settings


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
    max_messages_per_second: Count = 0  # of one worker, which is read more slowly beyond it; 0: no limit
    max_in_flight: Count = 10_000  # calls of one worker that wait for their answers; 0: no limit
    max_cluster_connections: Count = 0  # worker sockets of all gateways together, 0: no limit
    max_cluster_registrations: Count = 0  # functions and triggers of all of them
    max_cluster_in_flight: Count = 0  # calls of all of them
    compression: Compression = "off"  # whose sockets may be compressed (permessage-deflate)
    tokens: tuple[str, ...] = ()  # workers must show one of them, if there are any
    tokens_file: str = ""  # the same, one per line; read again when it changes
    tls_cert_file: str = ""  # all listeners for workers and clients use TLS when it is given
    tls_key_file: str = ""
    tls_client_ca_file: str = ""
    admin_tls_cert_file: str = ""  # the admin port of every role uses TLS when it is given
    admin_tls_key_file: str = ""
    admin_tls_client_ca_file: str = ""
    metrics_host: str = ""  # where /metrics is served, of every role; "": as the admin port
    metrics_port: Port = METRICS_PORT  # 0: any free port
    console: Switch = "on"  # whether coordinators serve the console
    console_host: str = "127.0.0.1"
    console_port: Port = CONSOLE_PORT  # shared by the coordinators of a host; 0: any free port
    console_tokens: tuple[str, ...] = ()  # who shows one may change things there; without any it is read-only
    console_tokens_file: str = ""  # the same, one per line; read again when it changes
    log_level: LogLevel = "info"
    log_format: LogFormat = "default"
    listeners: tuple[WorkerListener, ...] = ()  # only in files; the first one is the main port's, if there are any
    modules: tuple[ModuleEntry, ...] = ()  # only in files; children get them from their parent

    @property
    def tls(self) -> Tls | None:
        """What listeners that say nothing else use."""
        if not self.tls_cert_file:
            return None
        return Tls(self.tls_cert_file, self.tls_key_file, self.tls_client_ca_file)

    @property
    def admin_tls(self) -> Tls | None:
        if not self.admin_tls_cert_file:
            return None
        return Tls(self.admin_tls_cert_file, self.admin_tls_key_file, self.admin_tls_client_ca_file)

    def tokens_of(self, listener: WorkerListener) -> tuple[tuple[str, ...], str]:
        """Tokens and their file: a listener's own, or these when it says nothing of tokens."""
        if listener.tokens is None and not listener.tokens_file:
            return self.tokens, self.tokens_file
        return listener.tokens or (), listener.tokens_file or ""

    @property
    def admin_tokens(self) -> tuple[tuple[str, ...], str]:
        """Tokens and their file that the admin port wants: none where only this host reaches it."""
        return ((), "") if is_loopback(self.admin_host) else (self.tokens, self.tokens_file)

    @property
    def metrics_tokens(self) -> tuple[tuple[str, ...], str]:
        """The same of the metrics port."""
        return ((), "") if is_loopback(self.metrics_host or self.admin_host) else (self.tokens, self.tokens_file)

    @property
    def worker_listeners(self) -> tuple[WorkerListener, ...]:
        """Every port for workers, with what it has of its own; the main one first, never empty."""
        main, *others = self.listeners or (WorkerListener(),)
        return (replace(main, port=self.worker_port, host=self.host), *others)


class Topology(Struct, frozen=True, kw_only=True):
    """What one machine runs: processes per role, and Valkey when no Redis is given."""

    gateways: Count = 1
    shards: Count = 2
    coordinators: Count = 1
    redis_port: Port = REDIS_PORT  # of the embedded Valkey; 0: any free port
    data_dir: str = ".iii-cluster"  # of the embedded Valkey
