"""Registrations that wait for hooks and for their worker's namespace."""

import asyncio
from typing import Any

import pytest

from gateway.access import line
from gateway.access.guard import Guard
from gateway.worker import Worker
from iii_cluster.access.grants import read_grants
from iii_cluster.access.reserved import Reserved
from iii_cluster.access.rules import Access, ListenerRules
from iii_cluster.bus.envelopes import PutFunction, RemoveTrigger
from iii_cluster.config.settings import Rbac, WorkerListener
from iii_cluster.protocol.errors import EngineError
from tests.support.eventually import eventually
from tests.support.gateway import FakeGateway, FakeOutlet


class Scene:
    """A gateway with one listener, whose function hook answers when the test says."""

    def __init__(self, granted: bytes = b"{}", hook: str = "gate::function") -> None:
        self.gateway = FakeGateway()
        self.answers: asyncio.Queue[bytes | EngineError] = asyncio.Queue()
        self.asked = 0
        self.guard = Guard(self.gateway.core, self._ask, Reserved(()))
        rules = ListenerRules(WorkerListener(rbac=Rbac(on_function_registration_function_id=hook)), "worker-2")
        self.access = Access(rules, read_grants(granted))

    async def _ask(self, _hook: str, _data: bytes) -> bytes:
        self.asked += 1
        answer = await self.answers.get()
        if isinstance(answer, EngineError):
            raise answer
        return answer

    def connect(self, *, announced: bool = True) -> tuple[Worker, FakeOutlet]:
        outlet = FakeOutlet()
        worker = self.gateway.core.connect(outlet, "127.0.0.1", "token", self.access)
        outlet.take()
        if announced and worker.guarded is not None:
            worker.announced = True
            worker.guarded.release()
        return worker, outlet

    def register(self, worker: Worker, *ids: str) -> None:
        for id in ids:
            self.gateway.say(worker, type="registerfunction", id=id)

    def registered(self) -> list[str]:
        return [put.id for put in self.gateway.effects.take(PutFunction)]


async def test_registrations_are_decided_one_after_the_other() -> None:
    scene = Scene()
    worker, _ = scene.connect()
    scene.register(worker, "a", "b", "c")
    await eventually(lambda: scene.asked == 1)
    assert scene.registered() == []
    for answer in (b"{}", EngineError("no", "no"), b"{}"):
        scene.answers.put_nowait(answer)
    await eventually(lambda: worker.guarded is not None and not worker.guarded.moving)
    assert scene.registered() == ["a", "c"]


async def test_what_is_decided_after_its_worker_left_comes_to_nothing() -> None:
    scene = Scene()
    worker, _ = scene.connect()
    scene.register(worker, "a", "b")
    await eventually(lambda: scene.asked == 1)
    scene.gateway.core.disconnect(worker, back=False)
    scene.answers.put_nowait(b"{}")
    await eventually(lambda: worker.guarded is not None and not worker.guarded.moving)
    assert scene.registered() == []
    assert scene.asked == 1


async def test_a_worker_with_too_much_in_line_is_not_read(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(line, "MAX_WAITING", 3)
    scene = Scene()
    worker, outlet = scene.connect()
    scene.register(worker, *"abcde")
    assert outlet.paused == 1
    for _ in range(5):
        scene.answers.put_nowait(b"{}")
    await eventually(lambda: worker.guarded is not None and not worker.guarded.moving)
    assert outlet.paused == 0
    assert scene.registered() == list("abcde")


async def test_its_bytes_count_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(line, "MAX_WAITING_BYTES", 1000)
    scene = Scene()
    worker, outlet = scene.connect()
    scene.gateway.say(worker, type="registerfunction", id="a", metadata="x" * 1000)
    assert outlet.paused == 1
    scene.answers.put_nowait(b"{}")
    await eventually(lambda: outlet.paused == 0)


async def test_so_do_those_of_its_texts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(line, "MAX_WAITING_BYTES", 1000)
    scene = Scene()
    worker, outlet = scene.connect()
    scene.gateway.say(worker, type="registerfunction", id="a", description="x" * 1000)
    assert outlet.paused == 1
    scene.answers.put_nowait(b"{}")
    await eventually(lambda: outlet.paused == 0)


async def test_before_the_announcement_frames_beyond_the_limit_are_dropped(monkeypatch: pytest.MonkeyPatch) -> None:
    """The announcement has to be read, so the socket cannot be left alone."""
    monkeypatch.setattr(line, "MAX_HELD", 2)
    monkeypatch.setattr(line, "MAX_WAITING", 1)
    scene = Scene()
    worker, outlet = scene.connect(announced=False)
    scene.register(worker, "a", "b", "c")
    assert (outlet.paused, worker.dropped, scene.asked) == (0, 1, 0)
    for _ in range(2):
        scene.answers.put_nowait(b"{}")
    assert worker.guarded is not None
    worker.guarded.release()
    await eventually(lambda: worker.guarded is not None and not worker.guarded.moving)
    assert scene.registered() == ["a", "b"]


@pytest.mark.parametrize(
    ("granted", "namespaces"),
    [(b"{}", ["a"]), (b'{"namespaces":{"default":[]}}', ["a"]), (b'{"namespaces":{"x":[]}}', [])],
)
async def test_without_an_announcement_it_is_default_if_it_may_be(
    monkeypatch: pytest.MonkeyPatch, granted: bytes, namespaces: list[str]
) -> None:
    monkeypatch.setattr(line, "GRACE", 0.01)
    scene = Scene(granted, hook="")
    scene.access = Access(scene.access._rules, read_grants(granted))
    worker, _ = scene.connect(announced=False)
    assert worker.guarded is not None
    worker.guarded.held = True
    scene.register(worker, "a")
    if namespaces:
        await eventually(lambda: worker.announced)
        await eventually(lambda: worker.guarded is not None and not worker.guarded.moving)
    else:
        await eventually(lambda: worker.dropped > 0)
    assert scene.registered() == namespaces
    scene.guard.close()


async def test_without_hooks_nothing_waits() -> None:
    scene = Scene(b'{"function_registration_prefix":"p"}', hook="")
    worker, outlet = scene.connect()
    scene.register(worker, "a")
    assert scene.registered() == ["p::a"]
    assert worker.own_name(b'"p::a"') == b'"a"'
    scene.register(worker, "x" * 1024)  # its id would be too long with the prefix
    assert scene.registered() == []
    assert outlet.take() == []


def test_removing_by_id_reaches_only_the_own_realm() -> None:
    scene = Scene(hook="")
    worker, _ = scene.connect()
    scene.gateway.effects.take()
    scene.gateway.say(worker, type="unregistertrigger", id="somebody-elses")
    removed: list[Any] = scene.gateway.effects.take(RemoveTrigger)
    assert [said.id for said in removed] == ["realm:worker-2/somebody-elses"]


def test_without_a_guard_a_worker_under_rules_can_do_nothing() -> None:
    gateway = FakeGateway()
    worker = gateway.core.connect(FakeOutlet(), "127.0.0.1", "token", Scene().access)
    gateway.effects.take()
    gateway.say(worker, type="registerfunction", id="f")
    gateway.say(worker, type="invokefunction", function_id="f", data=1)
    assert gateway.effects.take(PutFunction) == []
