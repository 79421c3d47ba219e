"""The worker port of a host belongs to the gateways of one cluster."""

from collections.abc import Callable

from tests.support.cluster import Cluster


def test_gateways_of_one_cluster_share_it(own_cluster: Cluster) -> None:
    port = own_cluster.gateways[0].ports["worker"]
    second = own_cluster.spawn("gateway", "--worker-port", str(port))
    own_cluster.gateways.append(second)
    assert second.wait_ready().ports["worker"] == port


def test_a_gateway_of_another_cluster_is_refused(own_cluster: Cluster, make_cluster: Callable[..., Cluster]) -> None:
    other = make_cluster(gateways=0, shards=1, options={"cluster": "other"})
    stranger = other.spawn("gateway", "--worker-port", str(own_cluster.gateways[0].ports["worker"]))
    try:
        assert stranger.wait() == 1
        assert "somebody outside this cluster" in stranger.tail()
    finally:
        stranger.close()
