"""Conditions of triggers: only false says no, for every type that has them."""

from collections.abc import Awaitable, Callable
from typing import Any, NamedTuple

import pytest

from tests.support.cluster import Cluster
from tests.support.eventually import eventually
from tests.support.raw import CallFailed, Frame, RawWorker, known, raw_worker

Fire = Callable[[RawWorker, str], Awaitable[Any]]


class Kind(NamedTuple):
    """A trigger type, how to register for it, and how to make it fire."""

    type: str
    config: Callable[[str], dict[str, Any]]
    fire: Fire


async def _set(caller: RawWorker, name: str) -> Any:
    return await caller.call("state::set", {"scope": name, "key": "k", "value": 1})


async def _stream(caller: RawWorker, name: str) -> Any:
    return await caller.call("stream::set", {"stream_name": name, "group_id": "g", "item_id": "i", "data": {"n": 1}})


async def _publish(caller: RawWorker, name: str) -> Any:
    return await caller.call("publish", {"topic": name, "data": {"n": 1}})


async def _durable(caller: RawWorker, name: str) -> Any:
    return await caller.call("iii::durable::publish", {"topic": name, "data": {"n": 1}})


async def _enqueue(caller: RawWorker, name: str) -> Any:
    return await caller.call("enqueue", {"topic": name, "data": {"n": 1}})


async def _wait(_caller: RawWorker, _name: str) -> None:
    """Cron fires by itself."""


KINDS = [
    Kind("state", lambda name: {"scope": name}, _set),
    Kind("stream", lambda name: {"stream_name": name}, _stream),
    Kind("subscribe", lambda name: {"topic": name}, _publish),
    Kind("durable:subscriber", lambda name: {"topic": name}, _durable),
    Kind("queue", lambda name: {"topic": name}, _enqueue),
    Kind("cron", lambda _name: {"expression": "* * * * * *"}, _wait),
]

NOT_NOW = CallFailed({"code": "NOT_NOW", "message": "the condition fails"})

ANSWERS: list[tuple[Any, bool]] = [
    (True, True),
    (False, False),
    (None, True),
    (0, True),
    ("", True),
    ({}, True),
    ([], True),
    ("false", True),
    (NOT_NOW, False),
]


@pytest.mark.parametrize("key", ["condition_function_id", "_condition_path"])
@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.type)
async def test_only_false_and_failure_keep_a_trigger_from_firing(
    shared_cluster: Cluster, unique: str, kind: Kind, key: str
) -> None:
    here, there = shared_cluster.gateways
    asked: dict[int, list[Any]] = {number: [] for number in range(len(ANSWERS))}
    called: dict[int, list[Any]] = {number: [] for number in range(len(ANSWERS))}

    def condition(number: int, answer: Any) -> Callable[[Frame], Any]:
        def ask(frame: Frame) -> Any:
            asked[number].append(frame["data"])
            return answer

        return ask

    def handler(number: int) -> Callable[[Frame], Any]:
        return lambda frame: called[number].append((frame["data"], frame.get("metadata")))

    async with raw_worker(here.url) as caller, raw_worker(there.url) as worker:
        for number, (answer, _) in enumerate(ANSWERS):
            check, function = f"{unique}::check{number}", f"{unique}::f{number}"
            await worker.register(check, condition(number, answer))
            await worker.register(function, handler(number))
            await known(caller, check, function)
            config = {**kind.config(f"{unique}-{number}"), key: check}
            trigger = {"id": f"{unique}-{number}", "trigger_type": kind.type, "function_id": function}
            await worker.send("registertrigger", **trigger, config=config, metadata={"number": number})

        async def all_asked() -> bool:
            for number in range(len(ANSWERS)):
                if not asked[number]:
                    await kind.fire(caller, f"{unique}-{number}")
            await eventually(lambda: all(asked.values()), within=2.0)
            return True

        await eventually(all_asked, within=30.0)
        expected = {number for number, (_, fires) in enumerate(ANSWERS) if fires}
        await eventually(lambda: {number for number, calls in called.items() if calls} >= expected)
        assert {number for number, calls in called.items() if calls} == expected
        for number in expected:
            data, metadata = called[number][0]
            if kind.type != "cron":
                assert data == asked[number][0]
            assert metadata == {"number": number}


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.type)
async def test_a_condition_that_does_not_exist_says_no(shared_cluster: Cluster, unique: str, kind: Kind) -> None:
    here, there = shared_cluster.gateways
    called: list[Frame] = []
    others: list[Frame] = []
    async with raw_worker(here.url) as caller, raw_worker(there.url) as worker:
        await worker.register(f"{unique}::f", called.append)
        await worker.register(f"{unique}::other", others.append)
        await known(caller, f"{unique}::f", f"{unique}::other")
        for name, more in (("f", {"condition_function_id": f"{unique}::missing"}), ("other", {})):
            config = {**kind.config(unique + name * (kind.type == "queue")), **more}
            trigger = {"id": f"{unique}-{name}", "trigger_type": kind.type, "function_id": f"{unique}::{name}"}
            await worker.send("registertrigger", **trigger, config=config)

        async def told() -> bool:
            before = len(others)
            await kind.fire(caller, unique + "other" * (kind.type == "queue"))
            await eventually(lambda: len(others) > before, within=2.0)
            return len(others) >= 3

        await eventually(told, within=30.0)
        assert called == []
