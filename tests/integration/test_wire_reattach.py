"""A worker that comes back on a new connection, and what becomes of the old one, on whichever gateway it was."""

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from typing import Any

import pytest

from tests.support.cluster import Cluster
from tests.support.eventually import eventually
from tests.support.raw import Frame, RawWorker, echo, known, raw_worker, workers_listed


@dataclass
class Scene:
    """A worker with a function and a trigger, the provider of the trigger, and where the worker comes back."""

    old: RawWorker
    peer: RawWorker
    function: str
    trigger: str
    new_url: str
    events: list[Any]

    async def register(self, worker: RawWorker) -> None:
        """What the worker's client sends on every connection."""
        await worker.register(self.function, lambda _: worker.worker_id)
        await worker.send(
            "registertrigger", id=self.trigger, trigger_type=self.trigger, function_id=self.function, config={}
        )
        await worker.announce("returning")

    async def reattach(self, worker: RawWorker, **replaced: object) -> None:
        members = {"previous_worker_id": self.old.worker_id, "reattach_token": self.old.token, **replaced}
        await worker.send("reattach", **members)


@pytest.fixture(params=[0, 1], ids=["same-gateway", "other-gateway"])
async def scene(request: pytest.FixtureRequest, shared_cluster: Cluster, unique: str) -> AsyncIterator[Scene]:
    first, second = shared_cluster.gateways
    async with raw_worker(first.url, name=None) as old, raw_worker(second.url) as peer:
        scene = Scene(old, peer, f"{unique}::f", unique, shared_cluster.gateways[request.param].url, [])
        watch = {"trigger_type": "engine::workers-available", "function_id": f"{unique}::events"}
        await peer.register(watch["function_id"], lambda frame: scene.events.append(frame["data"]))
        await peer.send("registertrigger", id=f"{unique}-watch", config={}, **watch)
        await eventually(lambda: watched(peer, f"{unique}-watch"))
        await peer.send("registertriggertype", id=unique, description="of a test")
        await scene.register(old)
        await peer.expect("registertrigger", id=unique)
        await known(peer, scene.function)
        assert await peer.call(scene.function) == old.worker_id
        yield scene


async def watched(worker: RawWorker, trigger: str) -> bool:
    rows = (await worker.call("engine::registered-triggers::list", {}))["registered_triggers"]
    return any(row["id"] == trigger and row["state"] == "live" for row in rows)


async def cleaned_up(scene: Scene) -> None:
    """Returns when the cluster is done with the old connection: its end is announced last."""

    async def announced() -> bool:
        return {"event": "worker_disconnected", "worker_id": scene.old.worker_id} in scene.events

    await eventually(announced)
    await scene.peer.flush()


async def trigger_is_live(scene: Scene) -> None:
    """Returns when the last the provider heard of the trigger is that it is there, and a new look confirms it."""

    def last_said() -> str:
        frames = [json.loads(text) for text in scene.peer.raw]
        return str([frame["type"] for frame in frames if frame.get("id") == scene.trigger][-1])

    await eventually(lambda: last_said() == "registertrigger")
    scene.peer.frames.clear()
    await scene.peer.send("registertriggertype", id=scene.trigger, description="again")
    await scene.peer.expect("registertrigger", id=scene.trigger)
    assert last_said() == "registertrigger"


async def test_the_old_connection_is_evicted_and_the_new_one_serves(scene: Scene) -> None:
    async with raw_worker(scene.new_url, name=None) as new:
        await scene.reattach(new)
        await scene.register(new)
        await scene.old.wait_closed()
        await scene.peer.expect("registertrigger", id=scene.trigger)
        await cleaned_up(scene)
        await trigger_is_live(scene)
        assert [await scene.peer.call(scene.function) for _ in range(10)] == [new.worker_id] * 10
        assert new.worker_id != scene.old.worker_id
        assert new.token != scene.old.token


async def test_what_the_new_connection_does_not_register_is_gone(scene: Scene) -> None:
    async with raw_worker(scene.new_url) as new:
        await scene.reattach(new)
        await scene.old.wait_closed()
        await scene.peer.expect("unregistertrigger", id=scene.trigger, trigger_type=scene.trigger)

        async def gone() -> bool:
            frame = await scene.peer.result(await scene.peer.begin(scene.function))
            return bool(frame["error"]["code"] == "function_not_found")

        await eventually(gone)


@dataclass
class Held:
    """A call in flight: as its caller knows it, and as its callee got it."""

    called: str
    frame: Frame


async def held(caller: RawWorker, callee: RawWorker, function: str) -> Held:
    await callee.register(function)
    await known(caller, function)
    called = await caller.begin(function)
    return Held(called, await callee.expect("invokefunction", function_id=function))


async def test_a_call_in_flight_is_answered_on_the_new_connection(scene: Scene, unique: str) -> None:
    call = await held(scene.peer, scene.old, f"{unique}::held")
    async with raw_worker(scene.new_url) as new:
        await scene.reattach(new)
        await new.flush()
        await new.answer(call.frame, "late")
        assert (await scene.peer.result(call.called))["result"] == "late"


async def test_a_call_in_flight_is_answered_by_a_client_that_never_heard_of_reattaching(
    scene: Scene, unique: str
) -> None:
    call = await held(scene.peer, scene.old, f"{unique}::held")
    async with raw_worker(scene.new_url) as new:
        await scene.old.abort()
        await new.answer(call.frame, "late")
        assert (await scene.peer.result(call.called))["result"] == "late"


async def test_a_call_that_moved_is_stopped_when_its_new_connection_is_closed(scene: Scene, unique: str) -> None:
    call = await held(scene.peer, scene.old, f"{unique}::held")
    async with raw_worker(scene.new_url) as new:
        await scene.reattach(new)
        await new.flush()
    frame = await scene.peer.result(call.called)
    assert frame["error"] == {"code": "invocation_stopped", "message": "Invocation stopped"}


async def test_a_call_is_stopped_when_its_worker_does_not_come_back(scene: Scene, unique: str) -> None:
    call = await held(scene.peer, scene.old, f"{unique}::held")
    await scene.old.abort()
    frame = await scene.peer.result(call.called)
    assert frame["error"] == {"code": "invocation_stopped", "message": "Invocation stopped"}


async def test_a_call_is_stopped_at_once_when_its_worker_says_goodbye(make_cluster: Callable[..., Cluster]) -> None:
    near, far = make_cluster(shards=1, options={"reattach-window": "600"}).gateways
    async with raw_worker(near.url) as callee, raw_worker(far.url) as caller:
        call = await held(caller, callee, "f")
        await callee.close()
        frame = await caller.result(call.called)
        assert frame["error"]["code"] == "invocation_stopped"


async def test_answers_to_calls_of_the_old_connection_arrive_on_the_new_one(scene: Scene, unique: str) -> None:
    first = await held(scene.old, scene.peer, f"{unique}::first")
    second = await held(scene.old, scene.peer, f"{unique}::second")
    await scene.old.abort()
    await cleaned_up(scene)  # an answer that is written to a socket before its end is noticed would be lost
    await scene.peer.answer(first.frame, 1)
    await scene.peer.flush()
    async with raw_worker(scene.new_url) as new:
        await scene.reattach(new)
        assert (await new.result(first.called))["result"] == 1
        await new.flush()
        await scene.peer.answer(second.frame, 2)
        assert (await new.result(second.called))["result"] == 2


async def test_answers_follow_a_caller_that_moves_on_and_on(scene: Scene, shared_cluster: Cluster, unique: str) -> None:
    call = await held(scene.old, scene.peer, f"{unique}::held")
    async with contextlib.AsyncExitStack() as stack:
        previous = scene.old
        for turn in range(5):
            url = shared_cluster.gateways[turn % 2].url
            new = await stack.enter_async_context(raw_worker(url))
            await new.send("reattach", previous_worker_id=previous.worker_id, reattach_token=previous.token)
            await new.flush()
            previous = new
        await scene.peer.answer(call.frame, "late")
        assert (await previous.result(call.called))["result"] == "late"


@pytest.mark.parametrize(
    "replaced",
    [
        {"reattach_token": "00000000-0000-0000-0000-000000000000"},
        {"reattach_token": ""},
        {"reattach_token": None},
        {"previous_worker_id": "nobody"},
        {"previous_worker_id": ""},
        {"previous_worker_id": "00000000-0000-4000-8000-000000000000"},
    ],
    ids=str,
)
async def test_a_claim_without_proof_is_ignored(scene: Scene, replaced: dict[str, object]) -> None:
    async with raw_worker(scene.new_url) as new:
        await scene.reattach(new, **replaced)
        await new.flush()
        await scene.old.flush()
        assert await scene.peer.call(scene.function) == scene.old.worker_id
        assert not [frame for frame in scene.peer.frames if frame["type"] == "unregistertrigger"]


async def test_a_worker_cannot_evict_itself(scene: Scene) -> None:
    await scene.reattach(scene.old)
    await scene.old.flush()
    assert await scene.peer.call(scene.function) == scene.old.worker_id


async def test_a_token_works_once(scene: Scene) -> None:
    async with raw_worker(scene.new_url) as new, raw_worker(scene.new_url) as thief:
        await scene.reattach(new)
        await scene.old.wait_closed()
        await scene.reattach(thief)
        await thief.flush()
        await new.flush()


async def test_frames_after_a_reattach_keep_their_order(scene: Scene) -> None:
    """The reattach may take a while; what follows waits for it, in the order it was sent."""
    async with raw_worker(scene.new_url, name=None) as new:
        await scene.reattach(new)
        for _ in range(50):
            await new.send("registerfunction", id=scene.function)
            await new.send("unregisterfunction", id=scene.function)
        await scene.register(new)
        await known(scene.peer, scene.function)
        await cleaned_up(scene)
        assert await scene.peer.call(scene.function) == new.worker_id


async def test_a_worker_that_returns_without_a_claim_loses_nothing_when_the_old_connection_ends(scene: Scene) -> None:
    """As the oldest clients do: they never heard of reattaching."""
    async with raw_worker(scene.new_url, name=None) as new:
        await scene.register(new)
        # Re-registering the trigger's id on the new connection moves it there.
        await scene.peer.expect("registertrigger", id=scene.trigger)
        await scene.old.abort()
        await cleaned_up(scene)
        await trigger_is_live(scene)
        assert [await scene.peer.call(scene.function) for _ in range(10)] == [new.worker_id] * 10


async def test_many_reconnects_in_a_row_leave_one_worker_behind(scene: Scene, shared_cluster: Cluster) -> None:
    previous = scene.old
    workers = [scene.old.worker_id]
    async with asyncio.timeout(60), contextlib.AsyncExitStack() as stack:
        for turn in range(10):
            url = shared_cluster.gateways[turn % 2].url
            new = await stack.enter_async_context(raw_worker(url, name=None))
            await new.send("reattach", previous_worker_id=previous.worker_id, reattach_token=previous.token)
            await scene.register(new)
            await previous.wait_closed()
            workers.append(new.worker_id)
            previous = new

        async def only_the_last_is_listed() -> bool:
            return set(workers) & await workers_listed(scene.peer) == {workers[-1]}

        await eventually(only_the_last_is_listed)

        async def only_the_last_serves() -> bool:
            return [await scene.peer.call(scene.function) for _ in range(5)] == [workers[-1]] * 5

        await eventually(only_the_last_serves)
        ends = [{"event": "worker_disconnected", "worker_id": worker} for worker in workers[:-1]]
        await eventually(lambda: all(end in scene.events for end in ends))
        await trigger_is_live(scene)


async def test_an_evicted_worker_that_was_still_waiting_registers_nothing(own_cluster: Cluster) -> None:
    """It waited for its own predecessor to be evicted when its successor came."""
    slow, near = own_cluster.gateways
    async with (
        raw_worker(slow.url) as first,
        raw_worker(near.url) as second,
        raw_worker(near.url) as third,
        raw_worker(slow.url) as caller,
        raw_worker(near.url) as neighbour,
    ):
        await neighbour.register("neighbour::echo", echo)
        await known(caller, "neighbour::echo")
        slow.pause()
        second.send_together(
            {"type": "reattach", "previous_worker_id": first.worker_id, "reattach_token": first.token},
            {"type": "registerfunction", "id": "second::f"},
        )
        await third.send("reattach", previous_worker_id=second.worker_id, reattach_token=second.token)
        await second.wait_closed()
        slow.resume()
        await first.wait_closed()
        # What the slow gateway says to the near one now comes after its answer about the eviction.
        for n in range(5):
            assert (await caller.call("neighbour::echo", {"n": n}))["n"] == n

        for worker in (neighbour, caller):
            frame = await worker.result(await worker.begin("second::f"))
            assert frame["error"]["code"] == "function_not_found"
