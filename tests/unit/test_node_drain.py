"""What `POST /drain` answers, and whom it makes leave."""

from types import SimpleNamespace
from typing import Any, cast

import pytest

from iii_cluster.bus.ask import AskError
from iii_cluster.cluster.map import ClusterMap, NodeInfo, Role
from iii_cluster.config.settings import Settings
from iii_cluster.node.drain import drain
from iii_cluster.node.node import Node

ME, OTHER = "gateway-1", "shard-1"


class FakeAsker:
    def __init__(self) -> None:
        self.asked: list[tuple[str, str, float | None]] = []
        self.error: Exception | None = None

    async def ask(self, node: str, op: str, body: Any) -> bool:
        self.asked.append((node, op, body.timeout))
        if self.error is not None:
            raise self.error
        return True


class Lab:
    def __init__(self) -> None:
        self.left: list[float] = []
        self.asker = FakeAsker()
        nodes = {name: NodeInfo(id=name, role=Role.SHARD) for name in (ME, OTHER)}
        self.node = SimpleNamespace(
            info=nodes[ME],
            settings=Settings(drain_timeout=7.0),
            membership=SimpleNamespace(map=ClusterMap(nodes=nodes)),
            asker=self.asker,
        )

    async def post(self, body: bytes) -> tuple[int, Any]:
        return await drain(body, cast(Node, self.node), self.left.append)


@pytest.mark.parametrize("body", [b"{}", b'{"node": ""}', b'{"node": "gateway-1"}', b'{"timeout": null}'])
async def test_a_node_leaves_when_it_is_asked_itself(body: bytes) -> None:
    lab = Lab()
    assert await lab.post(body) == (202, {"node": ME, "accepted": True, "timeout": 7.0})
    assert lab.left == [7.0]
    assert lab.asker.asked == []


async def test_another_node_is_asked_over_the_bus() -> None:
    lab = Lab()
    assert await lab.post(b'{"node": "shard-1", "timeout": 2.5}') == (202, {"node": OTHER, "accepted": True})
    assert lab.asker.asked == [(OTHER, "node.drain", 2.5)]
    assert lab.left == []


async def test_without_a_timeout_it_is_the_other_node_that_knows_its_own() -> None:
    lab = Lab()
    await lab.post(b'{"node": "shard-1"}')
    assert lab.asker.asked == [(OTHER, "node.drain", None)]


async def test_a_node_that_is_not_in_the_map_is_not_found() -> None:
    lab = Lab()
    assert (await lab.post(b'{"node": "shard-9"}'))[0] == 404
    assert lab.asker.asked == []


@pytest.mark.parametrize("error", [AskError("lost"), TimeoutError()])
async def test_a_node_that_does_not_answer_was_not_drained(error: Exception) -> None:
    lab = Lab()
    lab.asker.error = error
    code, page = await lab.post(b'{"node": "shard-1"}')
    assert code == 502
    assert page["error"].startswith("shard-1 did not accept")


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"[]",
        b'{"timeout": -1}',
        b'{"timeout": 1e9}',
        b'{"timeout": "5"}',
        b'{"node": 5}',
        b"\xff",
        b'{"Node": "shard-1"}',
    ],
)
async def test_nonsense_makes_nobody_leave(body: bytes) -> None:
    lab = Lab()
    assert (await lab.post(body))[0] == 400
    assert lab.left == []
