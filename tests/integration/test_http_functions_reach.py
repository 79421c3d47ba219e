"""Where calls of HTTP functions go, and never go: redirects, addresses, certificates."""

import asyncio
import socket
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from iii_cluster.outgoing import names as names_module
from iii_cluster.outgoing.security import Security
from iii_cluster.outgoing.urls import UrlPolicy
from tests.support.certificates import Certificates
from tests.support.http_functions import OPEN, calling, hosts
from tests.support.http_target import Answer, Asked, Reply, http_target

# -- redirects


async def test_redirects_are_answers_unless_they_are_to_be_followed() -> None:
    async with http_target(Reply(302, b"<html>", {"Location": "http://127.0.0.1:1/"})) as target, calling() as call:
        assert await call(target.url()) is None
        assert len(target.asked) == 1


def following(most: int, **more: Any) -> Security:
    return Security(**{"require_https": False, "block_private_ips": False, "max_redirects": most, **more})


async def test_redirects_are_followed_so_far() -> None:
    def answer(asked: Asked) -> Answer:
        left = int(asked.path[1:])
        return Reply(307, b"", {"Location": f"/{left - 1}"}) if left else Reply(body=asked.body)

    async with http_target(answer) as target, calling(following(3)) as call:
        assert await call(target.url("/3"), {"a": 1}, auth={"type": "bearer", "token_key": "TOKEN"}) == {"a": 1}
        assert all(asked.headers["authorization"] == "Bearer t0ken" for asked in target.asked)
        assert await call.fails(target.url("/4")) == ("http_request_failed", "more than 3 redirects")


async def test_credentials_stay_at_home() -> None:
    async with http_target() as other, http_target() as target, calling(following(1)) as call:
        target.behaviour = lambda _: Reply(307, b"", {"Location": other.url("/x")})
        headers, auth = {"X-Env": "prod", "Cookie": "a=b"}, {"type": "bearer", "token_key": "TOKEN"}
        assert await call(target.url(), 1, headers=headers, auth=auth) == 1
        asked = other.asked[0]
        assert asked.path == "/x"
        assert not {"authorization", "x-env", "cookie", "referer"} & asked.headers.keys()


@pytest.mark.parametrize(
    ("location", "reason"),
    [
        ("http://10.0.0.1/", "Private IP blocked"),
        ("http://2130706433/", "Private IP blocked"),
        ("http://inside.example/", "Private IP blocked"),
        ("http://nowhere.example/", "DNS lookup failed"),
        ("http://other.test/", "URL not in allowlist"),
        ("ftp://start.example/", "Invalid URL"),
        ("http://a@start.example/", "Invalid URL"),
    ],
)
async def test_every_hop_is_checked(location: str, reason: str, monkeypatch: pytest.MonkeyPatch) -> None:
    async with http_target(Reply(302, b"", {"Location": location})) as target:
        port = int(target.url().split(":")[2].strip("/"))
        security = following(5, block_private_ips=True, url_allowlist=("*.example", "10.*", "127.*"))
        async with calling(security, hosts({"start.example": "1.1.1.1", "inside.example": "127.0.0.1"})) as call:
            redirect_sockets(monkeypatch, "1.1.1.1", "127.0.0.1")
            assert await call.fails(f"http://start.example:{port}/") == ("url_validation_failed", reason)
            assert len(target.asked) == 1


# -- addresses


def redirect_sockets(monkeypatch: pytest.MonkeyPatch, address: str, to: str) -> None:
    """The network of the test takes what is for `address` to another one."""
    loop = asyncio.get_running_loop()
    connect = loop.sock_connect

    async def elsewhere(sock: socket.socket, wanted: Any) -> None:
        await connect(sock, (to, wanted[1]) if wanted[0] == address else wanted)

    monkeypatch.setattr(loop, "sock_connect", elsewhere)


async def test_only_addresses_that_were_judged_are_connected_to(monkeypatch: pytest.MonkeyPatch) -> None:
    """A name server that says something else at the second question gets nobody anywhere."""
    monkeypatch.setattr(names_module, "LIFETIME", 0.0)
    said: list[str] = []

    async def lookup(host: str) -> Sequence[str]:
        said.append(host)
        return ["1.1.1.1"] if len(said) == 1 else ["127.0.0.1"]

    async with http_target() as target:
        port = int(target.url().split(":")[2].strip("/"))
        async with calling(Security(require_https=False), lookup) as call:
            assert await call.fails(f"http://rebinding.example:{port}/") == (
                "url_validation_failed",
                "Private IP blocked",
            )
        assert len(said) == 2
        assert not target.connections


async def test_not_even_the_client_itself_reaches_a_private_address() -> None:
    async with http_target() as target, calling(Security(require_https=False)) as call:
        judged = UrlPolicy(OPEN).check(target.url())
        with pytest.raises(Exception, match="not allowed"):
            await call.client.exchange("GET", judged, [], b"")
        assert not target.connections


@pytest.mark.parametrize(
    ("url", "reason"),
    [
        ("http://127.0.0.1/", "HTTPS is required"),
        ("https://unknown.example/", "DNS lookup failed"),
        ("https://inside.example/", "Private IP blocked"),
        ("https://both.example/", "Private IP blocked"),
        ("https://mapped.example/", "Private IP blocked"),
    ],
)
async def test_every_call_is_checked(url: str, reason: str) -> None:
    rows = {"inside.example": "10.0.0.1", "both.example": "1.1.1.1 ::1", "mapped.example": "::ffff:192.168.0.1"}
    async with calling(Security(), hosts(rows)) as call:
        assert await call.fails(url) == ("url_validation_failed", reason)


async def test_names_lead_to_their_addresses() -> None:
    async with http_target() as target, calling(OPEN, hosts({"api.example": "127.0.0.1"})) as call:
        url = target.url(host="API.example.")
        assert await call(url, 1) == 1
        assert target.asked[0].headers["host"] == target.url(host="api.example").split("/")[2]


# -- TLS


async def test_certificates_are_verified(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    certificates = Certificates(tmp_path)
    async with http_target(context=_server(certificates)) as target:
        security = Security(block_private_ips=False)
        async with calling(security) as call:
            code, message = await call.fails(target.url())
            assert code == "http_request_failed"
            assert "could not connect" in message
            assert "certificate" in message.lower()
            assert target.connections <= 1  # there is no use in trying again
        monkeypatch.setenv("SSL_CERT_FILE", str(certificates.ca_file))
        rows = hosts({"wrong.example": "127.0.0.1", "localhost": "127.0.0.1"})
        async with calling(security, rows) as call:
            assert await call(target.url(), 1) == 1
            assert await call(target.url(host="localhost"), 1) == 1
            code, message = await call.fails(target.url(host="wrong.example"))
            assert "could not connect" in message


async def test_what_was_encrypted_stays_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    certificates = Certificates(tmp_path)
    monkeypatch.setenv("SSL_CERT_FILE", str(certificates.ca_file))
    async with http_target() as plain, http_target(context=_server(certificates)) as target:
        target.behaviour = lambda _: Reply(307, b"", {"Location": plain.url()})
        async with calling(following(5)) as call:
            assert await call.fails(target.url()) == ("url_validation_failed", "HTTPS is required")
        assert not plain.asked


def _server(certificates: Certificates) -> Any:
    import ssl

    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificates.cert_file, certificates.key_file)
    return context
