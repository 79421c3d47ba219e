"""What workers under rules register: prefixes, hooks, and ids that are not for them."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest

from tests.support.access import HOOKS, RULES, Gatekeeper, at, forbidden, silence
from tests.support.cluster import Cluster
from tests.support.eventually import eventually
from tests.support.raw import CallFailed, Frame, RawWorker, echo, known, raw_worker


def own_name(frame: Frame) -> Any:
    """What the worker was called by."""
    return frame["function_id"]


@pytest.fixture(params=[0, 1], ids=["same-gateway", "other-gateway"])
async def hooked(request: pytest.FixtureRequest, guarded: Cluster, keeper: Gatekeeper) -> AsyncIterator[RawWorker]:
    """A worker at a listener with hooks."""
    keeper.rights["hooked"] = {"allow_trigger_type_registration": True, "context": {"user": 7}}
    async with raw_worker(at(guarded.gateways[request.param], HOOKS, "hooked"), name="hooked") as worker:
        yield worker


@pytest.fixture(params=[0, 1], ids=["same-gateway", "other-gateway"])
async def tenant(
    request: pytest.FixtureRequest, guarded: Cluster, keeper: Gatekeeper, unique: str
) -> AsyncIterator[RawWorker]:
    """A worker whose functions get a prefix."""
    keeper.rights["tenant"] = {"function_registration_prefix": f"open::{unique}"}
    async with raw_worker(at(guarded.gateways[request.param], RULES, "tenant"), name="tenant") as worker:
        yield worker


async def functions(worker: RawWorker, unique: str) -> list[str]:
    rows = (await worker.call("engine::functions::list", {"search": unique, "include_internal": True}))["functions"]
    return [row["function_id"] for row in rows]


async def routed(worker: RawWorker, function: str) -> list[Any]:
    rows = (await worker.call("engine::registered-triggers::list", {"function_id": function}))["registered_triggers"]
    return list(rows)


# -- prefixes


async def test_a_prefix_is_put_before_ids_and_taken_off_calls(
    guarded: Cluster, free: RawWorker, tenant: RawWorker, unique: str
) -> None:
    registered = f"open::{unique}::f"
    await tenant.register("f", own_name)
    await known(free, registered)
    async with raw_worker(guarded.gateways[1].url) as elsewhere:
        for caller in (free, elsewhere, tenant):
            assert await caller.call(registered, {}) == "f"
    await forbidden(tenant, "f")
    assert await functions(free, unique) == [registered]
    await tenant.send("unregisterfunction", id="f")
    await eventually(lambda: none_left(free, unique))


async def none_left(worker: RawWorker, unique: str) -> bool:
    return not await functions(worker, unique)


async def test_a_prefix_is_put_before_the_targets_of_triggers(free: RawWorker, tenant: RawWorker, unique: str) -> None:
    await tenant.register("f")
    config = {"topic": unique}
    await tenant.send("registertrigger", id=unique, trigger_type="subscribe", function_id="f", config=config)
    await eventually(lambda: routed(free, f"open::{unique}::f"))
    await known(free, f"open::{unique}::f")
    await eventually(lambda: told(free, unique, tenant))
    assert (await tenant.expect("invokefunction"))["function_id"] == "f"
    await tenant.send("registertrigger", id=f"{unique}-2", trigger_type="nobodys", function_id="f", config={})
    durable = {"trigger_type": "subscribe", "function_id": "f", "config": {"topic": f"{unique}-2"}}
    await tenant.call("engine::register_trigger", durable)
    await eventually(lambda: bound(free, f"open::{unique}::f", 3))


async def test_a_refused_target_is_told_by_its_own_name(guarded: Cluster, keeper: Gatekeeper, unique: str) -> None:
    keeper.rights["hidden"] = {"function_registration_prefix": unique}
    async with raw_worker(at(guarded.gateways[1], RULES, "hidden")) as hidden:
        await hidden.register("f")
        config = {"topic": unique}
        await hidden.send("registertrigger", id=unique, trigger_type="subscribe", function_id="f", config=config)
        error = (await hidden.expect("triggerregistrationresult"))["error"]
        assert error["code"] == "FORBIDDEN"
        assert error["message"] == "function 'f' not allowed (add to rbac.expose_functions)"


async def told(publisher: RawWorker, topic: str, listener: RawWorker) -> bool:
    """Publishes: gateways learn of triggers a moment after they are listed."""
    await publisher.call("publish", {"topic": topic, "data": 3})
    await listener.flush()
    return any(frame["type"] == "invokefunction" for frame in listener.frames)


async def bound(worker: RawWorker, function: str, count: int) -> bool:
    return len(await routed(worker, function)) == count


async def test_a_job_of_a_queue_is_called_by_its_own_name(free: RawWorker, tenant: RawWorker, unique: str) -> None:
    await tenant.register("f")
    await known(free, f"open::{unique}::f")
    await free.call(f"open::{unique}::f", 4, action={"type": "enqueue", "queue": "default"})
    invocation = await tenant.expect("invokefunction")
    assert (invocation["function_id"], invocation["data"]) == ("f", 4)
    await tenant.answer(invocation)


# -- ids that are not for them


@pytest.mark.parametrize(
    "id",
    ["gate::auth", "gate::all", "gate::missing", "engine::log::mine", "state::mine", "stream::get(todo)", "todo.set"],
)
async def test_ids_that_others_rely_on_are_refused(
    guarded: Cluster, keeper: Gatekeeper, free: RawWorker, id: str
) -> None:
    async with raw_worker(at(guarded.gateways[1], RULES, "guest")) as guest:
        await guest.register(id)
        assert (await guest.expect("registrationrejected"))["function_id"] == id
        assert id not in (await functions(free, id) if id != "gate::auth" else [])


async def test_nobodys_function_is_taken_over(
    guarded: Cluster, keeper: Gatekeeper, free: RawWorker, unique: str
) -> None:
    function = f"open::{unique}"
    async with raw_worker(at(guarded.gateways[1], RULES, "guest")) as guest:
        await guest.register(function, lambda _: "guest")
        await known(free, function)
        await free.register(function, lambda _: "free")
        rejected = await guest.expect("registrationrejected")
        assert rejected["function_id"] == function
        await guest.register(function, lambda _: "guest")
        await guest.expect("registrationrejected")
        assert {await free.call(function) for _ in range(5)} == {"free"}
        assert {await guest.call(function) for _ in range(5)} == {"free"}


async def test_the_gateway_makes_no_requests_for_them(
    guarded: Cluster, keeper: Gatekeeper, free: RawWorker, unique: str
) -> None:
    invocation = {"url": "https://example.com", "auth": {"type": "bearer", "token_key": "HOME"}}
    async with raw_worker(at(guarded.gateways[1], RULES, "guest")) as guest:
        await guest.register(f"open::{unique}", invocation=invocation)
        await guest.flush()
        assert await functions(free, unique) == []


# -- hooks


async def test_a_hook_is_asked_and_may_change_what_is_registered(
    keeper: Gatekeeper, free: RawWorker, hooked: RawWorker, unique: str
) -> None:
    keeper.hooks["gate::function"] = lambda asked: {
        **asked,
        "function_id": "open::" + asked["function_id"],
        "metadata": 5,
    }
    await hooked.register(unique, own_name, description="d", metadata={"a": 1})
    await known(free, f"open::{unique}")
    assert keeper.asked["gate::function"] == [
        {
            "function_id": unique,
            "description": "d",
            "metadata": {"a": 1},
            "namespace": "default",
            "context": {"user": 7},
        }
    ]
    row = (await free.call("engine::functions::list", {"search": unique}))["functions"][0]
    assert (row["function_id"], row["description"], row["metadata"]) == (f"open::{unique}", "d", 5)
    assert await free.call(f"open::{unique}", 1) == unique
    await hooked.send("unregisterfunction", id=unique)
    await eventually(lambda: none_left(free, unique))


@pytest.mark.parametrize(
    "answer",
    [None, False, "no", [], {"function_id": 7}, {"function_id": ""}, CallFailed({"code": "no", "message": "no"})],
)
async def test_any_other_answer_denies_in_silence(
    keeper: Gatekeeper, free: RawWorker, hooked: RawWorker, unique: str, answer: Any
) -> None:
    keeper.hooks["gate::function"] = lambda asked: answer if asked["function_id"] == f"{unique}-1" else {}
    await hooked.register(f"{unique}-1")
    await hooked.register(f"{unique}-2")
    await known(free, f"{unique}-2")
    assert await functions(free, unique) == [f"{unique}-2"]
    await hooked.nothing("registrationrejected")


async def test_registrations_keep_their_order_and_calls_wait_for_them(
    keeper: Gatekeeper, free: RawWorker, hooked: RawWorker, unique: str
) -> None:
    await free.register(f"open::{unique}::slow")
    await known(free, f"open::{unique}::slow")
    function = f"open::{unique}"
    hooked.send_together(
        {"type": "registerfunction", "id": function},
        {"type": "unregisterfunction", "id": function},
        {"type": "registerfunction", "id": function, "description": "second"},
        {"type": "ping"},
    )
    await hooked.expect("pong")  # which does not wait for any hook
    hooked._handlers[function] = lambda _: "answered"
    assert await hooked.call(function) == "answered"
    assert [asked["description"] for asked in keeper.asked["gate::function"]] == [None, "second"]


async def test_triggers_and_types_are_asked_about_too(
    keeper: Gatekeeper, free: RawWorker, hooked: RawWorker, unique: str
) -> None:
    keeper.hooks["gate::type"] = lambda asked: {"trigger_type_id": asked["trigger_type_id"] + "-v2"}
    keeper.hooks["gate::trigger"] = lambda asked: {
        "trigger_id": asked["trigger_id"] + "-mine",
        "function_id": "open::" + asked["function_id"],
        "config": {"changed": True},
    }
    await hooked.send("registertriggertype", id=unique, description="d")
    fields = {"trigger_type": f"{unique}-v2", "function_id": unique, "config": {"x": 1}, "metadata": {"m": 1}}
    await hooked.send("registertrigger", id=unique, **fields)
    offered = await hooked.expect("registertrigger")
    assert offered["trigger_type"] == unique  # its own name of it
    assert (offered["function_id"], offered["config"]) == (f"open::{unique}", {"changed": True})
    assert keeper.asked["gate::type"][-1] == {"trigger_type_id": unique, "description": "d", "context": {"user": 7}}
    assert keeper.asked["gate::trigger"][-1] == {
        "trigger_id": unique,
        "trigger_type": f"{unique}-v2",
        "function_id": unique,
        "config": {"x": 1},
        "metadata": {"m": 1},
        "namespace": "default",
        "context": {"user": 7},
    }
    error = {"code": "taken", "message": "no"}
    ids = {"id": offered["id"], "trigger_type": unique, "function_id": offered["function_id"]}
    await hooked.send("triggerregistrationresult", **ids, error=error)
    failed = await hooked.expect("triggerregistrationresult")
    assert (failed["id"], failed["function_id"], failed["error"]) == (unique, unique, error)
    await hooked.send("unregistertrigger", id=unique)
    await eventually(lambda: gone(free, f"open::{unique}"))


async def gone(worker: RawWorker, function: str) -> bool:
    return not await routed(worker, function)


async def test_what_a_hook_makes_of_a_trigger_must_be_allowed(
    keeper: Gatekeeper, hooked: RawWorker, unique: str
) -> None:
    keeper.hooks["gate::trigger"] = {"function_id": f"closed::{unique}"}
    await hooked.send("registertrigger", id=unique, trigger_type="cron", function_id=f"open::{unique}", config={})
    failed = await hooked.expect("triggerregistrationresult", id=unique)
    assert (failed["function_id"], failed["error"]["code"]) == (f"open::{unique}", "FORBIDDEN")
    keeper.hooks["gate::trigger"] = {"trigger_type": "engine::workers-available"}
    await hooked.send(
        "registertrigger", id=f"{unique}-2", trigger_type="cron", function_id=f"open::{unique}", config={}
    )
    await silence(hooked, "triggerregistrationresult")


async def test_durable_triggers_are_asked_about_and_the_answer_is_told(
    keeper: Gatekeeper, hooked: RawWorker, unique: str
) -> None:
    keeper.hooks["gate::trigger"] = None
    asked = {"trigger_type": "subscribe", "function_id": f"open::{unique}", "config": {}}
    assert await forbidden(hooked, "engine::register_trigger", asked) == "the registration was denied"


async def test_a_hook_without_a_worker_denies(
    guarded: Cluster, free: RawWorker, keeper: Gatekeeper, unique: str
) -> None:
    gateway = guarded.gateways[1]
    async with raw_worker(at(gateway, HOOKS, "hooked")) as hooked, raw_worker(gateway.url) as elsewhere:
        await keeper.worker.send("unregisterfunction", id="gate::function")
        await eventually(lambda: unserved(elsewhere, "gate::function"))
        await hooked.register(f"open::{unique}")
        await silence(hooked, "registrationrejected")
        assert await functions(free, unique) == []


async def unserved(worker: RawWorker, function: str) -> bool:
    frame = await worker.result(await worker.begin(function, {}))
    return bool((frame.get("error") or {}).get("code") == "function_not_found")


async def test_hooks_hear_of_the_announced_namespace(
    guarded: Cluster, keeper: Gatekeeper, free: RawWorker, unique: str
) -> None:
    """A function cannot be approved in one namespace and served in another."""
    async with raw_worker(at(guarded.gateways[1], HOOKS, "hooked"), name=None) as hooked:
        await hooked.register(f"shop::{unique}", echo)
        await hooked.flush()
        assert "gate::function" not in keeper.asked
        await hooked.announce("late", namespace="shop")
        await known(free, f"shop::{unique}", namespace="shop")
        assert [asked["namespace"] for asked in keeper.asked["gate::function"]] == ["shop"]


async def test_without_an_announcement_the_namespace_is_default(
    guarded: Cluster, keeper: Gatekeeper, free: RawWorker, unique: str
) -> None:
    async with raw_worker(at(guarded.gateways[1], HOOKS, "hooked"), name=None) as hooked:
        await hooked.register(f"open::{unique}", echo)
        await known(free, f"open::{unique}")
        await hooked.announce("too late", namespace="shop")
        await hooked.flush()
        await asyncio.sleep(0)
        rows = (await free.call("engine::functions::list", {"search": unique}))["functions"]
        assert [row["namespace"] for row in rows] == ["default"]
