"""Published clients over TLS, with tokens, and compressed."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.conformance.conftest import Launch
from tests.conformance.known import known
from tests.support.certificates import Certificates
from tests.support.cluster import Cluster
from tests.support.eventually import eventually
from tests.support.sdk_worker import FAST_RECONNECTION
from tests.support.sdks import GENERATIONS, NODE_22, PYTHON_23, PYTHON_25, Generation

MakeCluster = Callable[..., Cluster]
TOKEN = "a-token-for-published-clients"
TEXT = "some text that repeats, " * 5000


def trusting(certificates: Certificates) -> dict[str, str]:
    """The environment of clients that trust an authority."""
    file = str(certificates.ca_file)
    return {"SSL_CERT_FILE": file, "NODE_EXTRA_CA_CERTS": file}


async def _calls(caller: Any, serving: Any, function: str) -> None:
    await serving.register(function)
    await known(caller, function)
    for data in ({"n": 1}, {"text": TEXT}):
        answer = (await caller.call(function, data))["data"]
        assert data.items() <= answer.items()


@pytest.mark.parametrize("generation", GENERATIONS, ids=str)
async def test_clients_connect_with_tls(
    make_cluster: MakeCluster, launch: Launch, tmp_path: Path, generation: Generation
) -> None:
    certificates = Certificates(tmp_path)
    cluster = make_cluster(shards=1, options=certificates.options)
    urls = [gateway.url.replace("ws://", "wss://") for gateway in cluster.gateways]
    caller = await launch(generation, urls[0], env=trusting(certificates))
    serving = await launch(generation, urls[1], env=trusting(certificates))
    await _calls(caller, serving, "tls::echo")


async def test_clients_show_the_token_of_their_environment(make_cluster: MakeCluster, launch: Launch) -> None:
    cluster = make_cluster(shards=1, env={"III_TOKEN": f"another-long-enough-token,{TOKEN}"})
    url = cluster.gateways[0].url
    caller = await launch(PYTHON_25, url, env={"III_TOKEN": TOKEN})
    serving = await launch(PYTHON_25, cluster.gateways[1].url, env={"III_TOKEN": TOKEN})
    await _calls(caller, serving, "tokens::echo")


@pytest.mark.parametrize("generation", [PYTHON_23, NODE_22], ids=str)
async def test_clients_show_a_token_as_a_header_and_in_their_address(
    make_cluster: MakeCluster, launch: Launch, generation: Generation
) -> None:
    cluster = make_cluster(shards=1, env={"III_TOKEN": TOKEN})
    headers = {"Authorization": f"Bearer {TOKEN}"}
    caller = await launch(generation, cluster.gateways[0].url, headers=headers)
    serving = await launch(generation, f"{cluster.gateways[1].url}/?token={TOKEN}")
    await _calls(caller, serving, "tokens::echo")


async def test_a_client_without_a_token_goes_on_trying(
    make_cluster: MakeCluster, launch: Launch, tmp_path: Path
) -> None:
    file = tmp_path / "tokens"
    file.write_text("not-the-one-that-is-shown")
    cluster = make_cluster(gateways=1, shards=1, options={"tokens-file": str(file)})
    worker = await launch(NODE_22, f"{cluster.gateways[0].url}/?token={TOKEN}", connect=False)
    await worker.ask("connect", url=worker.url, name=worker.name, reconnection=FAST_RECONNECTION)
    await eventually(lambda: "action=token_refused" in cluster.gateways[0].tail())
    file.write_text(TOKEN)
    await eventually(lambda: _connected(worker), within=30)


async def _connected(worker: Any) -> bool:
    return str((await worker.ask("state"))["state"]) == "connected"


@pytest.mark.parametrize("generation", GENERATIONS, ids=str)
async def test_clients_agree_to_compression(make_cluster: MakeCluster, launch: Launch, generation: Generation) -> None:
    cluster = make_cluster(shards=1, options={"compression": "all"})
    caller = await launch(generation, cluster.gateways[0].url)
    serving = await launch(generation, cluster.gateways[1].url)
    await _calls(caller, serving, "deflate::echo")


async def test_clients_take_compression_and_tls_together(
    make_cluster: MakeCluster, launch: Launch, tmp_path: Path
) -> None:
    certificates = Certificates(tmp_path)
    cluster = make_cluster(shards=1, options={"compression": "all", **certificates.options})
    urls = [gateway.url.replace("ws://", "wss://") for gateway in cluster.gateways]
    caller = await launch(PYTHON_25, urls[0], env=trusting(certificates))
    serving = await launch(NODE_22, urls[1], env=trusting(certificates))
    await _calls(caller, serving, "both::echo")
    await _calls(serving, caller, "both::back")
