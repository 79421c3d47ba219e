"""Functions of modules over the wire, on either gateway, and what modules do with the engine they run in."""

from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from tests.support.cluster import Cluster
from tests.support.eventually import eventually
from tests.support.gateway_module import ENVIRONMENT
from tests.support.raw import CallFailed, RawWorker, known, raw_worker

TRACEPARENT = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-03"


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """Two gateways and two shards with the probe module."""
    directory: Path = tmp_path_factory.mktemp("modules")
    cluster = Cluster(directory, env=ENVIRONMENT)
    try:
        yield cluster.start()
    finally:
        cluster.stop()


@pytest.fixture(params=[0, 1], ids=["first-gateway", "second-gateway"])
async def asking(request: pytest.FixtureRequest, cluster: Cluster) -> AsyncIterator[RawWorker]:
    async with raw_worker(cluster.gateways[request.param].url, name="asking") as worker:
        yield worker


@pytest.fixture
async def serving(cluster: Cluster) -> AsyncIterator[RawWorker]:
    """On the first gateway."""
    async with raw_worker(cluster.gateways[0].url, name="serving") as worker:
        yield worker


async def test_a_function_of_a_module_is_answered_by_the_gateway_it_is_called_at(
    cluster: Cluster, asking: RawWorker
) -> None:
    said = await asking.call("probe::echo", {"n": 1}, metadata={"m": 2}, traceparent=TRACEPARENT)
    assert said.pop("node") in {gateway.id for gateway in cluster.gateways}
    assert said == {
        "data": {"n": 1, "_caller_worker_id": asking.worker_id},
        "caller": asking.worker_id,
        "metadata": {"m": 2},
        "traceparent": TRACEPARENT,
    }


async def test_no_value_and_null_differ(asking: RawWorker) -> None:
    none = await asking.result(await asking.begin("probe::none", {}))
    null = await asking.result(await asking.begin("probe::null", {}))
    assert "result" not in none
    assert "error" not in none
    assert null["result"] is None


async def test_errors_of_modules_have_their_codes(asking: RawWorker) -> None:
    with pytest.raises(CallFailed) as failed:
        await asking.call("probe::fail", {})
    assert failed.value.error == {"code": "PROBE_ERROR", "message": "as asked"}


async def test_input_that_does_not_fit_is_refused(asking: RawWorker) -> None:
    with pytest.raises(CallFailed) as failed:
        await asking.call("probe::call", {"function": 1})
    assert failed.value.code == "deserialization_error"
    assert "probe::call" in failed.value.message
    assert "function" in failed.value.message


async def test_a_function_without_a_wanted_result_is_executed(asking: RawWorker, unique: str) -> None:
    await asking.send("invokefunction", function_id="probe::count", data={"names": [unique]})
    await asking.send("invokefunction", function_id="probe::count", data={"names": [unique]}, action={"type": "void"})
    assert await asking.call("probe::count", {"names": [unique]}) == [3]


async def test_calls_of_one_worker_reach_redis_in_order(asking: RawWorker, unique: str) -> None:
    ids = [await asking.begin("probe::count", {"names": [unique]}) for _ in range(100)]
    assert [(await asking.result(id))["result"] for id in ids] == [[n] for n in range(1, 101)]


async def test_functions_of_modules_exist_in_the_default_namespace_only(asking: RawWorker) -> None:
    with pytest.raises(CallFailed) as failed:
        await asking.call("probe::echo", {}, namespace="shop")
    assert failed.value.code == "function_not_found"


async def test_a_worker_cannot_take_the_place_of_a_module(asking: RawWorker) -> None:
    await asking.register("probe::echo")
    rejected = await asking.expect("registrationrejected")
    assert rejected["function_id"] == "probe::echo"


async def test_a_worker_of_another_namespace_may_use_the_name(asking: RawWorker, cluster: Cluster, unique: str) -> None:
    async with raw_worker(cluster.gateways[0].url, namespace=unique) as other:
        await other.register("probe::echo", lambda _: "theirs")
        await known(asking, "probe::echo", namespace=unique)
        assert await asking.call("probe::echo", {}, namespace=unique) == "theirs"
    assert (await asking.call("probe::echo", {}))["caller"] == asking.worker_id


async def test_a_module_calls_a_worker_wherever_it_is(asking: RawWorker, serving: RawWorker, unique: str) -> None:
    await serving.register(f"{unique}::f")
    await known(asking, f"{unique}::f")
    asked = {"function": f"{unique}::f", "data": {"n": 1}, "metadata": {"m": 2}}
    call = await asking.begin("probe::call", asked, traceparent=TRACEPARENT)
    invocation = await serving.expect("invokefunction", function_id=f"{unique}::f")
    assert invocation["data"] == {"n": 1}
    assert invocation["metadata"] == {"m": 2}
    assert invocation["traceparent"] == TRACEPARENT
    await serving.answer(invocation, {"r": 3})
    assert (await asking.result(call))["result"]["result"] == {"r": 3}


async def test_a_module_is_told_when_nobody_serves_a_function(asking: RawWorker, unique: str) -> None:
    said = await asking.call("probe::call", {"function": f"{unique}::nobody"})
    assert said["error"] == "function_not_found"


async def test_a_module_calls_functions_of_modules(asking: RawWorker, unique: str) -> None:
    said = await asking.call("probe::call", {"function": "probe::count", "data": {"names": [unique]}})
    assert said["result"] == [1]


async def test_a_named_call_is_made_once(asking: RawWorker, serving: RawWorker, unique: str) -> None:
    await serving.register(f"{unique}::f")
    await known(asking, f"{unique}::f")
    asked = {"function": f"{unique}::f", "once": unique}
    first, second = [await asking.begin("probe::call", asked) for _ in range(2)]
    invocation = await serving.expect("invokefunction", function_id=f"{unique}::f")
    await asking.call("probe::none", {})
    await serving.nothing("invokefunction", function_id=f"{unique}::f")
    await serving.answer(invocation, 1)
    assert [(await asking.result(id))["result"]["result"] for id in (first, second)] == [1, 1]
    assert (await asking.call("probe::call", asked))["result"] is None, (
        "of a delivery that has ended only that is known"
    )
    await serving.nothing("invokefunction", function_id=f"{unique}::f")


async def test_a_delivery_under_way_is_adopted(
    cluster: Cluster, asking: RawWorker, serving: RawWorker, unique: str
) -> None:
    await serving.register(f"{unique}::f")
    await known(asking, f"{unique}::f")
    async with raw_worker(cluster.gateways[1].url) as former:
        call = await former.begin("probe::call", {"function": f"{unique}::f", "once": f"{unique}-1"})
        invocation = await serving.expect("invokefunction", function_id=f"{unique}::f")
        names = [f"{unique}-1", f"{unique}-2"]
        said = await asking.call("probe::adopt", {"names": names})
        assert said == {"serving": [f"{unique}-1"], "ended": {}, "complete": True}
        await serving.answer(invocation, 1)

        async def told() -> bool:
            return f"adopted {unique}-1" in await asking.call("probe::seen", {})

        if asking.socket.remote_address != former.socket.remote_address:
            await eventually(told)
        else:
            assert (await former.result(call))["result"]["result"] == 1
        said = await asking.call("probe::adopt", {"names": names})
        assert said == {"serving": [], "ended": {f"{unique}-1": ""}, "complete": True}
