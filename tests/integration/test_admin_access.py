"""Admin ports of every role with TLS and tokens, and the commands that ask them."""

import asyncio
import contextlib
import os
import socket
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.support import admin
from tests.support.certificates import HOST, Certificates, serial
from tests.support.cluster import Cluster, ClusterNode
from tests.support.eventually import eventually
from tests.support.up import COMMAND, MakeUp

MakeCluster = Callable[..., Cluster]

TOKEN = "a-token-of-the-environment"
IN_FILE = "a-token-of-the-file-0001"


@pytest.fixture
def certificates(tmp_path: Path) -> Certificates:
    return Certificates(tmp_path)


def https(node: ClusterNode, path: str = "") -> str:
    return f"https://{HOST}:{node.ports['admin']}{path}"


def command(*arguments: str, **variables: str) -> subprocess.CompletedProcess[str]:
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("III_")}
    return subprocess.run(
        [*COMMAND, *arguments], capture_output=True, text=True, timeout=90, check=False, env=inherited | variables
    )


async def run(*arguments: str, **variables: str) -> subprocess.CompletedProcess[str]:
    return await asyncio.to_thread(command, *arguments, **variables)


# TLS


def test_probes_of_every_role_are_answered_over_tls_alone(
    make_cluster: MakeCluster, certificates: Certificates
) -> None:
    cluster = make_cluster(gateways=1, shards=1, options=certificates.admin_options)
    for node in cluster.nodes:
        for path in ("/healthz", "/readyz"):
            assert admin.get(https(node, path), certificates.client())[0] == 200
        with socket.create_connection((HOST, node.ports["admin"]), timeout=10) as plain:
            plain.sendall(b"GET /healthz HTTP/1.1\r\nhost: localhost\r\n\r\n")
            with contextlib.suppress(ConnectionResetError):
                assert not plain.recv(100).startswith(b"HTTP")
    known = admin.get(https(cluster.nodes[0], "/cluster"), certificates.client())[1]["nodes"]
    assert {tuple(node["tls"]) for node in known} == {("admin", "metrics")}


def test_commands_find_their_way_with_the_authority(make_cluster: MakeCluster, certificates: Certificates) -> None:
    cluster = make_cluster(gateways=2, shards=1, options=certificates.admin_options)
    ca_file, port = str(certificates.ca_file), str(cluster.shards[0].ports["admin"])
    for where in (("--admin", https(cluster.gateways[0])), ("--admin", port, "--tls"), ("--admin", port)):
        assert command("status", *where, "--ca-file", ca_file).returncode == 0
    assert command("status", "--admin", https(cluster.gateways[0]), III_CLUSTER_CA_FILE=ca_file).returncode == 0
    untrusted = command("status", "--admin", port, "--tls")
    assert (untrusted.returncode, "is not trusted" in untrusted.stderr) == (1, True)
    plain = command("status", "--admin", port, III_CLUSTER_CA_FILE=ca_file)
    assert plain.stderr == f"error: what listens at http://{HOST}:{port} is no admin port, or wants TLS (--tls)\n"
    leaving = cluster.gateways[1]
    drained = command("drain", leaving.id, "--admin", https(cluster.gateways[0]), "--ca-file", ca_file)
    assert (drained.returncode, drained.stdout) == (0, f"{leaving.id} has left the cluster\n"), drained.stderr
    assert leaving.wait() == 0


def test_a_certificate_for_another_name_is_accepted_under_that_name(make_cluster: MakeCluster, tmp_path: Path) -> None:
    certificates = Certificates(tmp_path, hosts=("admin.example.org",))
    cluster = make_cluster(gateways=1, shards=1, options=certificates.admin_options)
    arguments = ("status", "--admin", https(cluster.shards[0]), "--ca-file", str(certificates.ca_file))
    assert "is for another name" in command(*arguments).stderr
    named = command(*arguments, "--server-name", "admin.example.org")
    assert named.returncode == 0, named.stderr + named.stdout


def test_who_asks_may_have_to_show_a_certificate(make_cluster: MakeCluster, certificates: Certificates) -> None:
    options = certificates.admin_options | {"admin-tls-client-ca-file": str(certificates.ca_file)}
    cluster = make_cluster(gateways=1, shards=1, options=options)
    node = cluster.coordinators[0]
    with pytest.raises(OSError, match=r"(?i)certificate required|reset|closed|EOF|broken pipe"):
        admin.get(https(node, "/healthz"), certificates.client())
    assert admin.get(https(node, "/healthz"), certificates.client(certificate=True))[0] == 200
    arguments = ("status", "--admin", https(node), "--ca-file", str(certificates.ca_file))
    without = command(*arguments)
    assert (without.returncode, without.stderr.count("\n")) == (1, 1)
    assert "--client-cert" in without.stderr
    own = ("--client-cert", str(certificates.cert_file), "--client-key", str(certificates.key_file))
    assert command(*arguments, *own).returncode == 0


async def test_a_new_certificate_is_used_without_a_restart(
    make_cluster: MakeCluster, certificates: Certificates
) -> None:
    cluster = make_cluster(gateways=1, shards=1, options=certificates.admin_options)
    context = certificates.client()

    def shown(node: ClusterNode) -> int:
        with (
            socket.create_connection((HOST, node.ports["admin"]), timeout=10) as plain,
            context.wrap_socket(plain, server_hostname=HOST) as wrapped,
        ):
            return serial(wrapped)

    first = shown(cluster.shards[0])
    certificates.key_file.write_text("no key at all")
    await eventually(lambda: all("action=tls_reload_failed" in node.tail() for node in cluster.nodes))
    assert {shown(node) for node in cluster.nodes} == {first}
    second = certificates.issue()
    await eventually(lambda: {shown(node) for node in cluster.nodes} == {second})
    assert not [node.name for node in cluster.nodes if "Traceback" in node.tail()]


async def test_handshakes_that_fail_leave_the_port_as_it_was(
    make_cluster: MakeCluster, certificates: Certificates
) -> None:
    node = make_cluster(gateways=1, shards=1, options=certificates.admin_options).shards[0]
    for said in (b"", b"\x16\x03\x01\x02", b"GET / HTTP/1.1\r\n\r\n", os.urandom(200)):
        reader, writer = await asyncio.open_connection(HOST, node.ports["admin"])
        writer.write(said)
        with contextlib.suppress(OSError):  # it may have heard enough before the end
            writer.write_eof()
            await reader.read()
        writer.close()
    assert (await asyncio.to_thread(admin.get, https(node, "/readyz"), certificates.client()))[0] == 200
    assert "Traceback" not in node.tail()


@pytest.mark.parametrize("wanted", [False, True])
async def test_up_asks_its_own_processes_whatever_their_certificate_is_for(
    make_up: MakeUp, tmp_path: Path, wanted: bool
) -> None:
    certificates = Certificates(tmp_path, hosts=("admin.example.org",))
    options = certificates.admin_options
    if wanted:
        options |= {"admin-tls-client-ca-file": str(certificates.ca_file)}
    up = await make_up(
        "--shards", "1", *(part for name, value in options.items() for part in (f"--{name}", value))
    ).ready()
    assert up.find(r"^leader +(\S+)").startswith("coordinator-")
    assert up.admin.startswith(f"https://{HOST}:")
    shown = "--ca-file FILE" + (" --client-cert FILE --client-key FILE" if wanted else "")
    assert up.find(r"^status +(.+)$").endswith(f"--tls {shown}")
    own = ("--client-cert", str(certificates.cert_file), "--client-key", str(certificates.key_file)) if wanted else ()
    asked = ("--admin", up.admin, "--ca-file", str(certificates.ca_file), "--server-name", "admin.example.org", *own)
    assert (await run("status", *asked)).returncode == 0
    restarted = await run("restart", "--rolling", "--data-dir", str(up.data_dir))
    assert restarted.returncode == 0, restarted.stderr
    assert up.stop() == 0


# Tokens


@pytest.fixture
def tokens_file(tmp_path: Path) -> Path:
    file = tmp_path / "tokens.txt"
    file.write_text(f"{IN_FILE}\n")
    return file


@pytest.fixture
def guarded(make_cluster: MakeCluster, tokens_file: Path) -> Cluster:
    """With admin ports that others reach."""
    options = {"admin-host": "0.0.0.0", "tokens-file": str(tokens_file)}
    return make_cluster(gateways=2, shards=1, options=options, env={"III_TOKEN": TOKEN})


def status_of(node: ClusterNode, path: str, token: str = "") -> int:
    return admin.get(f"{node.admin_url}{path}", token=token)[0]


def test_what_is_no_probe_wants_a_token_where_others_reach_the_port(guarded: Cluster) -> None:
    for node in guarded.nodes:
        assert [status_of(node, path) for path in ("/healthz", "/readyz")] == [200, 200]
        for path in ("/cluster", "/status", "/drain", "/unknown"):
            assert status_of(node, path) == 401
            assert status_of(node, path, "wrong") == 401
        for token in (TOKEN, IN_FILE):
            assert [status_of(node, path, token) for path in ("/cluster", "/status")] == [200, 200]
        assert status_of(node, f"/status?token={TOKEN}") == 401
        assert admin.post(f"{node.admin_url}/drain", {})[0] == 401
        assert "action=admin_token_refused" in node.tail()
        assert TOKEN not in node.log.read_text()
        assert node.running


def test_commands_show_the_token_of_the_environment(guarded: Cluster) -> None:
    where = ("--admin", guarded.shards[0].admin_url)
    assert command("status", *where, III_TOKEN=TOKEN).returncode == 0
    without, wrong = command("status", *where), command("status", *where, III_TOKEN="wrong")
    at = f"the admin port at {guarded.shards[0].admin_url}"
    assert (without.returncode, without.stderr) == (1, f"error: {at} wants a token; set III_TOKEN\n")
    assert (wrong.returncode, wrong.stderr) == (1, f"error: {at} does not accept the token in III_TOKEN\n")
    leaving = guarded.gateways[0]
    assert command("drain", leaving.id, *where).returncode == 1
    assert command("drain", leaving.id, *where, III_TOKEN=IN_FILE).returncode == 0
    assert leaving.wait() == 0


async def test_a_changed_file_of_tokens_counts(guarded: Cluster, tokens_file: Path) -> None:
    new = "a-token-that-came-later"
    await asyncio.to_thread(tokens_file.write_text, f"{new}\n")
    await eventually(lambda: {status_of(node, "/status", new) for node in guarded.nodes} == {200})
    assert {status_of(node, "/status", IN_FILE) for node in guarded.nodes} == {401}


def test_on_this_host_alone_no_token_is_wanted(make_cluster: MakeCluster) -> None:
    cluster = make_cluster(gateways=1, shards=1, env={"III_TOKEN": TOKEN})
    assert {status_of(node, "/status") for node in cluster.nodes} == {200}
    assert not [node.name for node in cluster.nodes if "action=admin_open" in node.tail()]


def test_a_port_that_others_reach_without_a_token_is_told(make_cluster: MakeCluster) -> None:
    cluster = make_cluster(gateways=1, shards=1, options={"admin-host": "0.0.0.0"})
    assert all("action=admin_open host=0.0.0.0" in node.tail() for node in cluster.nodes)
    assert status_of(cluster.shards[0], "/status") == 200


async def test_up_shows_its_own_processes_a_token(make_up: MakeUp, tokens_file: Path) -> None:
    up = await make_up("--shards", "1", "--admin-host", "0.0.0.0", "--tokens-file", str(tokens_file)).ready()
    assert up.find(r"^leader +(\S+)").startswith("coordinator-")
    assert up.find(r"^status +(.+)$").startswith("III_TOKEN=... iii-cluster status")
    assert (await run("status", "--admin", up.admin, III_TOKEN=IN_FILE)).returncode == 0
    assert up.stop() == 0
    assert "action=admin_token_refused" not in up.log.read_text()
