import json
import socket
from collections.abc import Callable, Iterator

import pytest
from click.testing import CliRunner

from iii_cluster.cli.main import main
from iii_cluster.cli.screen import Screen
from iii_cluster.cli.summary import print_summary
from iii_cluster.config.settings import ModuleEntry, Settings, Tls, WorkerListener
from iii_cluster.local.child import Ready
from tests.support.admin_ports import Pages, admin_ports, cluster, node
from tests.support.ports import release_port, reserve_port


@pytest.fixture
def admin() -> Iterator[Callable[[Pages], int]]:
    with admin_ports() as start:
        yield start


def test_status_asks_every_node_it_can_reach(admin: Callable[[Pages], int]) -> None:
    dead = reserve_port()
    busy = admin({"/readyz": (503, {"ready": False, "reasons": ["bus is not subscribed"]})})
    pages: Pages = {"/readyz": (200, {"ready": True, "reasons": []})}
    port = admin(pages)
    pages |= cluster(
        node("shard-a", "shard", port),
        node("gateway-b", "gateway", busy),
        node("gateway-c", "gateway", dead),
        node("gateway-d", "gateway", port, host="another-machine"),
    )
    result = CliRunner().invoke(main, ["status", "--json", "--admin", f"http://127.0.0.1:{port}/"])
    release_port(dead)
    found = json.loads(result.stdout)
    assert (found["term"], found["epoch"], found["leader"]) == (3, 7, "c")
    assert [(one["id"], one["ready"], one["slots"]) for one in found["nodes"]] == [
        ("gateway-b", False, 0),
        ("gateway-c", False, 0),
        ("gateway-d", None, 0),
        ("shard-a", True, 20),
    ]
    assert found["nodes"][0]["reasons"] == ["bus is not subscribed"]
    assert "no admin port answers" in found["nodes"][1]["reasons"][0]


def test_status_is_one_line_per_node(admin: Callable[[Pages], int]) -> None:
    pages: Pages = {"/readyz": (200, {"ready": True, "reasons": []})}
    port = admin(pages)
    pages |= cluster(node("shard-a", "shard", port))
    result = CliRunner().invoke(main, ["status"], env={"III_CLUSTER_ADMIN": f"http://127.0.0.1:{port}"})
    head, columns, row = result.stdout.splitlines()[:3]
    assert head == "term 3, epoch 7, leader c"
    assert columns.split("\t") == ["role", "id", "host", "pid", "ports", "slots", "ready"]
    assert row.split("\t") == ["shard", "shard-a", socket.gethostname(), "1", f"admin:{port}", "20", "yes"]


def test_status_as_json_has_a_line_per_node_and_per_owner_of_slots(admin: Callable[[Pages], int]) -> None:
    port = admin({"/readyz": (200, {"ready": True, "reasons": []})} | cluster(node("shard-a", "shard", 0)))
    result = CliRunner().invoke(main, ["status", "--json", "--admin", f"127.0.0.1:{port}"])
    lines = result.stdout.splitlines()
    assert '    "shard-a": [[0, 9], [20, 29]]' in lines
    assert len(lines) == 11
    assert json.loads(result.stdout)["nodes"][0]["slots"] == 20


def test_status_shows_who_drains_and_who_is_fenced(admin: Callable[[Pages], int]) -> None:
    fenced = admin({"/readyz": (503, {"ready": False, "reasons": ["fenced: its lease ran out"]})})
    pages: Pages = {"/readyz": (503, {"ready": False, "reasons": ["draining"]})}
    port = admin(pages)
    pages |= cluster(
        node("gateway-a", "gateway", port),
        node("gateway-b", "gateway", fenced),
        node("gateway-c", "gateway", port, host="another-machine") | {"draining": True},
    )
    result = CliRunner().invoke(main, ["status", "--admin", f"http://127.0.0.1:{port}"])
    assert [line.split("\t")[-1] for line in result.stdout.splitlines()[2:5]] == [
        "no: draining",
        "no: fenced: its lease ran out",
        "no: draining",
    ]


WHOLE = {"shard-a": [[0, 1023]]}


def well(admin: Callable[[Pages], int]) -> tuple[int, Pages]:
    """One node that is everything, on a port, and its pages."""
    pages: Pages = {"/readyz": (200, {"node": "shard-a", "ready": True, "reasons": []})}
    port = admin(pages)
    pages |= cluster(node("shard-a", "shard", port))
    pages["/cluster"][1].update(leader="shard-a", slots=dict(WHOLE))
    return port, pages


@pytest.mark.parametrize("options", [(), ("--json",)])
def test_a_cluster_that_lacks_nothing_is_exit_code_0(admin: Callable[[Pages], int], options: tuple[str, ...]) -> None:
    port, pages = well(admin)
    command = ["status", *options, "--admin", f"127.0.0.1:{port}"]
    assert CliRunner().invoke(main, command).exit_code == 0
    pages["/readyz"] = (503, {"node": "shard-a", "ready": False, "reasons": ["draining"]})
    assert CliRunner().invoke(main, command).exit_code == 1


@pytest.mark.parametrize(
    ("lacks", "line"),
    [
        ({"slots": {"shard-a": [[0, 1000]]}}, "23 of 1024 slots have no owner: a shard is missing"),
        ({"leader": ""}, "no coordinator leads: no node can join, leave or be declared dead"),
        ({"leader": "coordinator-gone"}, "no coordinator leads: no node can join, leave or be declared dead"),
    ],
)
def test_what_a_cluster_lacks_is_a_line_and_an_exit_code(
    admin: Callable[[Pages], int], lacks: dict[str, object], line: str
) -> None:
    port, pages = well(admin)
    pages["/cluster"][1].update(lacks)
    result = CliRunner().invoke(main, ["status", "--admin", f"127.0.0.1:{port}"])
    assert (result.exit_code, result.stdout.splitlines()[-1]) == (1, line)
    assert CliRunner().invoke(main, ["status", "--json", "--admin", f"127.0.0.1:{port}"]).exit_code == 1


def test_a_dead_node_does_not_pass_for_the_one_that_took_its_admin_port(admin: Callable[[Pages], int]) -> None:
    port, pages = well(admin)
    pages["/readyz"][1]["node"] = "shard-b"
    result = CliRunner().invoke(main, ["status", "--admin", f"127.0.0.1:{port}"])
    assert result.exit_code == 1
    *_, row, last = result.stdout.splitlines()
    assert row.split("\t")[-1] == "no: does not answer; shard-b has its admin port"
    assert last == "the leader, shard-a, does not answer"


def test_without_an_address_the_first_node_on_this_machine_is_asked(
    admin: Callable[[Pages], int], monkeypatch: pytest.MonkeyPatch
) -> None:
    dead = reserve_port()
    port = admin({"/readyz": (200, {"ready": True, "reasons": []})} | cluster(node("shard-a", "shard", 0)))
    monkeypatch.setattr("iii_cluster.cli.nodes._local_ports", lambda: [dead, port])
    result = CliRunner().invoke(main, ["status"])
    assert result.stdout.startswith("term 3, epoch 7, leader c\n")
    monkeypatch.setattr("iii_cluster.cli.nodes._local_ports", lambda: [dead])
    result = CliRunner().invoke(main, ["status"])
    release_port(dead)
    assert result.stderr == (f"error: no node answers on 127.0.0.1:{dead}-{dead}; is the cluster running?\n")


def test_a_node_that_only_joins_says_so_when_nobody_else_answers(
    admin: Callable[[Pages], int], monkeypatch: pytest.MonkeyPatch
) -> None:
    dead = reserve_port()
    reasons = {"ready": False, "reasons": ["no lease yet"]}
    port = admin({"/readyz": (503, reasons)} | cluster())
    monkeypatch.setattr("iii_cluster.cli.nodes._local_ports", lambda: [port, dead])
    result = CliRunner().invoke(main, ["status"])
    release_port(dead)
    assert result.stderr == f"error: the node at http://127.0.0.1:{port} has not joined a cluster: no lease yet\n"


def test_a_port_alone_is_one_of_this_machine(admin: Callable[[Pages], int]) -> None:
    port, _ = well(admin)
    assert CliRunner().invoke(main, ["status", "--admin", str(port)]).exit_code == 0


@pytest.mark.parametrize("pages", [{}, {"/cluster": (200, ["something else"])}])
def test_another_server_is_not_taken_for_a_node(admin: Callable[[Pages], int], pages: Pages) -> None:
    port = admin(pages)
    result = CliRunner().invoke(main, ["status", "--admin", f"http://127.0.0.1:{port}"])
    assert result.exit_code == 1
    assert result.stderr == f"error: what answers at http://127.0.0.1:{port} is not a node of a cluster\n"


def test_nobody_at_the_admin_port_is_one_clear_line() -> None:
    port = reserve_port()
    result = CliRunner().invoke(main, ["status", "--admin", f"http://127.0.0.1:{port}"])
    release_port(port)
    assert result.exit_code == 1
    assert result.stderr.startswith(f"error: no admin port answers at http://127.0.0.1:{port}: ")
    assert result.stderr.count("\n") == 1


async def test_the_summary_says_who_runs_where_and_how_to_connect(
    admin: Callable[[Pages], int], capsys: pytest.CaptureFixture[str]
) -> None:
    port = admin(cluster(node("shard-a", "shard", 0)))
    settings = Settings(redis_urls=("redis://:secret@h",), admin_port=port)
    nodes = [
        Ready("gateway-b", "gateway", 11, {"worker": 49134, "admin": port}),
        Ready("shard-a", "shard", 12, {"admin": 2}),
        Ready("c", "coordinator", 13, {"admin": 3}),
    ]
    await print_summary(Screen(), settings, nodes, embedded=False)
    assert capsys.readouterr().out.splitlines() == [
        f"gateway gateway-b pid 11 admin:{port} worker:49134",
        "shard shard-a pid 12 admin:2 20 slots",
        "coordinator c pid 13 admin:3 leader",
        "leader      c",
        "redis       redis://***@h",
        "workers     connect to ws://127.0.0.1:49134",
        "try         III_URL=ws://127.0.0.1:49134 python my_worker.py",
        "            iii-cluster invoke my::function --data '{}'",
        f"status      iii-cluster status --admin http://127.0.0.1:{port}",
    ]


@pytest.mark.parametrize(
    ("settings", "shown"),
    [
        (
            Settings(tokens=("s3cret",), tls_cert_file="/c", tls_client_ca_file="/a"),
            [
                "workers     connect to wss://127.0.0.1:49134",
                "http        routes at https://127.0.0.1:3111",
                "try         III_TOKEN=... SSL_CERT_FILE=FILE III_URL=wss://127.0.0.1:49134 python my_worker.py",
                "            III_TOKEN=... iii-cluster invoke my::function --data '{}'"
                " --tls --ca-file FILE --client-cert FILE --client-key FILE",
            ],
        ),
        (
            Settings(
                host="::1",
                tokens=("s3cret",),
                listeners=(WorkerListener(tls=Tls("/c"), tokens=()),),
                modules=(ModuleEntry("iii-http", {"host": "10.0.0.1"}),),
            ),
            [
                "workers     connect to wss://[::1]:49134",
                "http        routes at http://10.0.0.1:3111",
                "try         SSL_CERT_FILE=FILE III_URL=wss://[::1]:49134 python my_worker.py",
                "            iii-cluster invoke my::function --data '{}' --address ::1 --tls --ca-file FILE",
            ],
        ),
        (
            Settings(modules=(ModuleEntry("iii-http", {"tls": {"cert_file": "/c"}}),), tokens_file="/t"),
            [
                "workers     connect to ws://127.0.0.1:49134",
                "http        routes at https://127.0.0.1:3111",
                "try         III_TOKEN=... III_URL=ws://127.0.0.1:49134 python my_worker.py",
                "            III_TOKEN=... iii-cluster invoke my::function --data '{}'",
            ],
        ),
    ],
)
async def test_the_summary_says_what_tls_and_tokens_take(
    settings: Settings, shown: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    port = reserve_port()
    ports = {"worker": 49134, "http": 3111, "admin": port}
    await print_summary(Screen(), settings, [Ready("g", "gateway", 1, ports)], embedded=False)
    release_port(port)
    said = capsys.readouterr().out
    assert said.splitlines()[3:-1] == shown
    assert "s3cret" not in said


async def test_the_summary_does_without_an_answer_of_the_cluster(capsys: pytest.CaptureFixture[str]) -> None:
    port = reserve_port()
    await print_summary(Screen(), Settings(redis_urls=("redis://h",)), [Ready("s", "shard", 1, {"admin": port})], True)
    release_port(port)
    lines = capsys.readouterr().out.splitlines()
    assert lines[:3] == [
        f"shard s pid 1 admin:{port}",
        "leader      unknown",
        "redis       redis://h (embedded Valkey)",
    ]


def test_nodes_of_this_machine_are_where_the_environment_has_them(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("III_CLUSTER_ADMIN_PORT", "31140")
    assert "31140-31155" in CliRunner().invoke(main, ["status"]).stderr
