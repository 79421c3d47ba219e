"""Fixtures every kind of test may use, and the logs of a failed test's processes."""

import os
import uuid
from collections.abc import Callable, Generator, Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import settings

from tests.support import cluster as clusters
from tests.support import sdk_worker
from tests.support.cluster import Cluster
from tests.support.postgres import PostgresServer
from tests.support.rabbitmq import RabbitServer
from tests.support.up import MakeUp, ups
from tests.support.valkey import ValkeyServer

# No test asserts a duration, and what CI finds must be found again by whoever repeats it.
settings.register_profile("default", deadline=None)
settings.register_profile("ci", deadline=None, derandomize=True)
settings.load_profile("ci" if os.environ.get("CI") else "default")


@pytest.fixture(scope="session")
def shared_cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """Two gateways and two shards that no test harms; ids must be unique to the test that uses them."""
    cluster = Cluster(tmp_path_factory.mktemp("shared-cluster"), fresh=True)
    try:
        yield cluster.start()
    finally:
        cluster.stop()


@pytest.fixture
def make_cluster(tmp_path: Path) -> Iterator[Callable[..., Cluster]]:
    """Starts clusters of a test's own; takes what Cluster takes."""
    started: list[Cluster] = []

    def make(**arguments: Any) -> Cluster:
        directory = tmp_path / f"cluster-{len(started)}"
        directory.mkdir()
        started.append(Cluster(directory, **arguments))
        return started[-1].start()

    yield make
    for cluster in started:
        cluster.stop()


@pytest.fixture
def own_cluster(make_cluster: Callable[..., Cluster]) -> Cluster:
    """Two gateways and two shards that the test may break."""
    return make_cluster()


@pytest.fixture
def make_up(tmp_path: Path) -> Iterator[MakeUp]:
    """Starts `iii-cluster up` with the options it is given."""
    with ups(tmp_path) as make:
        yield make


@pytest.fixture
def valkey(tmp_path: Path) -> Iterator[ValkeyServer]:
    """An empty server that the test may break."""
    server = ValkeyServer(tmp_path)
    server.start()
    yield server
    server.close()


@pytest.fixture(scope="session")
def postgres(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PostgresServer]:
    """A server for all tests of one process; who restarts it leaves it running."""
    server = PostgresServer(tmp_path_factory.mktemp("postgres"))
    try:
        server.start()
        yield server
    finally:
        server.close()


@pytest.fixture(scope="session")
def rabbitmq(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RabbitServer]:
    """A broker for all tests of one process, which starts in 3 to 5 s; who restarts it leaves it running."""
    broker = RabbitServer(tmp_path_factory.mktemp("rabbitmq"))
    try:
        broker.start()
        yield broker
    finally:
        broker.close()


@pytest.fixture
def unique() -> str:
    """A prefix for ids that nobody else in the shared cluster uses."""
    return f"t{uuid.uuid4().hex[:10]}"


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[Any]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    report = yield
    if report.failed and call.when != "teardown":
        report.sections += [("cluster", cluster.logs()) for cluster in list(clusters.running)]
        report.sections += [("worker program", worker.tail()) for worker in list(sdk_worker.running)]
    return report
