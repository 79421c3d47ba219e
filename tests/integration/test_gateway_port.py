"""The ports of a host belong to the gateways of one cluster."""

from collections.abc import Callable

import pytest

from tests.support.cluster import Cluster
from tests.support.ports import release_port, reserve_port


def test_gateways_of_one_cluster_share_the_worker_port(own_cluster: Cluster) -> None:
    port = own_cluster.gateways[0].ports["worker"]
    second = own_cluster.spawn("gateway", "--worker-port", str(port))
    own_cluster.gateways.append(second)
    assert second.wait_ready().ports["worker"] == port


@pytest.mark.parametrize("name", ["stream", "http"])
def test_gateways_of_one_cluster_share_the_port_for_clients(make_cluster: Callable[..., Cluster], name: str) -> None:
    cluster = make_cluster(gateways=0, shards=1)
    port = reserve_port()
    try:
        for _ in range(2):
            gateway = cluster.spawn("gateway", "--worker-port", "0", f"--{name}-port", str(port))
            cluster.gateways.append(gateway)
            assert gateway.wait_ready().ports[name] == port
    finally:
        release_port(port)


@pytest.mark.parametrize("name", ["worker", "stream", "http"])
def test_a_gateway_of_another_cluster_is_refused(
    own_cluster: Cluster, make_cluster: Callable[..., Cluster], name: str
) -> None:
    other = make_cluster(gateways=0, shards=1, options={"cluster": "other"})
    ports = {"worker": 0, "stream": 0, "http": 0, name: own_cluster.gateways[0].ports[name]}
    stranger = other.spawn("gateway", *[part for name in ports for part in (f"--{name}-port", str(ports[name]))])
    try:
        assert stranger.wait() == 1
        assert "somebody outside this cluster" in stranger.tail()
        assert f"--{name}-port" in stranger.tail()
    finally:
        stranger.close()
