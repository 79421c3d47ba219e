"""Functions of modules over the wire, on either gateway, and what modules do with the engine they run in."""

from collections.abc import AsyncIterator, Iterator

import pytest

from tests.support.cluster import Cluster, running_cluster
from tests.support.eventually import eventually
from tests.support.gateway_module import ENVIRONMENT, EVENT
from tests.support.raw import CallFailed, RawWorker, known, raw_worker

TRACEPARENT = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-03"


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """Two gateways and two shards with the probe module."""
    with running_cluster(tmp_path_factory.mktemp("modules"), env=ENVIRONMENT) as cluster:
        yield cluster


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
    assert said.pop("traceparent").split("-")[1] == TRACEPARENT.split("-")[1]
    assert said == {
        "data": {"n": 1, "_caller_worker_id": asking.worker_id},
        "caller": asking.worker_id,
        "metadata": {"m": 2},
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
    assert invocation["traceparent"].split("-")[1] == TRACEPARENT.split("-")[1]
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


async def test_functions_of_modules_are_listed_with_their_module(asking: RawWorker) -> None:
    rows = (await asking.call("engine::functions::list", {"prefix": "probe::"}))["functions"]
    listed = {row["function_id"]: row for row in rows}
    assert "probe::seen" not in listed, "it is hidden"
    echo = listed["probe::echo"]
    assert (echo["worker_name"], echo["namespace"]) == ("probe", "default")
    assert echo["description"] == "Answers with all that it got."


async def test_a_function_of_a_module_is_described_with_the_schema_of_its_input(asking: RawWorker) -> None:
    detail = await asking.call("engine::functions::info", {"function_id": "probe::count"})
    assert detail["worker_name"] == "probe"
    assert "request_schema" in detail
    assert detail["registered_triggers"] == []
    both = await asking.call("engine::functions::info", {"function_ids": ["probe::echo", "no::such"]})
    assert [row.get("error") for row in both["functions"]] == [None, "not_found"]


async def test_trigger_types_of_modules_are_listed_and_described(asking: RawWorker, unique: str) -> None:
    rows = (await asking.call("engine::triggers::list", {"prefix": "probe"}))["triggers"]
    expected = {"id": EVENT, "namespace": "default", "worker_name": "probe", "description": "Fired by probe::fire."}
    assert rows == [expected]
    before = await asking.call("engine::triggers::info", {"id": EVENT})
    assert expected.items() <= before.items()
    assert before["configuration_schema"]
    trigger = {"trigger_type": "probe-event", "function_id": f"{unique}::f", "config": {"topic": "a"}}
    await asking.send("registertrigger", id=f"{unique}-t", **trigger)

    async def counted() -> bool:
        now = await asking.call("engine::triggers::info", {"id": "probe-event"})
        return bool(now["instance_count"] == before["instance_count"] + 1)

    await eventually(counted)
    detail = await asking.call("engine::registered-triggers::info", {"id": f"{unique}-t"})
    assert detail["trigger"]["id"] == EVENT


async def test_a_trigger_its_module_refuses_is_told_to_the_worker(asking: RawWorker, unique: str) -> None:
    trigger = {"trigger_type": EVENT, "function_id": f"{unique}::f", "config": {"topic": 1}}
    await asking.send("registertrigger", id=f"{unique}-t", **trigger)
    told = await asking.expect("triggerregistrationresult", id=f"{unique}-t")
    assert told["error"]["code"] == "trigger_registration_failed"
    assert "could not be parsed" in told["error"]["message"]
    with pytest.raises(CallFailed) as failed:
        await asking.call("engine::register_trigger", trigger)
    assert failed.value.code == "trigger_registration_failed"


async def test_the_module_where_a_trigger_is_registered_hears_of_it(
    cluster: Cluster, asking: RawWorker, unique: str
) -> None:
    async def seen(*notes: str) -> None:
        async def all_there() -> bool:
            seen: dict[str, int] = await asking.call("probe::seen", {})
            return set(notes) <= seen.keys()

        await eventually(all_there)

    trigger = {"trigger_type": EVENT, "function_id": f"{unique}::f", "config": {"topic": "a"}}
    await asking.send("registertrigger", id=f"{unique}-1", **trigger)
    await seen(f"registered {unique}-1")
    durable = (await asking.call("engine::register_trigger", trigger))["id"]
    await seen(f"registered {durable}")
    await asking.call("engine::unregister_trigger", {"id": durable})
    await seen(f"unregistered {durable}")
    async with raw_worker(cluster.gateways[0].url) as first, raw_worker(cluster.gateways[1].url) as second:
        for other in (first, second):  # one of them is on another gateway
            await other.send("unregistertrigger", id=f"{unique}-1")
            await other.flush()
    await seen(f"unregistered {unique}-1")


async def test_a_module_fires_triggers_wherever_they_are_registered(
    cluster: Cluster, asking: RawWorker, unique: str
) -> None:
    async with raw_worker(cluster.gateways[0].url) as first, raw_worker(cluster.gateways[1].url) as second:
        await second.register(f"{unique}::f")
        trigger = {"trigger_type": EVENT, "function_id": f"{unique}::f", "config": {"topic": "a"}}
        await first.send("registertrigger", id=f"{unique}-t", metadata={"m": 1}, **trigger)
        await known(asking, f"{unique}::f")

        async def fired() -> bool:
            triggers: list[str] = await asking.call("probe::fire", {"n": 1})
            return f"{unique}-t" in triggers

        await eventually(fired)
        invocation = await second.expect("invokefunction", function_id=f"{unique}::f")
        assert invocation["metadata"] == {"m": 1}
        assert invocation["data"]["n"] == 1


async def test_a_module_is_told_whether_anybody_serves_a_function(
    asking: RawWorker, serving: RawWorker, unique: str
) -> None:
    asked = {"function": f"{unique}::f"}
    assert await asking.call("probe::serves", asked) is False

    async def serves(on: bool) -> None:
        async def told() -> bool:
            return bool(await asking.call("probe::serves", asked) is on)

        await eventually(told)

    await serving.register(f"{unique}::f")
    await serves(True)
    await serving.send("unregisterfunction", id=f"{unique}::f")
    await serves(False)
