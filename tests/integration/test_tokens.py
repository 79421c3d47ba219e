"""Gateways that let in who shows a token."""

import asyncio
import os
import urllib.request
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest
from websockets.asyncio.client import connect
from websockets.exceptions import InvalidStatus

from tests.support.cluster import Cluster, ClusterNode
from tests.support.eventually import eventually
from tests.support.raw import echo, known, raw_worker

TOKEN = "a-token-of-the-environment"
IN_FILE = "a-token-of-the-file-0001"


@pytest.fixture
def tokens_file(tmp_path: Path) -> Path:
    file = tmp_path / "tokens.txt"
    file.write_text(f"# workers\n{IN_FILE}\n")
    return file


@pytest.fixture
def gateways(make_cluster: Callable[..., Cluster], tokens_file: Path) -> list[ClusterNode]:
    options, env = {"tokens-file": str(tokens_file)}, {"III_TOKEN": TOKEN}
    cluster = make_cluster(shards=1, options=options, env=env, fresh=True)  # forks do not have their command line
    return cluster.gateways


def shown(token: str) -> dict[str, object]:
    return {"additional_headers": {"Authorization": f"Bearer {token}"}}


def status(gateway: ClusterNode) -> str:
    with urllib.request.urlopen(f"{gateway.admin_url}/status", timeout=30) as answer:
        return str(answer.read().decode())


async def refused(url: str, **options: object) -> None:
    with pytest.raises(InvalidStatus) as raised:
        await connect(url, **options)  # type: ignore[arg-type]
    assert raised.value.response.status_code == 401
    assert raised.value.response.headers["WWW-Authenticate"].startswith("Bearer")
    assert TOKEN.encode() not in (raised.value.response.body or b"")


async def test_who_shows_a_token_is_let_in(gateways: list[ClusterNode]) -> None:
    async with (
        raw_worker(gateways[0].url, options=shown(TOKEN)) as one,
        raw_worker(f"{gateways[1].url}/?token={IN_FILE}") as other,
    ):
        await one.register("tokens::echo", echo)
        await known(other, "tokens::echo")
        assert await other.call("tokens::echo", {"n": 1}) is not None
    for path in ("", "/otel"):
        await refused(gateways[0].url + path)
        await refused(gateways[0].url + path + "?token=wrong")
    await refused(gateways[0].url, **shown("wrong"))
    async with connect(f"{gateways[0].url}/otel", **shown(IN_FILE)) as socket:  # type: ignore[arg-type]
        await (await socket.ping())


async def test_tokens_show_nowhere(gateways: list[ClusterNode]) -> None:
    gateway = gateways[0]
    async with raw_worker(f"{gateway.url}/?token={TOKEN}") as worker:
        await worker.flush()
    await refused(f"{gateway.url}/?token={TOKEN[:-1]}")
    said = [status(gateway), gateway.log.read_text(), " ".join(psutil.Process(gateway.pid).cmdline())]
    assert not [text for text in said if TOKEN[:-1] in text or IN_FILE in text]


async def test_a_changed_file_counts_for_new_connections(gateways: list[ClusterNode], tokens_file: Path) -> None:
    new = "a-token-that-came-later"
    async with raw_worker(gateways[0].url, options=shown(IN_FILE)) as early:
        replacement = tokens_file.with_suffix(".new")
        replacement.write_text(new)
        os.replace(replacement, tokens_file)
        await eventually(lambda: "action=tokens_reloaded" in gateways[0].tail())
        async with raw_worker(gateways[0].url, options=shown(new)) as later:
            await later.flush()
        await refused(gateways[0].url, **shown(IN_FILE))
        os.unlink(tokens_file)
        await eventually(lambda: "action=tokens_reload_failed" in gateways[0].tail())
        await refused(gateways[0].url)
        async with raw_worker(gateways[0].url, options=shown(new)) as later:
            await later.flush()
        await early.flush()


async def test_a_flood_of_failures_keeps_nobody_out(gateways: list[ClusterNode]) -> None:
    floods = [asyncio.create_task(refused(gateways[0].url)) for _ in range(40)]
    async with raw_worker(gateways[0].url, options=shown(TOKEN)) as worker:
        await worker.flush()
    await asyncio.gather(*floods)
    assert gateways[0].log.read_text().count("action=token_refused") <= 8


def test_a_file_without_tokens_ends_the_start(make_cluster: Callable[..., Cluster], tmp_path: Path) -> None:
    cluster = make_cluster(gateways=0, shards=1)
    node = cluster.spawn("gateway", "--worker-port", "0", "--tokens-file", str(tmp_path / "none"))
    try:
        assert node.wait() == 2
        assert "tokens: cannot read" in node.tail()
        assert "Traceback" not in node.tail()
    finally:
        node.close()
