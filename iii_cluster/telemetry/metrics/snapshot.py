"""What one process has to tell of itself at one moment, as it travels to whoever asks for it."""

import msgspec
from msgspec import Struct, field

from .functions import FunctionNumbers


class BusNumbers(Struct, kw_only=True):
    """Counts are totals since the process began."""

    packets_sent: int = 0
    packets_received: int = 0
    bytes_sent: int = 0
    bytes_received: int = 0
    envelopes_sent: int = 0
    envelopes_received: int = 0
    resends: int = 0
    duplicates: int = 0
    gaps: int = 0
    resets: int = 0
    undecodable: int = 0
    queued_bytes: int = 0  # waiting for the window, over all links
    unacked_bytes: int = 0
    peers: int = 0
    paused: int = 0  # links whose feeders wait
    unreachable: int = 0  # peers whose inbox nobody listens on


class HttpNumbers(Struct, array_like=True):
    """Requests of one method and route."""

    statuses: dict[int, int] = {}  # requests by status; 499: the client was gone
    seconds: float = 0.0
    buckets: list[int] = []


class QueueNumbers(Struct, array_like=True):
    """One queue, in the whole cluster."""

    depth: int = 0  # waiting or in flight
    delayed: int = 0
    dead: int = 0
    oldest_seconds: float = 0.0  # age of the job that waits longest; 0: none waits, or the broker does not say


class Snapshot(Struct, kw_only=True, omit_defaults=True):
    """Counts are totals since the process began unless said otherwise; the rest is as it is now."""

    cluster: str = ""
    node: str = ""
    role: str = ""
    host: str = ""
    pid: int = 0
    version: str = ""
    started_ms: int = 0
    time_ms: int = 0
    functions: dict[str, FunctionNumbers] = {}  # calls made through this gateway, or by this shard
    error_codes: dict[str, dict[str, int]] = {}  # by function and code
    in_flight: int = 0  # calls made here, or held for others, that have not ended
    connections: int = 0  # worker sockets
    workers: int = 0  # of those, known as workers
    worker_spawns: int = 0  # told by the leader, for the whole cluster
    worker_deaths: int = 0  # likewise
    stream_clients: int = 0
    channels: int = 0
    loop_lag_ms: float = 0.0  # the worst of the last 10 s
    cpu_seconds: float = 0.0
    rss_bytes: int = 0
    virtual_bytes: int = 0
    fds: int = 0
    max_fds: int = 0
    bus: BusNumbers = field(default_factory=BusNumbers)
    slots: int = 0  # owned
    leading: bool = False
    term: int = 0  # of the map this node goes by
    epoch: int = 0
    members: dict[str, int] = {}  # nodes by role; told by the leader
    slots_unowned: int = 0  # likewise
    redis_connected: bool = True  # whether the node can send and hears its inbox
    redis_reconnects: int = 0
    redis_outages: int = 0  # times the node could not hear its inbox
    http: dict[str, HttpNumbers] = {}  # by "METHOD /route"
    http_in_progress: int = 0
    refused: dict[str, int] = {}  # by what: connections, registrations, calls, tokens, requests
    queues: dict[str, QueueNumbers] = {}  # told by one shard for the whole cluster
    cron_fired: int = 0
    cron_lag_seconds: float = 0.0  # the worst of the last minute: fired after it was due
    dropped: dict[str, int] = {}  # telemetry that was given up, by "stage/signal"
    gauges: dict[str, float] = {}  # whatever else is worth a look


encode_snapshot = msgspec.msgpack.Encoder().encode
decode_snapshot = msgspec.msgpack.Decoder(Snapshot).decode
