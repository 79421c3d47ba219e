"""The life of a role's process: start, readiness, and every way it ends."""

import os
import signal
import socket
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.request import urlopen

import pytest
import redis
from prometheus_client.parser import text_string_to_metric_families

from iii_cluster.cluster.keys import Keys
from tests.support import admin
from tests.support.cluster import Cluster
from tests.support.eventually import eventually
from tests.support.ports import release_port, reserve_port
from tests.support.process import Process, read_ready_line
from tests.support.raw import known, raw_worker
from tests.support.valkey import ValkeyServer

CLUSTER = "test"
EXIT_FAILED = 1


class Coordinator(Process):
    """A coordinator with an admin port, a ready pipe and a lifeline."""

    def __init__(self, directory: Path, redis_url: str) -> None:
        super().__init__("coordinator", directory / "coordinator.log")
        self.admin_port = reserve_port()
        self.metrics_port = reserve_port()
        self.redis_url = redis_url
        self.ready_fd, self._ready_end = os.pipe()
        self._lifeline_end, self.lifeline = os.pipe()

    def start(self) -> None:
        flags = {
            "redis-url": self.redis_url,
            "cluster": CLUSTER,
            "admin-port": self.admin_port,
            "metrics-port": self.metrics_port,
            "console": "off",
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
        return admin.get(f"{self.admin_url}{path}")

    @property
    def admin_url(self) -> str:
        return f"http://127.0.0.1:{self.admin_port}"

    def cut_lifeline(self) -> None:
        os.close(self.lifeline)
        self.lifeline = -1

    def close(self) -> None:
        self.kill()
        os.close(self.ready_fd)
        if self.lifeline >= 0:
            self.cut_lifeline()
        release_port(self.admin_port)
        release_port(self.metrics_port)


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
    assert ready["ports"] == {"admin": coordinator.admin_port, "metrics": coordinator.metrics_port}


def test_the_admin_port_tells_health_map_and_numbers(coordinator: Coordinator) -> None:
    coordinator.start()
    ready = coordinator.wait_ready()
    assert coordinator.get("/healthz")[0] == 200
    assert coordinator.get("/readyz") == (200, {"node": ready["id"], "ready": True, "reasons": []})
    assert coordinator.get("/cluster")[1]["leader"] == ready["id"]
    status = coordinator.get("/status")[1]
    assert (status["id"], status["role"], status["service"]["leading"]) == (ready["id"], "coordinator", True)
    assert coordinator.get("/unknown")[0] == 404


@pytest.mark.parametrize("port", ["admin", "metrics"])
def test_metrics_are_told_on_two_ports(coordinator: Coordinator, port: str) -> None:
    coordinator.start()
    ready = coordinator.wait_ready()
    with urlopen(f"http://127.0.0.1:{ready['ports'][port]}/metrics", timeout=10) as answer:
        kind, text = answer.headers["content-type"], answer.read().decode()
    assert kind.startswith("text/plain; version=0.0.4")
    told = {sample.name: sample for family in text_string_to_metric_families(text) for sample in family.samples}
    assert told["iii_node_info"].labels["node"] == ready["id"]
    assert told["iii_leader"].value == 1
    assert told["process_resident_memory_bytes"].value > 2**20


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


def test_it_ends_when_it_is_asked_to_drain(coordinator: Coordinator) -> None:
    coordinator.start()
    node = coordinator.wait_ready()["id"]
    answer = admin.post(f"{coordinator.admin_url}/drain", {"node": "", "timeout": 3})
    assert answer == (202, {"node": node, "accepted": True, "timeout": 3.0})
    assert coordinator.wait() == 0
    assert "action=stopping reason=drain grace_s=3.0" in coordinator.tail()


def test_what_is_not_meant_for_it_does_not_drain_it(coordinator: Coordinator) -> None:
    coordinator.start()
    coordinator.wait_ready()
    url = f"{coordinator.admin_url}/drain"
    assert admin.post(url, {"node": "coordinator-unknown"})[0] == 404
    assert admin.post(url, {"timeout": "soon"})[0] == 400
    assert admin.post(url, {}, content_type="text/plain")[0] == 415
    assert admin.post(url, {}, host="rebound.example")[0] == 403
    assert admin.post(url, {"node": "x" * 5000})[0] == 413
    assert admin.get(url)[0] == 405
    assert coordinator.get("/readyz")[0] == 200


async def test_a_node_is_drained_through_any_other_one(make_cluster: Any) -> None:
    cluster: Cluster = make_cluster(gateways=1, shards=2)
    gateway, leaver = cluster.gateways[0], cluster.shards[0]
    answer = admin.post(f"{gateway.admin_url}/drain", {"node": leaver.id, "timeout": 10})
    assert answer == (202, {"node": leaver.id, "accepted": True})
    assert leaver.wait() == 0
    await eventually(lambda: admin.post(f"{gateway.admin_url}/drain", {"node": leaver.id})[0] == 404)


async def test_a_node_that_is_told_no_timeout_takes_its_own(make_cluster: Any) -> None:
    cluster: Cluster = make_cluster(gateways=1, shards=2)
    leaver = cluster.spawn("coordinator", "--drain-timeout", "7")
    cluster.coordinators.append(leaver)
    leaver.wait_ready()
    assert admin.post(f"{cluster.gateways[0].admin_url}/drain", {"node": leaver.id})[0] == 202
    assert leaver.wait() == 0
    assert "action=stopping reason=drain grace_s=7.0" in leaver.tail()


async def test_a_node_that_drains_is_alive_but_not_ready(make_cluster: Any) -> None:
    cluster: Cluster = make_cluster(gateways=1, shards=1)
    gateway = cluster.gateways[0]
    async with raw_worker(gateway.url) as callee, raw_worker(gateway.url) as caller:
        await callee.register("slow::f")
        await known(caller, "slow::f")
        call = await caller.begin("slow::f", {})
        taken = await callee.expect("invokefunction", function_id="slow::f")
        admin.post(f"{gateway.admin_url}/drain", {"timeout": 30})
        await eventually(lambda: "draining" in admin.get(f"{gateway.admin_url}/readyz")[1]["reasons"])
        assert admin.get(f"{gateway.admin_url}/readyz")[0] == 503
        assert admin.get(f"{gateway.admin_url}/healthz") == (200, {"alive": True})
        assert admin.get(f"{gateway.admin_url}/status")[1]["draining"]
        await callee.answer(taken, {"done": True})
        assert (await caller.result(call))["result"] == {"done": True}
    assert gateway.wait() == 0


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
