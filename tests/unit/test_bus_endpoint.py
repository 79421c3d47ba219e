import ssl
from collections import Counter

import pytest

from iii_cluster.bus.endpoint import Endpoint, place


def test_urls_are_read_as_redis_py_reads_them() -> None:
    endpoint = Endpoint("redis://user:p%40ss@example:7000/3")
    assert (endpoint.host, endpoint.port, endpoint.username, endpoint.password) == ("example", 7000, "user", "p@ss")
    assert endpoint.tls is None
    assert endpoint.name == "example:7000"


def test_defaults_and_sockets() -> None:
    assert Endpoint("redis://localhost").port == 6379
    assert Endpoint("unix:///run/redis.sock").name == "/run/redis.sock"


def test_tls_verifies_unless_told_otherwise() -> None:
    context = Endpoint("rediss://example").tls
    assert context is not None
    assert (context.verify_mode, context.check_hostname) == (ssl.CERT_REQUIRED, True)
    context = Endpoint("rediss://example?ssl_cert_reqs=none").tls
    assert context is not None
    assert (context.verify_mode, context.check_hostname) == (ssl.CERT_NONE, False)


@pytest.mark.parametrize("url", ["example:6379", "http://example", "rediss://example?ssl_cert_reqs=perhaps"])
def test_other_urls_are_refused(url: str) -> None:
    with pytest.raises(ValueError, match=r"URL|ssl_cert_reqs"):
        Endpoint(url)


def test_inboxes_are_spread_evenly_whatever_the_order_of_the_servers() -> None:
    names = ["a:1", "b:1", "c:1"]
    nodes = [f"gateway-{n}" for n in range(3000)]
    spread = Counter(names[place(node, names)] for node in nodes)
    assert min(spread.values()) > 850
    turned = names[::-1]
    assert all(turned[place(node, turned)] == names[place(node, names)] for node in nodes)


def test_a_new_server_takes_inboxes_and_moves_no_others() -> None:
    names = ["a:1", "b:1"]
    more = [*names, "c:1"]
    for n in range(1000):
        now = more[place(f"node-{n}", more)]
        assert now in ("c:1", names[place(f"node-{n}", names)])
