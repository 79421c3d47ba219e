from collections.abc import Callable, Iterator
from typing import Any

import pytest
from click.testing import CliRunner, Result

from iii_cluster.cli.main import main
from tests.support.admin_ports import Pages, admin_ports, cluster, node
from tests.support.ports import release_port, reserve_port

GATEWAY, OTHER, SHARD, COORDINATOR = "gateway-1a2b3c4d", "gateway-1a2f0000.2", "shard-a", "coordinator-a"
ALL = f"{GATEWAY}, {OTHER}, {SHARD}"


class FakeNode:
    """Answers for a cluster of three; what it is asked to drain is gone at once."""

    def __init__(self, start: Callable[..., int]) -> None:
        self.pages: Pages = {}
        self.posted: list[Any] = []
        self.answer: tuple[int, Any] = (202, {"accepted": True})
        self.leaves = True
        self.keeps_map = False
        self.host: str | None = None
        self.ids = [GATEWAY, OTHER, SHARD]
        self.port = start(self.pages, self._post)
        self._show()

    def has(self, *ids: str) -> None:
        self.ids = list(ids)
        self._show()

    def drain(self, *arguments: str) -> Result:
        return CliRunner().invoke(main, ["drain", *arguments, "--admin", f"http://127.0.0.1:{self.port}"])

    def _post(self, path: str, body: Any) -> tuple[int, Any]:
        assert path == "/drain"
        self.posted.append(body)
        self._show(drained=body["node"])
        return self.answer

    def _show(self, drained: str = "") -> None:
        nodes = [node(id, id.partition("-")[0], self.port, self.host) for id in self.ids]
        if drained and self.leaves:
            self.pages["/readyz"] = (200, {"node": "another"})
            if not self.keeps_map:
                nodes = [one for one in nodes if one["id"] != drained]
        self.pages |= cluster(*(one | {"draining": one["id"] == drained} for one in nodes))


@pytest.fixture
def fake() -> Iterator[FakeNode]:
    with admin_ports() as start:
        yield FakeNode(start)


def test_a_node_is_drained_and_waited_for(fake: FakeNode) -> None:
    result = fake.drain(GATEWAY, "--timeout", "7.5")
    assert (result.exit_code, result.stdout) == (0, f"{GATEWAY} has left the cluster\n")
    assert result.stderr == f"{GATEWAY}: draining\n"
    assert fake.posted == [{"node": GATEWAY, "timeout": 7.5}]


def test_the_timeout_is_the_nodes_own_unless_given(fake: FakeNode) -> None:
    assert fake.drain(GATEWAY).exit_code == 0
    assert fake.posted == [{"node": GATEWAY}]


@pytest.mark.parametrize(("beginning", "id"), [("gateway-1a2b", GATEWAY), ("gateway-1a2f", OTHER), ("shard-a", SHARD)])
def test_the_beginning_of_an_id_will_do(fake: FakeNode, beginning: str, id: str) -> None:
    assert fake.drain(beginning, "--force").stdout == f"{id} has left the cluster\n"


@pytest.mark.parametrize(
    ("wanted", "error"),
    [
        ("gateway-1", f"gateway-1 is ambiguous; choose one of: {GATEWAY}, {OTHER}"),
        ("gateway-1a2", f"gateway-1a2 is ambiguous; choose one of: {GATEWAY}, {OTHER}"),
        ("gateway-9", f"no node gateway-9 is in the cluster; choose one of: {ALL}"),
        ("coordinator", f"no node coordinator is in the cluster; choose one of: {ALL}"),
        ("gateway", f"'gateway' names no more than a role; choose one of: {GATEWAY}, {OTHER}"),
        ("sha", f"'sha' names no more than a role; choose one of: {SHARD}"),
        ("shard-", f"'shard-' names no more than a role; choose one of: {SHARD}"),
        ("", f"'' names no more than a role; choose one of: {ALL}"),
    ],
)
def test_what_names_no_single_node_is_refused_with_those_that_could_be_meant(
    fake: FakeNode, wanted: str, error: str
) -> None:
    result = fake.drain(wanted)
    assert (result.exit_code, result.stderr) == (1, f"error: {error}\n")
    assert fake.posted == []


def test_a_refusal_is_told_in_its_own_words(fake: FakeNode) -> None:
    fake.answer = (403, {"error": "only from this host"})
    result = fake.drain(GATEWAY)
    assert (result.exit_code, result.stderr) == (1, f"error: {GATEWAY} is not drained: only from this host\n")
    fake.answer = (500, ["nothing"])
    assert fake.drain(OTHER, "--force").stderr == f"error: {OTHER} is not drained: HTTP status 500\n"


def test_without_waiting_the_request_is_all(fake: FakeNode) -> None:
    result = fake.drain(GATEWAY, "--no-wait")
    assert (result.exit_code, result.stdout, result.stderr) == (0, "", f"{GATEWAY}: draining\n")


def test_a_node_that_does_not_leave_in_time_is_an_error_and_no_more_is_told(
    fake: FakeNode, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("iii_cluster.cli.drain.MARGIN", 0.5)
    fake.leaves = False
    result = fake.drain(GATEWAY, "--timeout", "0")
    assert result.exit_code == 1
    assert result.stderr.splitlines() == [
        f"{GATEWAY}: draining",
        f"error: {GATEWAY} did not leave the cluster within 0.5 s; it goes on draining",
    ]


@pytest.mark.parametrize(
    ("last", "without"),
    [
        (SHARD, "shard: its slots would have no owner"),
        (GATEWAY, "gateway: workers would have nowhere to go"),
        (COORDINATOR, "coordinator: nobody would lead, so no node could join, leave or be declared dead"),
    ],
)
def test_the_last_of_its_role_is_only_drained_by_force(fake: FakeNode, last: str, without: str) -> None:
    fake.has(GATEWAY, SHARD, COORDINATOR)
    result = fake.drain(last)
    assert (result.exit_code, result.stderr) == (
        1,
        f"error: {last} is the last {without}; --force drains it all the same\n",
    )
    assert fake.posted == []
    assert fake.drain(last, "--force").exit_code == 0
    assert fake.posted == [{"node": last}]


def test_nodes_that_drain_already_do_not_count_as_staying(fake: FakeNode) -> None:
    fake.leaves = False
    assert fake.drain(GATEWAY, "--no-wait").exit_code == 0
    assert "is the last gateway" in fake.drain(OTHER).stderr


def test_the_last_coordinator_has_left_when_it_has_ended_as_nobody_takes_it_out_of_the_map(fake: FakeNode) -> None:
    fake.has(GATEWAY, COORDINATOR)
    fake.pages["/readyz"] = (200, {"node": COORDINATOR})
    fake.keeps_map = True
    result = fake.drain(COORDINATOR, "--force")
    assert (result.exit_code, result.stdout) == (0, f"{COORDINATOR} has ended\n")


def test_nobody_tells_when_the_last_coordinator_has_left_another_machine(fake: FakeNode) -> None:
    fake.host, fake.leaves = "another-machine", False
    fake.has(GATEWAY, COORDINATOR)
    result = fake.drain(COORDINATOR, "--force")
    assert (result.exit_code, result.stdout) == (
        0,
        f"{COORDINATOR} leaves; no coordinator is left to tell when it has, its own host knows\n",
    )


def test_the_wait_ends_soon_after_the_grace_the_node_told(fake: FakeNode, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("iii_cluster.cli.drain.MARGIN", 0.25)
    fake.leaves, fake.answer = False, (202, {"accepted": True, "timeout": 0.25})
    result = fake.drain(GATEWAY)
    assert result.exit_code == 1
    assert "did not leave the cluster within 0.5 s" in result.stderr


def test_nobody_at_the_admin_port_is_one_clear_line() -> None:
    port = reserve_port()
    result = CliRunner().invoke(main, ["drain", GATEWAY, "--admin", f"http://127.0.0.1:{port}"])
    release_port(port)
    assert result.exit_code == 1
    assert result.stderr.startswith(f"error: no admin port answers at http://127.0.0.1:{port}: ")
    assert result.stderr.count("\n") == 1
