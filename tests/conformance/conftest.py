"""Workers on published clients, connected to the gateways of a cluster."""

from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping
from pathlib import Path

import pytest

from tests.support.cluster import Cluster
from tests.support.sdk_worker import SdkWorker
from tests.support.sdks import INSTALL_TIMEOUT, ClientMissing, Generation

Launch = Callable[..., Awaitable[SdkWorker]]

HERE = Path(__file__).parent


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The first test that needs a client installs it, and others wait for that."""
    for item in items:
        if HERE in item.path.parents and item.get_closest_marker("timeout") is None:
            item.add_marker(pytest.mark.timeout(INSTALL_TIMEOUT + 60))


class Fleet:
    """One connected worker per client generation and gateway of the shared cluster, started when first asked for."""

    def __init__(self, cluster: Cluster, directory: Path) -> None:
        self._cluster = cluster
        self._directory = directory
        self._workers: dict[tuple[Generation, int], SdkWorker] = {}

    async def worker(self, generation: Generation, gateway: int = 0) -> SdkWorker:
        key = (generation, gateway)
        if key not in self._workers:
            url = self._cluster.gateways[gateway].url
            worker = start_worker(generation, self._directory, f"{generation}-on-{gateway}", url)
            self._workers[key] = worker
            await worker.connect()
        return self._workers[key]

    def close(self) -> None:
        for worker in self._workers.values():
            worker.close()


def start_worker(
    generation: Generation,
    directory: Path,
    name: str,
    url: str,
    telemetry: bool = False,
    env: Mapping[str, str] | None = None,
) -> SdkWorker:
    """A started program, not connected yet; skips the test where the client cannot run."""
    try:
        return SdkWorker(generation, directory, name, url, telemetry, env)
    except ClientMissing as missing:
        pytest.skip(f"{generation}: {missing}")


@pytest.fixture(scope="session")
def fleet(shared_cluster: Cluster, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Fleet]:
    fleet = Fleet(shared_cluster, tmp_path_factory.mktemp("fleet"))
    yield fleet
    fleet.close()


@pytest.fixture
async def launch(tmp_path: Path) -> AsyncIterator[Launch]:
    """Starts and connects workers of a test's own: `await launch(generation, url, name)`."""
    workers: list[SdkWorker] = []

    async def launch(
        generation: Generation,
        url: str,
        name: str = "",
        *,
        telemetry: bool = False,
        env: Mapping[str, str] | None = None,
        connect: bool = True,
        **options: object,
    ) -> SdkWorker:
        name = name or f"{generation}-{len(workers)}"
        worker = start_worker(generation, tmp_path, name, url, telemetry, env)
        workers.append(worker)
        return await worker.connect(**options) if connect else worker

    yield launch
    for worker in workers:
        worker.close()
