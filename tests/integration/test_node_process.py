"""The life of a role's process: start, readiness, and every way it ends."""

import json
import os
import signal
import socket
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import redis

from iii_cluster.cluster.keys import Keys
from tests.support.eventually import eventually
from tests.support.ports import release_port, reserve_port
from tests.support.process import Process, read_ready_line
from tests.support.valkey import ValkeyServer

CLUSTER = "test"
EXIT_FAILED = 1

DIRECT = urllib.request.build_opener(urllib.request.ProxyHandler({}))


class Coordinator(Process):
    """A coordinator with an admin port, a ready pipe and a lifeline."""

    def __init__(self, directory: Path, redis_url: str) -> None:
        super().__init__("coordinator", directory / "coordinator.log")
        self.admin_port = reserve_port()
        self.redis_url = redis_url
        self.ready_fd, self._ready_end = os.pipe()
        self._lifeline_end, self.lifeline = os.pipe()

    def start(self) -> None:
        flags = {
            "redis-url": self.redis_url,
            "cluster": CLUSTER,
            "admin-port": self.admin_port,
            "ready-fd": self._ready_end,
            "lifeline-fd": self._lifeline_end,
        }
        argv = [part for name, value in flags.items() for part in (f"--{name}", str(value))]
        command = [sys.executable, "-m", "iii_cluster.cli.main", "coordinator", *argv]
        self.spawn(command, fds=[self._ready_end, self._lifeline_end])
        os.close(self._ready_end)
        os.close(self._lifeline_end)

    def wait_ready(self) -> dict[str, Any]:
        return read_ready_line(self.ready_fd, self)

    def get(self, path: str) -> tuple[int, Any]:
        try:
            with DIRECT.open(f"http://127.0.0.1:{self.admin_port}{path}", timeout=5) as answer:
                return answer.status, json.load(answer)
        except urllib.error.HTTPError as error:
            with error:
                return error.code, json.load(error)

    def cut_lifeline(self) -> None:
        os.close(self.lifeline)
        self.lifeline = -1

    def close(self) -> None:
        self.kill()
        os.close(self.ready_fd)
        if self.lifeline >= 0:
            self.cut_lifeline()
        release_port(self.admin_port)


@pytest.fixture
def valkey(tmp_path: Path) -> Iterator[ValkeyServer]:
    server = ValkeyServer(tmp_path)
    server.start()
    yield server
    server.close()


@pytest.fixture
def coordinator(tmp_path: Path, valkey: ValkeyServer) -> Iterator[Coordinator]:
    process = Coordinator(tmp_path, valkey.url)
    yield process
    process.close()


def test_a_ready_process_says_who_and_where_it_is(coordinator: Coordinator) -> None:
    coordinator.start()
    ready = coordinator.wait_ready()
    assert ready["id"].startswith("coordinator-")
    assert (ready["role"], ready["pid"]) == ("coordinator", coordinator.pid)
    assert ready["ports"] == {"admin": coordinator.admin_port}


def test_the_admin_port_tells_health_map_and_numbers(coordinator: Coordinator) -> None:
    coordinator.start()
    ready = coordinator.wait_ready()
    assert coordinator.get("/healthz")[0] == 200
    assert coordinator.get("/readyz") == (200, {"ready": True, "reasons": []})
    assert coordinator.get("/cluster")[1]["leader"] == ready["id"]
    status = coordinator.get("/status")[1]
    assert (status["id"], status["role"], status["service"]["leading"]) == (ready["id"], "coordinator", True)
    assert coordinator.get("/unknown")[0] == 404


def test_a_signal_stops_it_gracefully(coordinator: Coordinator, valkey: ValkeyServer) -> None:
    coordinator.start()
    node = coordinator.wait_ready()["id"]
    assert coordinator.stop() == 0
    with redis.Redis(port=valkey.port) as client:
        assert client.zscore(Keys(CLUSTER).leases, node) is None
        assert client.get(Keys(CLUSTER).leader) is None


def test_it_stops_when_its_supervisor_is_gone(coordinator: Coordinator) -> None:
    coordinator.start()
    coordinator.wait_ready()
    coordinator.cut_lifeline()
    assert coordinator.wait() == 0


async def test_it_waits_for_redis_and_can_be_stopped_meanwhile(coordinator: Coordinator, valkey: ValkeyServer) -> None:
    valkey.kill()
    coordinator.redis_url = f"redis://:secret@127.0.0.1:{valkey.port}"
    coordinator.start()
    await eventually(lambda: "action=waiting_for_redis" in coordinator.tail())
    assert "secret" not in coordinator.tail()
    code, page = coordinator.get("/readyz")
    assert code == 503
    assert "starting" in page["reasons"]
    assert coordinator.stop() == 0


def test_a_port_in_use_ends_it_with_a_clear_line(coordinator: Coordinator) -> None:
    with socket.create_server(("127.0.0.1", coordinator.admin_port)):
        coordinator.start()
        assert coordinator.wait() == EXIT_FAILED
    assert f"port {coordinator.admin_port} is already in use" in coordinator.tail()


async def test_a_process_declared_dead_joins_again_under_a_new_id(
    coordinator: Coordinator, valkey: ValkeyServer
) -> None:
    coordinator.start()
    node = coordinator.wait_ready()["id"]
    for successor in (f"{node}.2", f"{node}.3"):
        with redis.Redis(port=valkey.port) as client:
            client.zadd(Keys(CLUSTER).gone, {coordinator.get("/status")[1]["id"]: 2**52})
        await eventually(lambda new=successor: coordinator.get("/cluster")[1]["leader"] == new)  # type: ignore[misc]
        await eventually(lambda: coordinator.get("/readyz")[0] == 200)
        assert [member["id"] for member in coordinator.get("/cluster")[1]["nodes"]] == [successor]
    assert coordinator.get("/status")[1]["incarnation"] == 3
    assert "action=expelled" in coordinator.tail()
    assert "action=rejoined" in coordinator.tail()
    assert coordinator.stop() == 0


async def test_a_second_signal_ends_it_at_once(coordinator: Coordinator, valkey: ValkeyServer) -> None:
    coordinator.start()
    coordinator.wait_ready()
    valkey.pause()
    try:
        coordinator.child.send_signal(signal.SIGTERM)
        await eventually(lambda: "action=stopping" in coordinator.tail())
        coordinator.child.send_signal(signal.SIGTERM)
        assert coordinator.wait() == 128 + signal.SIGTERM
    finally:
        valkey.resume()
