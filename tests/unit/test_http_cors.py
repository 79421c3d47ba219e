"""What browsers are told of other origins' pages."""

import pytest

from gateway.http.cors import CorsPolicy
from iii_cluster.modules.http.config import Cors

ORIGIN = b"access-control-allow-origin"
METHODS = b"access-control-allow-methods"
VARY = (b"vary", b"origin, access-control-request-method, access-control-request-headers")


def test_without_settings_everything_is_allowed_to_everybody() -> None:
    policy = CorsPolicy(None)
    assert policy.headers("https://a") == ((ORIGIN, b"*"), (b"access-control-expose-headers", b"*"))
    assert policy.preflight() == (200, ((METHODS, b"*"), (b"access-control-allow-headers", b"*"), VARY), b"")


@pytest.mark.parametrize("origins", [(), ("*",), ("https://a", "*")])
def test_no_origins_or_a_star_mean_any(origins: tuple[str, ...]) -> None:
    policy = CorsPolicy(Cors(allowed_origins=origins, allowed_methods=("get", "POST")))
    assert policy.headers("https://b") == policy.headers("") == ((ORIGIN, b"*"),)
    assert policy.preflight().headers[0] == (METHODS, b"GET, POST")


@pytest.mark.parametrize("asked", ["authorization", "Authorization,x-mine", "content-type , \tx_y"])
def test_headers_that_a_preflight_asks_for_are_allowed_by_their_names(asked: str) -> None:
    for policy in (CorsPolicy(None), CorsPolicy(Cors(allowed_origins=("https://a",)))):
        assert (b"access-control-allow-headers", asked.encode()) in policy.preflight(asked).headers
        assert len(policy.preflight(asked).headers) == len(policy.preflight().headers)


@pytest.mark.parametrize("asked", ["", ",", "a b", "a,", "a\r\nb: c", "a\n", "é", "a" * 5000])
def test_what_is_no_list_of_headers_is_not_repeated(asked: str) -> None:
    assert (b"access-control-allow-headers", b"*") in CorsPolicy(None).preflight(asked).headers


def test_listed_origins_are_echoed_and_no_others() -> None:
    policy = CorsPolicy(Cors(allowed_origins=("https://a", "https://b")))
    assert policy.headers("https://b") == ((ORIGIN, b"https://b"), VARY)
    for other in ("https://c", "https://a.evil", "HTTPS://A", ""):
        assert policy.headers(other) == (VARY,)
    assert VARY not in policy.preflight().headers  # it comes with those above
    assert policy.preflight().headers[0] == (METHODS, b"*")


def test_what_functions_say_of_it_themselves_is_replaced() -> None:
    assert CorsPolicy(None).owned == {ORIGIN, b"access-control-expose-headers"}
    assert CorsPolicy(Cors()).owned == {ORIGIN}
