"""A cluster with rules, for all tests of access."""

from collections.abc import AsyncIterator, Iterator

import pytest

from tests.support.access import Gatekeeper, gatekeeper, guarded_cluster
from tests.support.cluster import Cluster
from tests.support.raw import RawWorker, raw_worker


@pytest.fixture(scope="session")
def guarded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """Two gateways with all kinds of listeners; no test harms them, ids must be unique to the test."""
    with guarded_cluster(tmp_path_factory.mktemp("guarded-cluster")) as cluster:
        yield cluster


@pytest.fixture
async def keeper(guarded: Cluster) -> AsyncIterator[Gatekeeper]:
    """At the first gateway: what connects to the second one is decided about from elsewhere."""
    async with gatekeeper(guarded.gateways[0]) as keeper:
        yield keeper


@pytest.fixture
async def free(guarded: Cluster, keeper: Gatekeeper) -> AsyncIterator[RawWorker]:
    """A worker without rules, at the first gateway."""
    async with raw_worker(guarded.gateways[0].url, name="free") as worker:
        yield worker
