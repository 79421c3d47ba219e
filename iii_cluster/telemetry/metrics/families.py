"""All metrics of a process: what they are called in Prometheus and in OpenTelemetry, and where their values are."""

from collections.abc import Callable, Iterator
from enum import StrEnum
from platform import python_version
from typing import NamedTuple

from .snapshot import Snapshot

Labels = tuple[str, ...]


class Kind(StrEnum):
    COUNTER = "counter"
    GAUGE = "gauge"
    HISTOGRAM = "histogram"
    INFO = "info"  # always 1: the labels are what it says


class Point(NamedTuple):
    """A value, or the distribution of `sum(buckets)` durations that took `value` seconds together."""

    labels: Labels
    value: float
    buckets: list[int] | None = None


Read = Callable[[Snapshot], Iterator[Point]]


class Family(NamedTuple):
    """`name` is that in Prometheus, without the `_total` of counters and the `_info` of infos; `otel` is "" for what
    collectors know from the resource."""

    name: str
    otel: str
    kind: Kind
    unit: str  # as OpenTelemetry writes it
    labels: Labels
    help: str
    read: Read

    @property
    def exposed(self) -> str:
        """Name of its series in Prometheus, but for the suffixes of histograms."""
        return self.name + {Kind.COUNTER: "_total", Kind.INFO: "_info"}.get(self.kind, "")


def _one(read: Callable[[Snapshot], float]) -> Read:
    def points(snapshot: Snapshot) -> Iterator[Point]:
        yield Point((), read(snapshot))

    return points


def _each(*parts: tuple[str, Callable[[Snapshot], float]]) -> Read:
    def points(snapshot: Snapshot) -> Iterator[Point]:
        for label, read in parts:
            yield Point((label,), read(snapshot))

    return points


def _of_leader(read: Callable[[Snapshot], float]) -> Read:
    def points(snapshot: Snapshot) -> Iterator[Point]:
        if snapshot.leading:
            yield Point((), read(snapshot))

    return points


def _on(role: str, read: Callable[[Snapshot], float]) -> Read:
    """Other roles have no such thing."""

    def points(snapshot: Snapshot) -> Iterator[Point]:
        if snapshot.role == role:
            yield Point((), read(snapshot))

    return points


def _invocations(snapshot: Snapshot) -> Iterator[Point]:
    for id, own in snapshot.functions.items():
        yield Point((id, "ok"), own.count - own.errors)
        if own.errors:
            yield Point((id, "error"), own.errors)
        if own.deferred:
            yield Point((id, "deferred"), own.deferred)


def _durations(snapshot: Snapshot) -> Iterator[Point]:
    for id, own in snapshot.functions.items():
        if not own.errors:
            yield Point((id, "ok"), own.seconds, own.buckets)
            continue
        went_well = [all - failed for all, failed in zip(own.buckets, own.error_buckets, strict=True)]
        yield Point((id, "ok"), max(0.0, own.seconds - own.error_seconds), went_well)
        yield Point((id, "error"), own.error_seconds, own.error_buckets)


def _errors(snapshot: Snapshot) -> Iterator[Point]:
    for id, codes in snapshot.error_codes.items():
        for code, count in codes.items():
            yield Point((id, code), count)


def _requests(snapshot: Snapshot) -> Iterator[Point]:
    for key, own in snapshot.http.items():
        method, _, route = key.partition(" ")
        for status, count in own.statuses.items():
            yield Point((method, route, str(status)), count)


def _request_durations(snapshot: Snapshot) -> Iterator[Point]:
    for key, own in snapshot.http.items():
        method, _, route = key.partition(" ")
        yield Point((method, route), own.seconds, own.buckets)


def _refused(snapshot: Snapshot) -> Iterator[Point]:
    for what, count in snapshot.refused.items():
        yield Point((what,), count)


def _dropped(snapshot: Snapshot) -> Iterator[Point]:
    for key, count in snapshot.dropped.items():
        stage, _, signal = key.partition("/")
        yield Point((stage, signal), count)


def _members(snapshot: Snapshot) -> Iterator[Point]:
    for role, count in snapshot.members.items():
        yield Point((role,), count)


def _queues(read: Callable[..., float]) -> Read:
    def points(snapshot: Snapshot) -> Iterator[Point]:
        for queue, own in snapshot.queues.items():
            yield Point((queue,), read(own))

    return points


def _build(snapshot: Snapshot) -> Iterator[Point]:
    yield Point((snapshot.version, python_version()), 1)


def _node(snapshot: Snapshot) -> Iterator[Point]:
    yield Point((snapshot.cluster, snapshot.node, snapshot.role, snapshot.host), 1)


_C, _G, _H, _I = Kind.COUNTER, Kind.GAUGE, Kind.HISTOGRAM, Kind.INFO
_FUNCTION = ("function_id",)
_ROUTE = ("method", "route")
_WAY = ("direction",)

FAMILIES: tuple[Family, ...] = (
    Family("iii_build", "", _I, "", ("version", "python"), "What the process runs.", _build),
    Family("iii_node", "", _I, "", ("cluster", "node", "role", "host"), "Which node of which cluster this is.", _node),
    # Calls. Each is counted by one process: the gateway its caller is connected to, or the shard that made it.
    Family("iii_invocations", "iii.invocations.total", _C, "{invocation}", (*_FUNCTION, "status"),
           "Calls that have ended (ok, error) or were put into a queue (deferred).", _invocations),
    Family("iii_invocation_duration_seconds", "iii.invocation.duration", _H, "s", (*_FUNCTION, "status"),
           "From the call to its answer, the way to another gateway included.", _durations),
    Family("iii_invocation_errors", "iii.invocation.errors.total", _C, "{error}", (*_FUNCTION, "error_code"),
           "Calls that ended with an error.", _errors),
    Family("iii_invocations_in_flight", "iii.invocations.in_flight", _G, "{invocation}", (),
           "Calls made here that have not ended.", _one(lambda s: s.in_flight)),
    Family("iii_refused", "iii.refused.total", _C, "{refusal}", ("what",),
           "What was refused at a limit of this gateway, or for want of a token.", _refused),
    # Workers.
    Family("iii_workers_active", "iii.workers.active", _G, "{worker}", (),
           "Workers connected to this gateway.", _on("gateway", lambda s: s.workers)),
    Family("iii_workers_by_status", "iii.workers.by_status", _G, "{worker}", ("status",),
           "The same by status; connections that have not said anything yet are silent.",
           lambda s: iter([Point(("connected",), s.workers), Point(("silent",), max(0, s.connections - s.workers))]
                          if s.role == "gateway" else [])),
    Family("iii_workers_spawns", "iii.workers.spawns.total", _C, "{worker}", (),
           "Workers that joined the cluster; told by who led then.", _on("coordinator", lambda s: s.worker_spawns)),
    Family("iii_workers_deaths", "iii.workers.deaths.total", _C, "{worker}", (),
           "Workers that left and did not come back; told by who led then.",
           _on("coordinator", lambda s: s.worker_deaths)),
    # HTTP, streams, channels.
    Family("iii_http_requests", "iii.http.requests.total", _C, "{request}", (*_ROUTE, "status"),
           "Requests by the route that matched (empty: none); 499: the client was gone.", _requests),
    Family("iii_http_request_duration_seconds", "http.server.request.duration", _H, "s", _ROUTE,
           "From the end of a request's headers to the end of the response.", _request_durations),
    Family("iii_http_requests_in_progress", "http.server.active_requests", _G, "{request}", (),
           "Requests that are being served.", _on("gateway", lambda s: s.http_in_progress)),
    Family("iii_stream_clients", "iii.stream.clients", _G, "{client}", (),
           "Clients of the stream port.", _on("gateway", lambda s: s.stream_clients)),
    Family("iii_channels_open", "iii.channels.open", _G, "{channel}", (),
           "Channels whose home is this gateway.", _on("gateway", lambda s: s.channels)),
    # Queues and cron: one process tells of each queue, for the whole cluster.
    Family("iii_queue_depth", "iii.queue.depth", _G, "{job}", ("queue",),
           "Jobs that wait or are in flight, in the whole cluster.", _queues(lambda q: q.depth)),
    Family("iii_queue_delayed", "iii.queue.delayed", _G, "{job}", ("queue",),
           "Jobs that are not due yet, those to be tried again too.", _queues(lambda q: q.delayed)),
    Family("iii_queue_dead", "iii.queue.dead", _G, "{job}", ("queue",), "Dead letters.", _queues(lambda q: q.dead)),
    Family("iii_queue_oldest_job_age_seconds", "iii.queue.oldest_job_age", _G, "s", ("queue",),
           "Age of the job that has waited longest; 0 when none waits or the broker does not say.",
           _queues(lambda q: q.oldest_seconds)),
    Family("iii_cron_fired", "iii.cron.fired.total", _C, "{tick}", (),
           "Ticks of cron triggers that were run here.", _on("shard", lambda s: s.cron_fired)),
    Family("iii_cron_lag_seconds", "iii.cron.lag", _G, "s", (),
           "The longest of the last minute or two between a tick and its run.",
           _on("shard", lambda s: s.cron_lag_seconds)),
    # The cluster. What is said of all of it, the leader says.
    Family("iii_leader", "iii.cluster.leader", _G, "1", (), "1 on the node that leads, else 0.",
           _one(lambda s: s.leading)),
    Family("iii_cluster_term", "iii.cluster.term", _G, "1", (), "Term of the map this node goes by.",
           _one(lambda s: s.term)),
    Family("iii_cluster_epoch", "iii.cluster.epoch", _G, "1", (), "Epoch of that map.", _one(lambda s: s.epoch)),
    Family("iii_cluster_nodes", "iii.cluster.nodes", _G, "{node}", ("role",),
           "Nodes in the map; told by the leader.", _members),
    Family("iii_slots_owned", "iii.slots.owned", _G, "{slot}", (), "Slots this shard owns.",
           _on("shard", lambda s: s.slots)),
    Family("iii_slots_unowned", "iii.slots.unowned", _G, "{slot}", (),
           "Slots that nobody owns; told by the leader.", _of_leader(lambda s: s.slots_unowned)),
    # The bus between nodes.
    Family("iii_bus_packets", "iii.bus.packets.total", _C, "{packet}", _WAY, "Packets; resent ones count once.",
           _each(("sent", lambda s: s.bus.packets_sent), ("received", lambda s: s.bus.packets_received))),
    Family("iii_bus_bytes", "iii.bus.bytes.total", _C, "By", _WAY, "Bytes of those packets.",
           _each(("sent", lambda s: s.bus.bytes_sent), ("received", lambda s: s.bus.bytes_received))),
    Family("iii_bus_envelopes", "iii.bus.envelopes.total", _C, "{envelope}", _WAY,
           "Messages to and from other nodes.",
           _each(("sent", lambda s: s.bus.envelopes_sent), ("received", lambda s: s.bus.envelopes_received))),
    Family("iii_bus_resends", "iii.bus.resends.total", _C, "{packet}", (), "Packets published again.",
           _one(lambda s: s.bus.resends)),
    Family("iii_bus_duplicates", "iii.bus.duplicates.total", _C, "{packet}", (), "Packets received again.",
           _one(lambda s: s.bus.duplicates)),
    Family("iii_bus_gaps", "iii.bus.gaps.total", _C, "{gap}", (), "Times a packet was found missing.",
           _one(lambda s: s.bus.gaps)),
    Family("iii_bus_resets", "iii.bus.resets.total", _C, "{reset}", (),
           "Links given up with what they carried, by either end.", _one(lambda s: s.bus.resets)),
    Family("iii_bus_undecodable", "iii.bus.undecodable.total", _C, "{packet}", (),
           "Packets and messages that were skipped.", _one(lambda s: s.bus.undecodable)),
    Family("iii_bus_queued_bytes", "iii.bus.queued", _G, "By", (), "Waiting until a peer has acknowledged more.",
           _one(lambda s: s.bus.queued_bytes)),
    Family("iii_bus_unacked_bytes", "iii.bus.unacked", _G, "By", (), "Sent and not acknowledged.",
           _one(lambda s: s.bus.unacked_bytes)),
    Family("iii_bus_peers", "iii.bus.peers", _G, "{node}", (), "Nodes there is a link to.",
           _one(lambda s: s.bus.peers)),
    Family("iii_bus_peers_unreachable", "iii.bus.peers.unreachable", _G, "{node}", (),
           "Those whose inbox nobody listens on.", _one(lambda s: s.bus.unreachable)),
    Family("iii_bus_links_paused", "iii.bus.links.paused", _G, "{link}", (),
           "Links so full that callers are not read.", _one(lambda s: s.bus.paused)),
    # Redis.
    Family("iii_redis_connected", "iii.redis.connected", _G, "1", (),
           "1 while the node can send and hears its inbox.", _one(lambda s: s.redis_connected)),
    Family("iii_redis_reconnects", "iii.redis.reconnects.total", _C, "{connection}", (),
           "Connections of the bus made again.", _one(lambda s: s.redis_reconnects)),
    Family("iii_redis_outages", "iii.redis.outages.total", _C, "{outage}", (),
           "Times the node did not hear its inbox any more.", _one(lambda s: s.redis_outages)),
    # Telemetry itself.
    Family("iii_telemetry_dropped", "iii.telemetry.dropped.total", _C, "{record}", ("stage", "signal"),
           "Spans, logs and metrics that were given up, by the stage that did so.", _dropped),
    # The process.
    Family("iii_loop_lag_seconds", "iii.loop.lag", _G, "s", (),
           "The longest of the last 5 to 10 s that the event loop was late.", _one(lambda s: s.loop_lag_ms / 1000)),
    Family("process_cpu_seconds", "process.cpu.time", _C, "s", (), "User and system time.",
           _one(lambda s: s.cpu_seconds)),
    Family("process_resident_memory_bytes", "process.memory.usage", _G, "By", (), "Resident memory.",
           _one(lambda s: s.rss_bytes)),
    Family("process_virtual_memory_bytes", "process.memory.virtual", _G, "By", (), "Virtual memory.",
           _one(lambda s: s.virtual_bytes)),
    Family("process_open_fds", "process.open_file_descriptor.count", _G, "{file_descriptor}", (),
           "Open file descriptors.", _one(lambda s: s.fds)),
    Family("process_max_fds", "process.open_file_descriptor.limit", _G, "{file_descriptor}", (),
           "How many it may have.", _one(lambda s: s.max_fds)),
    Family("process_start_time_seconds", "process.start_time", _G, "s", (), "Since the epoch.",
           _one(lambda s: s.started_ms / 1000)),
)  # fmt: skip
