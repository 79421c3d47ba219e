from collections.abc import AsyncIterator
from types import SimpleNamespace
from typing import cast

import pytest

from iii_cluster.chaos.clusters.addresses import Address
from iii_cluster.chaos.clusters.cluster import Cluster, Process
from iii_cluster.chaos.observer import Observer
from iii_cluster.chaos.recorder import Recorder
from tests.support.eventually import eventually

SILENT = Process(name="shard-a", role="shard", node="shard-a", pid=1, admin=Address("127.0.0.1", 1))


class Lab:
    def __init__(self) -> None:
        self.replaced: set[str] = set()
        self.cluster = SimpleNamespace(processes=[SILENT], replaced=lambda name: name in self.replaced)
        self.recorder = Recorder(2.0)
        self.observer = Observer(cast(Cluster, self.cluster), self.recorder)

    def told(self) -> list[tuple[str, bool]]:
        return [(state.process, state.ready) for state in self.recorder.history.ready]

    def reasons(self) -> list[list[str]]:
        return [process.reasons for process in self.observer.not_ready]


@pytest.fixture
async def lab() -> AsyncIterator[Lab]:
    made = Lab()
    made.observer.start()
    yield made
    await made.observer.stop()


async def test_a_process_that_does_not_answer_or_run_is_not_ready(lab: Lab) -> None:
    await eventually(lambda: "ConnectionRefusedError" in lab.reasons()[0][0] if lab.reasons() else False)
    lab.cluster.processes = []
    await eventually(lambda: lab.reasons() == [["it does not run"]])
    assert lab.told() == [("shard-a", False)]


async def test_a_process_that_was_replaced_is_missed_no_longer(lab: Lab) -> None:
    await eventually(lambda: lab.reasons())
    lab.cluster.processes = []
    lab.replaced.add("shard-a")
    await eventually(lambda: not lab.reasons())
    assert lab.told() == [("shard-a", False), ("shard-a", True)]
