"""State over the wire: callers, trigger owners and handlers on different gateways."""

import asyncio
from typing import Any

import pytest

from tests.support.cluster import Cluster
from tests.support.eventually import eventually
from tests.support.raw import CallFailed, Frame, RawWorker, known, raw_worker


class Handler:
    """Serves a function on a worker and keeps the calls."""

    def __init__(self) -> None:
        self.calls: list[Frame] = []

    def __call__(self, frame: Frame) -> Any:
        self.calls.append(frame)
        return None

    @property
    def events(self) -> list[dict[str, Any]]:
        return [frame["data"] for frame in self.calls]

    async def got(self, count: int) -> list[dict[str, Any]]:
        await eventually(lambda: len(self.events) >= count)
        return self.events


async def on_state(worker: RawWorker, id: str, function: str, config: Any, **fields: Any) -> None:
    """Registers a trigger."""
    await worker.send("registertrigger", id=id, trigger_type="state", function_id=function, config=config, **fields)


async def live(writer: RawWorker, handler: Handler, scope: str, key: str = "probe") -> None:
    """Returns when `handler` is told of what `writer` writes; forgets what it was told until then."""
    at = {"scope": scope, "key": key}

    async def told() -> bool:
        await writer.call("state::set", {**at, "value": "probe"})
        return bool(handler.events)

    await eventually(told)
    await writer.call("state::delete", at)
    await eventually(lambda: handler.events[-1]["event_type"] == "state:deleted")  # the last one of its key
    handler.calls.clear()


async def test_values_are_the_same_on_all_gateways(shared_cluster: Cluster, unique: str) -> None:
    async with raw_worker(shared_cluster.gateways[0].url) as one, raw_worker(shared_cluster.gateways[1].url) as two:
        at = {"scope": unique, "key": "k"}
        assert await one.call("state::set", {**at, "value": {"a": 1}}) == {"old_value": None, "new_value": {"a": 1}}
        assert await two.call("state::get", at) == {"a": 1}
        increment = {"type": "increment", "path": "a", "by": 1}
        assert await two.call("state::update", {**at, "ops": [increment]}) == {
            "old_value": {"a": 1},
            "new_value": {"a": 2},
        }
        assert await one.call("state::list", {"scope": unique}) == [{"a": 2}]
        assert unique in (await one.call("state::list_groups", {}))["groups"]
        assert await one.call("state::delete", at) == {"a": 2}
        assert unique not in (await two.call("state::list_groups", {}))["groups"]


async def test_nothing_has_no_result_and_null_is_null(shared_cluster: Cluster, unique: str) -> None:
    async with raw_worker(shared_cluster.gateways[0].url) as worker:
        at = {"scope": unique, "key": "k"}
        missing = await worker.result(await worker.begin("state::get", at))
        assert "result" not in missing
        assert "error" not in missing
        assert "result" not in await worker.result(await worker.begin("state::delete", at))
        await worker.call("state::set", {**at, "value": None})
        stored = await worker.result(await worker.begin("state::get", at))
        assert "result" in stored
        assert stored["result"] is None


async def test_bad_input_fails_the_call_and_nothing_else(shared_cluster: Cluster, unique: str) -> None:
    async with raw_worker(shared_cluster.gateways[0].url) as worker:
        no_key: list[Any] = [None, 1, [], {}, {"scope": unique}, {"scope": unique, "key": 1, "value": 1}]
        for data in (*no_key, {"scope": unique, "key": "k"}):
            with pytest.raises(CallFailed) as info:
                await worker.call("state::set", data)
            assert info.value.code == "deserialization_error"
            assert "state::set" in info.value.message
        assert await worker.call("state::list", {"scope": unique}) == []


async def test_calls_of_one_worker_that_do_not_wait_are_done_in_order(shared_cluster: Cluster, unique: str) -> None:
    async with raw_worker(shared_cluster.gateways[0].url) as worker:
        at = {"scope": unique, "key": "k"}
        for number in range(200):
            await worker.send("invokefunction", function_id="state::set", data={**at, "value": number})
        assert await worker.call("state::get", at) == 199


async def test_triggers_fire_wherever_they_are_registered_once_and_in_order(
    shared_cluster: Cluster, unique: str
) -> None:
    urls = [gateway.url for gateway in shared_cluster.gateways]
    handlers = Handler(), Handler()
    async with (
        raw_worker(urls[0]) as writer,
        raw_worker(urls[1]) as other_writer,
        raw_worker(urls[0]) as here,
        raw_worker(urls[1]) as there,
        raw_worker(urls[1]) as owner,
    ):
        await here.register(f"{unique}::here", handlers[0])
        await there.register(f"{unique}::there", handlers[1])
        await known(owner, f"{unique}::here", f"{unique}::there")
        for name in ("here", "there"):
            config = {"scope": unique, "key": "k", "metadata": {"anything": 1}}
            await on_state(owner, f"{unique}-{name}", f"{unique}::{name}", config, metadata={"for": name})
        for worker in (writer, other_writer):
            for handler in handlers:
                await live(worker, handler, unique, "k")
        await writer.call("state::set", {"scope": unique, "key": "k", "value": "last probe"})
        await writer.call("state::delete", {"scope": unique, "key": "k"})
        await eventually(lambda: all(handler.events[-1]["old_value"] == "last probe" for handler in handlers))
        for handler in handlers:
            handler.calls.clear()
        increment = {"scope": unique, "key": "k", "ops": [{"type": "increment", "path": "", "by": 1}]}
        await asyncio.gather(
            *(worker.call("state::update", increment) for _ in range(50) for worker in (writer, other_writer)),
            writer.call("state::set", {"scope": unique, "key": "other", "value": 1}),
        )
        for name, handler in zip(("here", "there"), handlers, strict=True):
            await handler.got(100)
            assert [event["new_value"] for event in handler.events] == list(range(1, 101))
            assert handler.events[0] == {
                "type": "state",
                "event_type": "state:created",
                "scope": unique,
                "key": "k",
                "old_value": None,
                "new_value": 1,
            }
            assert {frame["metadata"]["for"] for frame in handler.calls} == {name}
            assert {event["event_type"] for event in handler.events[1:]} == {"state:updated"}


async def test_a_trigger_fires_for_writes_right_after_its_registration(shared_cluster: Cluster, unique: str) -> None:
    handler = Handler()
    async with raw_worker(shared_cluster.gateways[0].url) as worker:
        await worker.register(f"{unique}::f", handler)
        await on_state(worker, f"{unique}-t", f"{unique}::f", {"scope": unique})
        await worker.call("state::set", {"scope": unique, "key": "k", "value": 1})
        await handler.got(1)


async def test_a_handler_may_write_state_itself(shared_cluster: Cluster, unique: str) -> None:
    urls = [gateway.url for gateway in shared_cluster.gateways]
    async with raw_worker(urls[0]) as writer, raw_worker(urls[1]) as worker:
        await worker.register(f"{unique}::f")
        await on_state(worker, f"{unique}-t", f"{unique}::f", {"scope": unique, "key": "in"})

        async def told() -> bool:
            await writer.call("state::set", {"scope": unique, "key": "in", "value": 20})
            return any(frame["type"] == "invokefunction" for frame in worker.frames)

        await eventually(told)
        invocation = await worker.expect("invokefunction", function_id=f"{unique}::f")
        doubled = invocation["data"]["new_value"] * 2
        await worker.call("state::set", {"scope": unique, "key": "out", "value": doubled})
        await worker.answer(invocation)
        assert await writer.call("state::get", {"scope": unique, "key": "out"}) == 40


async def test_conditions_are_asked_wherever_they_are(shared_cluster: Cluster, unique: str) -> None:
    urls = [gateway.url for gateway in shared_cluster.gateways]
    handler = Handler()
    async with raw_worker(urls[0]) as writer, raw_worker(urls[1]) as worker:
        await worker.register(f"{unique}::f", handler)
        await writer.register(f"{unique}::even", lambda frame: frame["data"]["new_value"] not in (1, 3, 5))
        await known(worker, f"{unique}::even", f"{unique}::f")
        config = {"scope": unique, "condition_function_id": f"{unique}::even"}
        await on_state(worker, f"{unique}-t", f"{unique}::f", config)
        await live(writer, handler, unique)
        for number in range(6):
            await writer.call("state::set", {"scope": unique, "key": "k", "value": number})
        await handler.got(3)
        assert [event["new_value"] for event in handler.events] == [0, 2, 4]


@pytest.mark.parametrize("config", [{"scope": 7}, {"key": ["k"]}, None, "text"])
async def test_a_trigger_config_that_makes_no_sense_is_refused(
    shared_cluster: Cluster, unique: str, config: Any
) -> None:
    async with raw_worker(shared_cluster.gateways[0].url) as worker:
        await worker.register(f"{unique}::f")
        await on_state(worker, f"{unique}-t", f"{unique}::f", config)
        answer = await worker.expect("triggerregistrationresult", id=f"{unique}-t")
        assert answer["error"]["code"] == "trigger_registration_failed"
        assert "could not be parsed" in answer["error"]["message"]


async def test_an_unregistered_trigger_fires_no_more(shared_cluster: Cluster, unique: str) -> None:
    handler, last = Handler(), Handler()
    async with raw_worker(shared_cluster.gateways[0].url) as worker:
        await worker.register(f"{unique}::f", handler)
        await worker.register(f"{unique}::last", last)
        await on_state(worker, f"{unique}-t", f"{unique}::f", {"scope": unique})
        await on_state(worker, f"{unique}-last", f"{unique}::last", {"scope": unique})
        await worker.call("state::set", {"scope": unique, "key": "k", "value": 1})
        await last.got(1)
        await worker.send("unregistertrigger", id=f"{unique}-t", trigger_type="state")

        async def silent() -> bool:
            handler.calls.clear()
            told = len(last.events)
            await worker.call("state::set", {"scope": unique, "key": "k", "value": 2})
            await last.got(told + 1)
            return not handler.calls

        await eventually(silent)
        for number in range(10):
            await worker.call("state::set", {"scope": unique, "key": "k", "value": number})
        await eventually(lambda: last.events[-1]["new_value"] == 9)
        assert handler.calls == []


async def test_large_values_and_long_lists_arrive(shared_cluster: Cluster, unique: str) -> None:
    async with raw_worker(shared_cluster.gateways[0].url, runtime="rust") as worker:
        at = {"scope": unique, "key": "k"}
        await worker.call("state::set", {**at, "value": list(range(1_000_000))}, within=30)
        assert len(await worker.call("state::get", at, within=30)) == 1_000_000
        big = "x" * 3_000_000
        for key in "abc":
            await worker.call("state::set", {"scope": f"{unique}-l", "key": key, "value": big}, within=30)
        assert len(await worker.call("state::list", {"scope": f"{unique}-l"}, within=30)) == 3
        assert await worker.call("state::clear", {"scope": f"{unique}-l"}, within=30) == {"deleted": 3}


async def test_a_client_gets_no_more_than_it_can_take(shared_cluster: Cluster, unique: str) -> None:
    async with raw_worker(shared_cluster.gateways[0].url, runtime="python") as worker:
        for key in range(3):
            await worker.call("state::set", {"scope": unique, "key": str(key), "value": "x" * 400_000})
        with pytest.raises(CallFailed) as info:
            await worker.call("state::list", {"scope": unique})
        assert info.value.code == "payload_too_large"
        assert await worker.call("state::get", {"scope": unique, "key": "0"}) == "x" * 400_000
