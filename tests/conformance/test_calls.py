"""Workers of every client generation call each other, on the same gateway and across gateways."""

from typing import Any

import pytest

from tests.conformance.conftest import Fleet
from tests.conformance.known import known, payload
from tests.support.sdk_worker import SdkError
from tests.support.sdks import GENERATIONS, NODE_9, NODE_22, PYTHON_9, PYTHON_23, PYTHON_25, Generation

PLACES = [pytest.param(0, id="same-gateway"), pytest.param(1, id="other-gateway")]
PAIRS = [(caller, callee) for caller in GENERATIONS for callee in GENERATIONS]


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize(("caller", "callee"), PAIRS, ids=lambda generation: str(generation))
async def test_a_worker_calls_a_function_of_another(
    fleet: Fleet, unique: str, caller: Generation, callee: Generation, place: int
) -> None:
    calling = await fleet.worker(caller, 0)
    serving = await fleet.worker(callee, place)
    await serving.register(f"{unique}::echo")
    await known(calling, f"{unique}::echo")

    data = {"text": "größer ✓", "list": [1, 2.5, None, True], "nested": {"n": 2**40}}
    answer = await calling.call(f"{unique}::echo", data)

    assert answer["worker"] == serving.name
    assert answer["data"] == {**data, "_caller_worker_id": await calling.worker_id()}


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("data", [None, "text", 7, [1, 2], {}], ids=["none", "string", "number", "list", "empty"])
async def test_any_json_value_arrives_and_comes_back(fleet: Fleet, unique: str, data: Any, place: int) -> None:
    calling = await fleet.worker(PYTHON_25, 0)
    serving = await fleet.worker(NODE_22, place)
    await serving.register(f"{unique}::echo")
    await known(calling, f"{unique}::echo")

    received = (await calling.call(f"{unique}::echo", data))["data"]

    assert (payload(received) if isinstance(data, dict) else received) == data


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize(("caller", "callee"), PAIRS, ids=lambda generation: str(generation))
async def test_an_error_of_a_handler_reaches_the_caller_verbatim(
    fleet: Fleet, unique: str, caller: Generation, callee: Generation, place: int
) -> None:
    calling = await fleet.worker(caller, 0)
    serving = await fleet.worker(callee, place)
    await serving.register(f"{unique}::fail", "fail", message=f"boom “{unique}”")
    await known(calling, f"{unique}::fail")

    with pytest.raises(SdkError) as raised:
        await calling.call(f"{unique}::fail", {})

    assert raised.value.code == "invocation_failed"
    assert raised.value.message == f"boom “{unique}”"


@pytest.mark.parametrize("caller", GENERATIONS, ids=str)
async def test_an_unknown_function_is_reported_as_such(fleet: Fleet, unique: str, caller: Generation) -> None:
    calling = await fleet.worker(caller, 0)

    with pytest.raises(SdkError) as raised:
        await calling.call(f"{unique}::nothing", {})

    assert raised.value.code == "function_not_found"
    assert f"Function {unique}::nothing not found" in raised.value.message


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("caller", GENERATIONS, ids=str)
async def test_a_void_call_runs_the_function_and_returns_at_once(
    fleet: Fleet, unique: str, caller: Generation, place: int
) -> None:
    calling = await fleet.worker(caller, 0)
    serving = await fleet.worker(PYTHON_23 if caller == PYTHON_25 else PYTHON_25, place)
    await serving.register(f"{unique}::void", "hold")
    await known(calling, f"{unique}::void")

    # Returns although the function does not.
    await calling.ask("void", function=f"{unique}::void", data={"n": 1})

    event = await serving.event("called", function=f"{unique}::void")
    assert payload(event["data"]) == {"n": 1}
    await serving.ask("release", function=f"{unique}::void")


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("callee", GENERATIONS, ids=str)
async def test_an_unregistered_function_is_no_longer_found(
    fleet: Fleet, unique: str, callee: Generation, place: int
) -> None:
    calling = await fleet.worker(NODE_22 if callee == PYTHON_25 else PYTHON_25, 0)
    serving = await fleet.worker(callee, place)
    await serving.register(f"{unique}::echo")
    await known(calling, f"{unique}::echo")
    await calling.call(f"{unique}::echo", {})

    await serving.ask("unregister", function=f"{unique}::echo")
    # Its own call comes after the removal on the same connection.
    with pytest.raises(SdkError) as raised:
        await serving.call(f"{unique}::echo", {})

    assert raised.value.code == "function_not_found"


@pytest.mark.parametrize(("caller", "callee"), [(PYTHON_25, PYTHON_23), (NODE_22, PYTHON_25), (PYTHON_23, NODE_22)])
async def test_metadata_of_a_call_reaches_the_handler(
    fleet: Fleet, unique: str, caller: Generation, callee: Generation
) -> None:
    calling = await fleet.worker(caller, 0)
    serving = await fleet.worker(callee, 1)
    await serving.register(f"{unique}::record", "record")
    await known(calling, f"{unique}::record")

    await calling.call(f"{unique}::record", {"n": 1}, metadata={"tenant": "a"})

    event = await serving.event("called", function=f"{unique}::record")
    assert payload(event["data"]["data"]) == {"n": 1}
    assert event["data"]["metadata"] == {"tenant": "a"}


@pytest.mark.parametrize("generation", GENERATIONS, ids=str)
async def test_a_worker_calls_its_own_function(fleet: Fleet, unique: str, generation: Generation) -> None:
    worker = await fleet.worker(generation, 0)
    await worker.register(f"{unique}::echo")

    answer = await worker.call(f"{unique}::echo", {"n": 1})

    assert answer["worker"] == worker.name


@pytest.mark.parametrize(("caller", "callee"), [(PYTHON_9, NODE_9), (NODE_9, PYTHON_25), (PYTHON_25, PYTHON_9)])
async def test_a_large_payload_crosses_gateways(
    fleet: Fleet, unique: str, caller: Generation, callee: Generation
) -> None:
    calling = await fleet.worker(caller, 0)
    serving = await fleet.worker(callee, 1)
    await serving.register(f"{unique}::echo")
    await known(calling, f"{unique}::echo")

    # Just below the 1 MiB that the oldest Python clients accept.
    text = "x" * 1_000_000
    answer = await calling.call(f"{unique}::echo", {"text": text})

    assert answer["data"]["text"] == text
