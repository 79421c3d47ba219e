"""Who is paused because somebody does not keep up: a worker here, a worker elsewhere, the link to a node. Pure."""

from iii_cluster.bus.envelopes import Congested
from iii_cluster.bus.outbox import Links
from iii_cluster.routing.route import Feeder, Target
from iii_cluster.routing.table import RouteTable

from .worker import Worker

# Calls, and bytes of their payloads, that may wait for the answers of shards before their callers are paused; as many
# may wait for nodes that nobody listens at.
MAX_LOOKUPS = 1000
MAX_LOOKUP_BYTES = 32 * 2**20
# The same for calls of modules' functions. Some wait for a worker, perhaps for the very one that would be paused.
MAX_MODULE_CALLS = 10_000
MAX_MODULE_BYTES = 128 * 2**20


class _Waiting:
    """Calls that cannot go on yet, and who is paused because there are too many."""

    def __init__(self, max_calls: int = MAX_LOOKUPS, max_bytes: int = MAX_LOOKUP_BYTES) -> None:
        self._max_calls = max_calls
        self._max_bytes = max_bytes
        self._calls = 0
        self._bytes = 0
        self._feeders: set[Feeder] = set()

    def add(self, feeder: Worker | None, size: int) -> None:
        self._calls += 1
        self._bytes += size
        if feeder is not None and (self._calls > self._max_calls or self._bytes > self._max_bytes):
            _pause(feeder, self._feeders)

    def remove(self, size: int) -> None:
        self._calls -= 1
        self._bytes -= size
        if self._calls <= self._max_calls // 2 and self._bytes <= self._max_bytes // 2:
            _resume(self._feeders)


class Backpressure:
    """Stops reading the sockets that feed a full buffer, instead of growing it."""

    def __init__(self, routes: RouteTable, links: Links) -> None:
        self._routes = routes
        self._links = links
        self._link_feeders: dict[str, set[Feeder]] = {}
        self._lookups = _Waiting()
        self._parked = _Waiting()
        self._modules = _Waiting(MAX_MODULE_CALLS, MAX_MODULE_BYTES)

    # -- what a worker sent went to ... ------------------------------------------------------------

    def to_worker(self, feeder: Worker, worker: Worker) -> None:
        """... a worker of this gateway."""
        if worker.outlet.congested:
            _pause(feeder, worker.feeders)

    def to_target(self, feeder: Worker, target: Target) -> None:
        """... a worker of another gateway."""
        if target.congested:
            _pause(feeder, target.feeders)
        self.to_node(feeder, target.node)

    def to_node(self, feeder: Worker, node: str) -> None:
        """... another node."""
        if self._links.congested(node):
            _pause(feeder, self._link_feeders.setdefault(node, set()))

    def to_lookup(self, feeder: Worker | None, size: int) -> None:
        """... nowhere yet: a shard is asked first."""
        self._lookups.add(feeder, size)

    def to_parked(self, feeder: Worker | None, size: int) -> None:
        """... nowhere yet: nobody listens at the node that should have it."""
        self._parked.add(feeder, size)

    def to_module(self, feeder: Worker | None, size: int) -> None:
        """... a module, which works at it."""
        self._modules.add(feeder, size)

    def from_node(self, node: str, worker: Worker, *, full: bool = False) -> None:
        """What `node` sent went to a worker of ours: tell it to pause its own if that one does not keep up.

        `full`: it went to a function of the worker that is called elsewhere, and that does not keep up.
        """
        if (full or worker.outlet.congested) and node not in worker.remote_feeders:
            worker.remote_feeders.add(node)
            self._links.send(node, Congested(worker.number, True))

    # -- ... which keeps up again, or is gone ------------------------------------------------------

    def worker_reads_again(self, worker: Worker) -> None:
        _resume(worker.feeders)
        for node in worker.remote_feeders:
            self._links.send(node, Congested(worker.number, False))
        worker.remote_feeders.clear()

    def looked_up(self, size: int) -> None:
        self._lookups.remove(size)

    def unparked(self, size: int) -> None:
        self._parked.remove(size)

    def module_done(self, size: int) -> None:
        self._modules.remove(size)

    def on_congested(self, node: str, said: Congested) -> None:
        target = self._routes.target(node, said.conn)
        if target is not None:
            target.congested = said.on
            if not said.on:
                target_released(target)

    def node_reset(self, node: str) -> None:
        """The node is gone, or the link was reset: it says anew who does not keep up."""
        for target in self._routes.targets_of(node):
            target.congested = False
            target_released(target)
        self.link_writable(node)

    def reincarnate(self) -> None:
        """This gateway goes on under a new node id, with new links."""
        for node in list(self._link_feeders):
            self.link_writable(node)

    def link_writable(self, node: str) -> None:
        _resume(self._link_feeders.pop(node, set()))


def target_released(target: Target) -> None:
    """A remote worker keeps up again, or is gone: let its callers go on."""
    _resume(target.feeders)


def _pause(feeder: Worker, feeders: set[Feeder]) -> None:
    if feeder not in feeders:
        feeders.add(feeder)
        feeder.outlet.pause()


def _resume(feeders: set[Feeder]) -> None:
    """Let all of them go on, and forget them."""
    while feeders:
        feeders.pop().outlet.resume()
