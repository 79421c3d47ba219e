"""A real cluster on this machine: Valkey, coordinators, shards and gateways as processes of their own."""

import os
import sys
import weakref
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tests.support.ports import release_port, reserve_port
from tests.support.process import Process, read_ready_line
from tests.support.valkey import ValkeyServer

CLUSTER_NAME = "test"
ROLE = "tests.support.role"
OWN_PORTS = {"admin-port": "0", "metrics-port": "0", "console": "off"}

# What a failed test shows the logs of.
running: "weakref.WeakSet[Cluster]" = weakref.WeakSet()


class ClusterNode(Process):
    """One process of the cluster. `restart` makes a new incarnation, on the same worker port."""

    def __init__(
        self,
        role: str,
        name: str,
        directory: Path,
        argv: Sequence[str],
        env: Mapping[str, str],
        lifeline: int,
        fresh: bool,
    ) -> None:
        super().__init__(name, directory / f"{name}.log")
        self.role = role
        self._fresh = fresh
        self.argv = [*argv, "--lifeline-fd", str(lifeline)]
        self.env = env
        self._lifeline = lifeline  # at its end, when the test process is gone, the node stops
        self.id = ""
        self.ports: dict[str, int] = {}
        self._ready_fd = -1

    def start(self) -> "ClusterNode":
        """Starts the process; `wait_ready` tells when it serves."""
        self._close_ready_fd()
        self._ready_fd, write_fd = os.pipe()
        argv, fds = [self.role, *self.argv, "--ready-fd", str(write_fd)], [write_fd, self._lifeline]
        try:
            if self._fresh:
                self.spawn([sys.executable, "-m", ROLE, *argv], self.env, fds)
            else:
                self.fork(ROLE, argv, self.env, fds)
        finally:
            os.close(write_fd)
        return self

    def wait_ready(self) -> "ClusterNode":
        ready: dict[str, Any] = read_ready_line(self._ready_fd, self)
        self._close_ready_fd()
        assert ready["role"] == self.role
        assert ready["pid"] == self.pid
        self.id = ready["id"]
        self.ports = ready["ports"]
        return self

    def restart(self) -> "ClusterNode":
        """Kills the process if it still runs and starts a successor; returns when that one serves."""
        self.kill()
        return self.start().wait_ready()

    @property
    def url(self) -> str:
        """Where workers connect to this gateway."""
        return f"ws://127.0.0.1:{self.ports['worker']}"

    @property
    def admin_url(self) -> str:
        return f"http://127.0.0.1:{self.ports['admin']}"

    def close(self) -> None:
        """Ends the process and what this test process holds of it."""
        self.kill()
        self._close_ready_fd()

    def _close_ready_fd(self) -> None:
        if self._ready_fd >= 0:
            os.close(self._ready_fd)
            self._ready_fd = -1


class Cluster:
    """`options` are command line options of every node, such as `{"lease-ttl": "1"}`. Every node of a `fresh` one is
    a Python of its own from the start, with its own seed of hashes, as outside of tests; others are forks of one."""

    def __init__(
        self,
        directory: Path,
        *,
        gateways: int = 2,
        shards: int = 2,
        coordinators: int = 1,
        options: Mapping[str, str] | None = None,
        env: Mapping[str, str] | None = None,
        fresh: bool = False,
    ) -> None:
        self.directory = directory
        self.valkey = ValkeyServer(directory)
        self.gateways: list[ClusterNode] = []
        self.shards: list[ClusterNode] = []
        self.coordinators: list[ClusterNode] = []
        self._sizes = (coordinators, shards, gateways)
        self._options = dict(options or {})
        self._env = {**os.environ, **(env or {})}
        self._fresh = fresh
        self._ports: list[int] = []
        self._count = 0
        self._lifeline = os.pipe()

    def start(self) -> "Cluster":
        """Returns when every node serves."""
        running.add(self)
        self.valkey.start()
        coordinators, shards, gateways = self._sizes
        self.coordinators = [self.spawn("coordinator") for _ in range(coordinators)]
        self.shards = [self.spawn("shard") for _ in range(shards)]
        self.gateways = [self._spawn_gateway() for _ in range(gateways)]
        for node in self.nodes:
            node.wait_ready()
        return self

    @property
    def nodes(self) -> list[ClusterNode]:
        return [*self.coordinators, *self.shards, *self.gateways]

    def add_gateway(self, redis_url: str = "") -> ClusterNode:
        """With `redis_url`, it has a way to Redis of its own."""
        node = self._spawn_gateway(redis_url)
        self.gateways.append(node)
        return node.wait_ready()

    def add_shard(self) -> ClusterNode:
        node = self.spawn("shard")
        self.shards.append(node)
        return node.wait_ready()

    def add_coordinator(self) -> ClusterNode:
        node = self.spawn("coordinator")
        self.coordinators.append(node)
        return node.wait_ready()

    def stop(self) -> None:
        """Stops everything, workers' side first; fails if a node does not end by itself, cleanly."""
        problems = []
        try:
            for group in (self.gateways, self.shards, self.coordinators):
                alive = [node for node in group if node.running]
                for node in alive:
                    node.terminate()
                problems += [problem for node in alive if (problem := _unclean_end(node))]
        finally:
            for node in self.nodes:
                node.close()
            self.valkey.close()
            for port in self._ports:
                release_port(port)
            for fd in self._lifeline:
                os.close(fd)
            running.discard(self)
        assert not problems, "\n".join(problems)

    def logs(self) -> str:
        """The ends of the logs of all processes."""
        return "\n".join(process.tail() for process in [self.valkey, *self.nodes])

    def _spawn_gateway(self, redis_url: str = "") -> ClusterNode:
        port = reserve_port()
        self._ports.append(port)
        return self.spawn("gateway", "--worker-port", str(port), redis_url=redis_url)

    def spawn(self, role: str, *extra: str, redis_url: str = "") -> ClusterNode:
        self._count += 1
        for port in ("--stream-port", "--http-port"):
            if role == "gateway" and port not in extra:
                extra = (*extra, port, "0")
        options = {"redis-url": self.valkey.url, "cluster": CLUSTER_NAME, **OWN_PORTS, **self._options}
        if redis_url:
            options["redis-url"] = redis_url
        argv = [part for name, value in options.items() for part in (f"--{name}", value)]
        name = f"{role}-{self._count}"
        argv += extra
        return ClusterNode(role, name, self.directory, argv, self._env, self._lifeline[0], self._fresh).start()


def _unclean_end(node: ClusterNode) -> str:
    try:
        status = node.wait()
    except AssertionError as error:
        return str(error)
    return "" if status == 0 else f"{node.name} ended with status {status}\n{node.tail()}"


@contextmanager
def running_cluster(directory: Path, config: str = "", **arguments: Any) -> Iterator[Cluster]:
    """A cluster from start to stop, with what a configuration file says; `arguments` are those of `Cluster`."""
    options = dict(arguments.pop("options", {}))
    if config:
        file = directory / "config.yaml"
        file.write_text(config)
        options["config"] = str(file)
    cluster = Cluster(directory, options=options, **arguments)
    try:
        yield cluster.start()
    finally:
        cluster.stop()
