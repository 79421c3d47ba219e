"""Triggers of workers under rules: what may be called for them, whose are whose, and who provides their types."""

from collections.abc import AsyncIterator
from typing import Any

import pytest

from tests.support.access import RULES, Gatekeeper, at, silence
from tests.support.cluster import Cluster
from tests.support.eventually import eventually
from tests.support.raw import RawWorker, known, raw_worker


@pytest.fixture(params=[0, 1], ids=["same-gateway", "other-gateway"])
async def guest(request: pytest.FixtureRequest, guarded: Cluster, keeper: Gatekeeper) -> AsyncIterator[RawWorker]:
    """A worker under rules, with the rights of `guest`."""
    async with raw_worker(at(guarded.gateways[request.param], RULES, "guest"), name="guest") as worker:
        yield worker


@pytest.fixture
async def provider(guarded: Cluster, keeper: Gatekeeper) -> AsyncIterator[RawWorker]:
    """One under rules that may provide trigger types."""
    keeper.rights["provider"] = {"allow_trigger_type_registration": True}
    async with raw_worker(at(guarded.gateways[1], RULES, "provider"), name="provider") as worker:
        yield worker


async def trigger(worker: RawWorker, id: str, function: str, type: str = "subscribe", **fields: Any) -> None:
    fields = {"config": {"topic": id}, **fields}
    await worker.send("registertrigger", id=id, trigger_type=type, function_id=function, **fields)


async def listed(worker: RawWorker, function: str) -> list[Any]:
    rows = (await worker.call("engine::registered-triggers::list", {"function_id": function}))["registered_triggers"]
    return list(rows)


async def states(worker: RawWorker, type: str) -> dict[str, str]:
    """Of the triggers of a type, by id."""
    rows = (await worker.call("engine::registered-triggers::list", {"trigger_type": type}))["registered_triggers"]
    return {row["id"]: row["state"] for row in rows}


async def refusal(worker: RawWorker, id: str) -> str:
    failed = await worker.expect("triggerregistrationresult", id=id)
    assert failed["error"]["code"] == "FORBIDDEN", failed
    return str(failed["error"]["message"])


async def test_a_trigger_calls_only_what_its_owner_may_call(free: RawWorker, guest: RawWorker, unique: str) -> None:
    for function in (f"open::{unique}", f"closed::{unique}"):
        await free.register(function)
    await known(free, f"open::{unique}", f"closed::{unique}")
    await trigger(guest, f"{unique}-1", f"closed::{unique}")
    assert "add to rbac.expose_functions" in await refusal(guest, f"{unique}-1")
    await trigger(guest, f"{unique}-2", f"open::{unique}", namespace="shop")
    await refusal(guest, f"{unique}-2")
    await trigger(guest, unique, f"open::{unique}")
    await eventually(lambda: listed(free, f"open::{unique}"))
    await eventually(lambda: told(free, unique))  # gateways learn of triggers a moment after they are listed
    assert (await free.expect("invokefunction", function_id=f"open::{unique}"))["data"] == 5
    assert not await listed(free, f"closed::{unique}")


async def told(worker: RawWorker, topic: str) -> bool:
    await worker.call("publish", {"topic": topic, "data": 5})
    await worker.flush()
    return any(frame["type"] == "invokefunction" for frame in worker.frames)


@pytest.mark.parametrize(
    "config",
    [
        {"condition_function_id": "closed::c"},
        {"_condition_path": "closed::c"},
        {"middleware_function_ids": ["open::m", "closed::c"]},
        {"api_path": "/x", "http_method": "GET", "condition_function_id": "closed::c"},
    ],
)
async def test_what_a_config_names_must_be_allowed_too(guest: RawWorker, unique: str, config: Any) -> None:
    for type in ("subscribe", "http", "cron", "state", f"{unique}-custom"):
        await trigger(guest, f"{unique}-{type}", f"open::{unique}", type, config={**config, "topic": unique})
        assert "closed::c" in await refusal(guest, f"{unique}-{type}")
        asked = {"trigger_type": type, "function_id": f"open::{unique}", "config": config}
        frame = await guest.result(await guest.begin("engine::register_trigger", asked))
        assert frame["error"]["code"] == "FORBIDDEN"


async def test_a_name_written_with_escapes_is_the_same_name(guest: RawWorker, unique: str) -> None:
    text = '{"type":"registertrigger","id":"%s","trigger_type":"subscribe","function_id":"open::f","config":%s}'
    await guest.send_text(text % (unique, '{"condition\\u005ffunction_id":"closed::c"}'))
    assert "closed::c" in await refusal(guest, unique)


async def test_durable_triggers_follow_the_same_rules(free: RawWorker, guest: RawWorker, unique: str) -> None:
    function, config = f"open::{unique}", {"topic": unique}
    await free.register(function)
    await known(free, function)
    for refused in ({"function_id": f"closed::{unique}"}, {"trigger_type": "engine::workers-available"}):
        asked = {"trigger_type": "subscribe", "function_id": function, "config": config, **refused}
        frame = await guest.result(await guest.begin("engine::register_trigger", asked))
        assert frame["error"]["code"] == "FORBIDDEN"
    asked = {"trigger_type": "subscribe", "function_id": function, "config": config}
    id = (await guest.call("engine::register_trigger", asked))["id"]
    await eventually(lambda: listed(free, function))
    assert [row["id"] for row in await listed(guest, function)] == [id]
    assert await guest.call("engine::unregister_trigger", {"id": id}) == {"removed": True}


async def test_nobody_elses_triggers_can_be_removed(free: RawWorker, guest: RawWorker, unique: str) -> None:
    function = f"open::{unique}"
    await free.register(function)
    await trigger(free, unique, function)
    durable = {"trigger_type": "subscribe", "function_id": function, "config": {}}
    kept = (await free.call("engine::register_trigger", durable))["id"]
    for id in (unique, kept):
        await guest.send("unregistertrigger", id=id, trigger_type="subscribe")
        assert await guest.call("engine::unregister_trigger", {"id": id}) == {"removed": False}
    assert {row["id"] for row in await listed(free, function)} == {unique, kept}
    assert await free.call("engine::unregister_trigger", {"id": kept}) == {"removed": True}


async def test_nobody_elses_trigger_can_be_replaced(free: RawWorker, guest: RawWorker, unique: str) -> None:
    """Of one id the later registration counts, but not across realms."""
    await free.register(f"open::{unique}")
    await trigger(free, unique, f"open::{unique}")
    await eventually(lambda: listed(free, f"open::{unique}"))
    await trigger(guest, unique, f"open::{unique}::mine")
    await eventually(lambda: listed(free, f"open::{unique}::mine"))
    assert len(await listed(free, f"open::{unique}")) == 1
    assert [row["id"] for row in await listed(guest, f"open::{unique}::mine")] == [unique]
    await guest.send("unregistertrigger", id=unique)
    await eventually(lambda: gone(free, f"open::{unique}::mine"))
    assert len(await listed(free, f"open::{unique}")) == 1


async def gone(worker: RawWorker, function: str) -> bool:
    return not await listed(worker, function)


async def test_types_that_tell_of_everybody_have_to_be_allowed_by_name(
    guarded: Cluster, keeper: Gatekeeper, free: RawWorker, guest: RawWorker, unique: str
) -> None:
    keeper.rights["listener"] = {"allowed_trigger_types": ["engine::functions-available"]}
    function = f"open::{unique}"
    for type in ("engine::functions-available", "engine::workers-available", "log"):
        await trigger(guest, f"{unique}-{type}", function, type)
    async with raw_worker(at(guarded.gateways[1], RULES, "listener")) as listener:
        await trigger(listener, unique, function, "engine::functions-available")
        await trigger(listener, f"{unique}-2", function)
        await eventually(lambda: listed(free, function))
        await silence(listener, "triggerregistrationresult")
        await silence(guest, "triggerregistrationresult")
        assert [row["trigger_type"] for row in await listed(free, function)] == ["engine::functions-available"]


async def test_another_name_of_a_type_opens_nothing(
    guarded: Cluster, keeper: Gatekeeper, free: RawWorker, unique: str
) -> None:
    keeper.rights["web"] = {"allowed_trigger_types": ["cron"]}
    config = {"api_path": f"/{unique}", "http_method": "GET"}
    async with raw_worker(at(guarded.gateways[1], RULES, "web")) as web:
        await trigger(web, unique, f"open::{unique}", "api", config=config)
        await silence(web, "triggerregistrationresult")
        assert await gone(free, f"open::{unique}")


async def test_trigger_types_need_a_right_of_their_own(
    free: RawWorker, guest: RawWorker, provider: RawWorker, unique: str
) -> None:
    await guest.send("registertriggertype", id=f"{unique}-a", description="")
    await provider.send("registertriggertype", id=f"{unique}-b", description="")
    await trigger(free, f"{unique}-a", f"open::{unique}", f"{unique}-a")
    await trigger(free, f"{unique}-b", f"open::{unique}", f"{unique}-b")
    offered = await provider.expect("registertrigger")
    assert (offered["id"], offered["function_id"]) == (f"{unique}-b", f"open::{unique}")
    await silence(guest, "registertrigger")


async def test_a_provider_hears_only_of_what_it_may_call(free: RawWorker, provider: RawWorker, unique: str) -> None:
    await provider.send("registertriggertype", id=unique, description="")
    await trigger(free, f"{unique}-1", f"closed::{unique}", unique, config={"secret": 1})
    assert await refusal(free, f"{unique}-1") == f"the provider may not call 'closed::{unique}'"
    await provider.send("triggerregistrationresult", id=f"{unique}-1", trigger_type=unique, function_id="")
    await trigger(free, f"{unique}-2", f"open::{unique}", unique)
    assert (await provider.expect("registertrigger"))["id"] == f"{unique}-2"
    await provider.nothing("registertrigger")
    assert await states(free, unique) == {f"{unique}-1": "refused", f"{unique}-2": "live"}


async def test_a_provider_without_rules_keeps_its_triggers(free: RawWorker, provider: RawWorker, unique: str) -> None:
    await free.send("registertriggertype", id=unique, description="")
    await trigger(free, unique, f"open::{unique}", unique)
    await free.expect("registertrigger", id=unique)
    await provider.send("registertriggertype", id=unique, description="")
    await silence(provider, "registertrigger")
    await free.nothing("unregistertrigger")
    await free.send("unregistertriggertype", id=unique)
    await provider.expect("registertrigger", id=unique)


async def test_a_worker_without_rights_to_register_functions_registers_none(
    guarded: Cluster, keeper: Gatekeeper, free: RawWorker, unique: str
) -> None:
    keeper.rights["mute"] = {"allow_function_registration": False}
    async with raw_worker(at(guarded.gateways[1], RULES, "mute")) as mute:
        await mute.register(f"open::{unique}")
        await silence(mute, "registrationrejected")
        rows = (await free.call("engine::functions::list", {"search": unique}))["functions"]
        assert rows == []
