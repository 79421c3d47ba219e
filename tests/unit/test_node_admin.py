import asyncio
import itertools
import json
from collections.abc import AsyncIterator
from typing import Any

import pytest

from iii_cluster.access.tokens import Tokens
from iii_cluster.node.admin import MAX_BODY, Admin, Page, bind, refused

TOKEN = "correct-horse-battery"
JSON = ((b"content-type", b"application/json"),)


async def act(body: bytes) -> tuple[int, Any]:
    return 202, {"got": body.decode()}


async def told(accept: str) -> tuple[str, bytes]:
    return "application/x-told", json.dumps(f"you accept {accept}").encode()


@pytest.fixture
async def port() -> AsyncIterator[int]:
    listener = bind("127.0.0.1", 0)
    number: int = listener.getsockname()[1]
    pages: dict[str, Page] = {"/ok": lambda: (200, {"fine": True}), "/not": lambda: (503, ["because"])}
    admin = Admin(listener, pages, {"/act": act}, texts={"/text": told})
    await admin.start()
    yield number
    await admin.stop()


async def request(port: int, method: str, path: str, headers: str = "", body: str = "") -> tuple[int, Any]:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    head = f"{method} {path} HTTP/1.1\r\nhost: localhost:{port}\r\nconnection: close\r\n{headers}"
    writer.write(f"{head}content-length: {len(body)}\r\n\r\n{body}".encode("latin-1"))
    answer, _, content = (await reader.read()).partition(b"\r\n\r\n")
    writer.close()
    await writer.wait_closed()
    return int(answer.split()[1]), json.loads(content) if content else None


async def post(port: int, body: str, kind: str = "application/json") -> tuple[int, Any]:
    return await request(port, "POST", "/act", f"content-type: {kind}\r\n", body)


def scope(client: str = "127.0.0.1", host: str = "localhost", headers: Any = JSON) -> dict[str, Any]:
    return {"client": (client, 5), "headers": [(b"host", host.encode()), *headers]}


async def test_a_page_is_served_as_json(port: int) -> None:
    assert await request(port, "GET", "/ok") == (200, {"fine": True})


async def test_a_page_chooses_its_status(port: int) -> None:
    assert await request(port, "GET", "/not") == (503, ["because"])


async def test_a_text_is_told_what_is_accepted(port: int) -> None:
    headers = "accept: text/plain\r\nAccept: */*\r\n"
    assert await request(port, "GET", "/text", headers) == (200, "you accept text/plain, */*")
    assert await request(port, "HEAD", "/text") == (200, None)
    assert (await request(port, "POST", "/text"))[0] == 405


async def test_an_unknown_path_is_not_found(port: int) -> None:
    assert (await request(port, "GET", "/"))[0] == 404
    assert (await request(port, "POST", "/"))[0] == 404


async def test_pages_are_only_read(port: int) -> None:
    assert (await request(port, "POST", "/ok"))[0] == 405
    assert await request(port, "HEAD", "/ok") == (200, None)


async def test_an_action_is_only_posted_to(port: int) -> None:
    assert await post(port, "{}") == (202, {"got": "{}"})
    assert (await request(port, "GET", "/act"))[0] == 405
    assert (await request(port, "OPTIONS", "/act"))[0] == 405


async def test_an_action_takes_json_only(port: int) -> None:
    assert (await post(port, "{}", "application/json; charset=utf-8"))[0] == 202
    assert (await post(port, "{}", "text/plain"))[0] == 415
    assert (await request(port, "POST", "/act"))[0] == 415


async def test_an_action_takes_a_small_body_only(port: int) -> None:
    assert (await post(port, "x" * MAX_BODY))[0] == 202
    assert (await post(port, "x" * (MAX_BODY + 1)))[0] == 413


@pytest.mark.parametrize("client", ["127.0.0.1", "::1", "::ffff:127.0.0.1"])
def test_this_host_may_act(client: str) -> None:
    assert refused(scope(client)) is None


@pytest.mark.parametrize("client", ["10.0.0.1", "::ffff:10.0.0.1", "fe80::1", ""])
def test_no_other_host_may_act(client: str) -> None:
    refusal = refused(scope(client))
    assert refusal is not None
    assert refusal[0] == 403


def test_without_a_known_peer_nobody_may_act() -> None:
    refusal = refused({**scope(), "client": None})
    assert refusal is not None
    assert refusal[0] == 403


@pytest.mark.parametrize("host", ["localhost", "localhost:1", "LOCALHOST:1", "127.0.0.1:1", "[::1]", "[::1]:1"])
def test_a_request_names_this_host(host: str) -> None:
    assert refused(scope(host=host)) is None


@pytest.mark.parametrize("host", ["", "evil.example", "localhost.evil.example:1", "10.0.0.1", "[", "evil@10.0.0.1"])
def test_a_request_that_names_another_host_comes_from_a_web_page(host: str) -> None:
    refusal = refused(scope(host=host))
    assert refusal is not None
    assert refusal[0] == 403


async def test_a_port_in_use_is_refused(port: int) -> None:
    with pytest.raises(OSError, match="in use"):
        bind("127.0.0.1", port).listen()


@pytest.fixture
async def guarded() -> AsyncIterator[int]:
    """A port that wants a token for all but probes."""
    listener = bind("127.0.0.1", 0)
    number: int = listener.getsockname()[1]
    pages: dict[str, Page] = {"/healthz": lambda: (200, None), "/readyz": lambda: (503, None), "/ok": lambda: (200, 1)}
    admin = Admin(listener, pages, {"/act": act}, tokens=Tokens((TOKEN,)), texts={"/text": told})
    await admin.start()
    yield number
    await admin.stop()


async def test_probes_need_no_token(guarded: int) -> None:
    assert [(await request(guarded, "GET", path))[0] for path in ("/healthz", "/readyz")] == [200, 503]
    assert (await request(guarded, "HEAD", "/%68ealthz"))[0] == 200


@pytest.mark.parametrize("shown", ["", "Bearer ", f"Bearer {TOKEN}x", f"Basic {TOKEN}", "Bearer \xff\xfe", "\xff"])
async def test_nothing_else_is_told_without_a_token(guarded: int, shown: str) -> None:
    paths = ("/ok", "/act", "/text", "/unknown", "/healthz/", "/readyz/../ok", "//healthz", "/ok?/healthz")
    header = f"Authorization: {shown}\r\n" if shown else ""
    for method, path in itertools.product(("GET", "POST", "OPTIONS"), paths):
        status, body = await request(guarded, method, path, header)
        assert (status, list(body)) == (401, ["error"])


async def test_a_token_opens_pages_and_actions(guarded: int) -> None:
    header = f"Authorization: bearer {TOKEN}\r\n"
    assert await request(guarded, "GET", "/ok", header) == (200, 1)
    assert (await request(guarded, "GET", "/unknown", header))[0] == 404
    assert (await request(guarded, "POST", "/act", f"{header}content-type: application/json\r\n", "{}"))[0] == 202
    assert (await request(guarded, "POST", "/act", header, "{}"))[0] == 415


async def test_who_shows_nothing_is_asked_for_a_token_and_not_counted(
    guarded: int, caplog: pytest.LogCaptureFixture
) -> None:
    for _ in range(3):
        assert (await request(guarded, "GET", "/ok"))[0] == 401
    assert "admin_token_refused" not in caplog.text
    await request(guarded, "GET", "/ok", "Authorization: Bearer wrong\r\n")
    assert "action=admin_token_refused address=127.0.0.1 count=1" in caplog.text


async def test_refusals_are_logged_ever_less_often_and_without_what_was_shown(
    guarded: int, caplog: pytest.LogCaptureFixture
) -> None:
    for _ in range(9):
        await request(guarded, "GET", "/ok", "Authorization: Bearer secret\r\n")
    lines = [record.getMessage() for record in caplog.records if "admin_token_refused" in record.getMessage()]
    assert lines == [f"action=admin_token_refused address=127.0.0.1 count={count}" for count in (1, 2, 4, 8)]
