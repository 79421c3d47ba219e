"""The modules as users of published clients know them: caller and handler on different gateways, all generations."""

import asyncio
from typing import Any

import pytest

from tests.conformance.conftest import Fleet
from tests.conformance.known import known, payload
from tests.support.eventually import eventually
from tests.support.sdk_worker import SdkError, SdkWorker
from tests.support.sdks import GENERATIONS, NODE_9, NODE_22, PYTHON_9, PYTHON_23, PYTHON_25, Generation

# Each generation calls once and handles once; Python meets Node.
PAIRS = [
    (PYTHON_25, NODE_22),
    (PYTHON_23, NODE_9),
    (PYTHON_9, NODE_22),
    (NODE_22, PYTHON_25),
    (NODE_9, PYTHON_9),
    (NODE_22, PYTHON_23),
]


async def listening(
    fleet: Fleet, generation: Generation, unique: str, type_: str, config: dict[str, Any], **options: Any
) -> SdkWorker:
    """A worker on the second gateway whose function `<unique>::handler` records what a trigger calls it with."""
    worker = await fleet.worker(generation, 1)
    await worker.register(f"{unique}::handler", "record")
    await worker.ask("trigger", key=unique, type=type_, function=f"{unique}::handler", config=config, **options)
    await known(worker, f"{unique}::handler")
    return worker


async def heard(worker: SdkWorker, unique: str, call: Any) -> Any:
    """Repeats `call` until the trigger is live and the handler hears of it; its data."""
    event: Any = None

    async def once() -> bool:
        nonlocal event
        await call()
        try:
            event = await worker.event("called", within=1.0, function=f"{unique}::handler")
        except AssertionError:
            return False
        return True

    await eventually(once)
    return payload(event["data"])


@pytest.mark.parametrize("generation", GENERATIONS, ids=str)
async def test_state_is_one_on_all_gateways(fleet: Fleet, unique: str, generation: Generation) -> None:
    here, there = await fleet.worker(generation, 0), await fleet.worker(generation, 1)
    place = {"scope": unique, "key": "k"}

    assert await here.call("state::set", {**place, "value": {"n": 1}}) == {"old_value": None, "new_value": {"n": 1}}
    assert await there.call("state::get", place) == {"n": 1}
    updated = await there.call("state::update", {**place, "ops": [{"type": "increment", "path": "n", "by": 2}]})
    assert updated == {"old_value": {"n": 1}, "new_value": {"n": 3}}
    assert await here.call("state::list", {"scope": unique}) == [{"n": 3}]
    assert unique in (await here.call("state::list_groups", {}))["groups"]
    await here.call("state::delete", place)
    assert await there.call("state::get", place) is None
    assert await there.call("state::list", {"scope": unique}) == []


@pytest.mark.parametrize(("writes", "handles"), PAIRS, ids=str)
async def test_a_write_to_state_calls_the_handler_on_the_other_gateway(
    fleet: Fleet, unique: str, writes: Generation, handles: Generation
) -> None:
    handler = await listening(fleet, handles, unique, "state", {"scope": unique, "key": "k"})
    writer = await fleet.worker(writes, 0)

    data = await heard(
        handler, unique, lambda: writer.call("state::set", {"scope": unique, "key": "k", "value": {"n": 1}})
    )

    assert data["type"] == "state"
    assert data["event_type"] in ("state:created", "state:updated")
    assert (data["scope"], data["key"], data["new_value"]) == (unique, "k", {"n": 1})


@pytest.mark.parametrize("generation", GENERATIONS, ids=str)
async def test_streams_are_one_on_all_gateways(fleet: Fleet, unique: str, generation: Generation) -> None:
    here, there = await fleet.worker(generation, 0), await fleet.worker(generation, 1)
    group = {"stream_name": unique, "group_id": "g"}
    item = {**group, "item_id": "i"}

    first = await here.call("stream::set", {**item, "data": {"id": "i", "n": 1}})
    assert first == {"old_value": None, "new_value": {"id": "i", "n": 1}}
    assert await there.call("stream::get", item) == {"id": "i", "n": 1}
    assert await there.call("stream::list", group) == [{"id": "i", "n": 1}]
    assert await there.call("stream::list_groups", {"stream_name": unique}) == ["g"]
    assert (await here.call("stream::delete", item))["old_value"] == {"id": "i", "n": 1}
    assert await there.call("stream::get", item) is None


@pytest.mark.parametrize(("writes", "handles"), PAIRS, ids=str)
async def test_a_write_to_a_stream_calls_the_handler_on_the_other_gateway(
    fleet: Fleet, unique: str, writes: Generation, handles: Generation
) -> None:
    handler = await listening(fleet, handles, unique, "stream", {"stream_name": unique})
    writer = await fleet.worker(writes, 0)
    item = {"stream_name": unique, "group_id": "g", "item_id": "i", "data": {"id": "i"}}

    data = await heard(handler, unique, lambda: writer.call("stream::set", item))

    assert (data["type"], data["streamName"], data["groupId"], data["id"]) == ("stream", unique, "g", "i")
    assert data["event"]["type"] in ("create", "update")
    assert data["event"]["data"] == {"id": "i"}


@pytest.mark.parametrize(("publishes", "handles"), PAIRS, ids=str)
async def test_a_published_message_reaches_the_subscriber_on_the_other_gateway(
    fleet: Fleet, unique: str, publishes: Generation, handles: Generation
) -> None:
    handler = await listening(fleet, handles, unique, "subscribe", {"topic": unique})
    publisher = await fleet.worker(publishes, 0)

    message = {"topic": unique, "data": {"n": 1}}
    assert await heard(handler, unique, lambda: publisher.call("publish", message)) == {"n": 1}


@pytest.mark.parametrize(("enqueues", "handles"), PAIRS, ids=str)
async def test_a_job_of_a_named_queue_is_done_on_the_other_gateway(
    fleet: Fleet, unique: str, enqueues: Generation, handles: Generation
) -> None:
    handler = await fleet.worker(handles, 1)
    await handler.register(f"{unique}::handler", "record")
    caller = await fleet.worker(enqueues, 0)
    await known(caller, f"{unique}::handler")

    receipt = await caller.ask("enqueue", function=f"{unique}::handler", data={"n": 1}, queue="default")

    assert isinstance(receipt["messageReceiptId"], str)
    event = await handler.event("called", function=f"{unique}::handler")
    assert payload(event["data"]) == {"n": 1}


@pytest.mark.parametrize("generation", GENERATIONS, ids=str)
async def test_enqueueing_to_an_unknown_queue_is_refused(fleet: Fleet, unique: str, generation: Generation) -> None:
    caller = await fleet.worker(generation)
    with pytest.raises(SdkError, match="not found") as refused:
        await caller.ask("enqueue", function=f"{unique}::f", data={}, queue=f"{unique}-queue")
    assert refused.value.code == "enqueue_error"


@pytest.mark.parametrize(("publishes", "handles"), PAIRS, ids=str)
@pytest.mark.parametrize(
    ("trigger_type", "function"), [("queue", "enqueue"), ("durable:subscriber", "iii::durable::publish")]
)
async def test_a_message_of_a_durable_topic_is_handled_once_on_the_other_gateway(
    fleet: Fleet, unique: str, publishes: Generation, handles: Generation, trigger_type: str, function: str
) -> None:
    publisher = await fleet.worker(publishes, 0)
    # Kept until somebody subscribes.
    await publisher.call(function, {"topic": unique, "data": {"n": 1}})

    handler = await listening(fleet, handles, unique, trigger_type, {"topic": unique})

    event = await handler.event("called", function=f"{unique}::handler")
    assert payload(event["data"]) == {"n": 1}
    await publisher.call(function, {"topic": unique, "data": {"n": 2}})
    event = await handler.event("called", function=f"{unique}::handler")
    assert payload(event["data"]) == {"n": 2}
    assert handler.events("called", function=f"{unique}::handler") == []


@pytest.mark.parametrize("generation", GENERATIONS, ids=str)
async def test_a_cron_job_ticks_in_order_and_each_tick_once(fleet: Fleet, unique: str, generation: Generation) -> None:
    handler = await listening(fleet, generation, unique, "cron", {"expression": "* * * * * *"})

    ticks = [await handler.event("called", function=f"{unique}::handler") for _ in range(3)]

    await handler.ask("untrigger", key=unique)
    payloads = [payload(tick["data"]) for tick in ticks]
    assert all(data["trigger"] == "cron" for data in payloads)
    times = [data["scheduled_time"] for data in payloads]
    assert times == sorted(set(times))


@pytest.mark.parametrize("generation", GENERATIONS, ids=str)
async def test_a_condition_that_is_false_keeps_the_handler_from_being_called(
    fleet: Fleet, unique: str, generation: Generation
) -> None:
    worker = await fleet.worker(generation, 1)
    await worker.register(f"{unique}::never", "value", value=False)
    await worker.register(f"{unique}::refused", "record")
    await known(worker, f"{unique}::never", f"{unique}::refused")
    config = {"scope": unique, "condition_function_id": f"{unique}::never"}
    await worker.ask("trigger", key=f"{unique}-no", type="state", function=f"{unique}::refused", config=config)
    handler = await listening(fleet, generation, unique, "state", {"scope": unique})
    writer = await fleet.worker(generation, 0)

    await heard(handler, unique, lambda: writer.call("state::set", {"scope": unique, "key": "k", "value": 1}))

    assert worker.events("called", function=f"{unique}::refused") == []


async def test_metadata_of_a_trigger_reaches_its_handler_beside_the_event(fleet: Fleet, unique: str) -> None:
    handler = await listening(
        fleet, PYTHON_25, unique, "subscribe", {"topic": unique}, metadata={"team": "blue", "n": [1]}
    )
    publisher = await fleet.worker(NODE_22, 0)

    message = {"topic": unique, "data": {"n": 1}}
    data = await heard(handler, unique, lambda: publisher.call("publish", message))

    assert data["metadata"] == {"team": "blue", "n": [1]}
    assert payload(data["data"]) == {"n": 1}


@pytest.mark.parametrize("generation", GENERATIONS, ids=str)
async def test_many_increments_through_both_gateways_add_up(fleet: Fleet, unique: str, generation: Generation) -> None:
    workers = [await fleet.worker(generation, 0), await fleet.worker(PYTHON_25, 1)]
    place = {"scope": unique, "key": "k"}
    increment = {**place, "ops": [{"type": "increment", "path": "n", "by": 1}]}

    await asyncio.gather(*(workers[n % 2].call("state::update", increment) for n in range(60)))

    assert await workers[0].call("state::get", place) == {"n": 60}
