"""What workers under rules may call, and have called."""

from collections.abc import AsyncIterator
from typing import Any

import pytest

from tests.support.access import RULES, Gatekeeper, at, forbidden, silence
from tests.support.cluster import Cluster
from tests.support.eventually import eventually
from tests.support.raw import RawWorker, echo, known, raw_worker

HIDDEN = "(add to rbac.expose_functions)"
DIRECT = "(it can only be called directly)"


@pytest.fixture(params=[0, 1], ids=["same-gateway", "other-gateway"])
async def guest(request: pytest.FixtureRequest, guarded: Cluster, keeper: Gatekeeper) -> AsyncIterator[RawWorker]:
    """A worker under rules, with the rights of `guest`."""
    async with raw_worker(at(guarded.gateways[request.param], RULES, "guest"), name="guest") as worker:
        yield worker


async def serve(worker: RawWorker, *functions: str, **fields: Any) -> None:
    for function in functions:
        await worker.register(function, echo, **fields)
    await known(worker, *functions)


async def refused(worker: RawWorker, function: str) -> bool:
    return (await worker.result(await worker.begin(function, 1))).get("error") is not None


async def test_only_exposed_functions_can_be_called(free: RawWorker, guest: RawWorker, unique: str) -> None:
    await serve(free, f"open::{unique}", f"closed::{unique}")
    assert await guest.call(f"open::{unique}", 1) == 1
    assert await forbidden(guest, f"closed::{unique}") == f"function 'closed::{unique}' not allowed {HIDDEN}"
    assert await forbidden(guest, f"missing::{unique}") == f"function 'missing::{unique}' not allowed {HIDDEN}"
    assert await free.call(f"closed::{unique}", 2) == 2


async def test_a_call_that_wants_no_answer_is_refused_with_one(free: RawWorker, guest: RawWorker, unique: str) -> None:
    await serve(free, f"closed::{unique}")
    await free.register(f"closed::{unique}")  # calls of it are kept
    void = {"type": "void"}
    await guest.send("invokefunction", function_id=f"closed::{unique}", data=1)
    await guest.send("invokefunction", function_id=f"closed::{unique}", data=1, action=void)
    for _ in range(2):
        refused = await guest.expect("invocationresult", function_id=f"closed::{unique}")
        assert refused["error"]["code"] == "FORBIDDEN"
        assert len(refused["invocation_id"]) == 36
    await silence(free, "invokefunction")


async def test_grants_of_one_connection_are_its_own(
    guarded: Cluster, keeper: Gatekeeper, free: RawWorker, unique: str
) -> None:
    await serve(free, f"a::{unique}", f"open::{unique}")
    keeper.rights["one"] = {"allowed_functions": [f"a::{unique}"], "forbidden_functions": [f"open::{unique}"]}
    async with (
        raw_worker(at(guarded.gateways[1], RULES, "one")) as one,
        raw_worker(at(guarded.gateways[1], RULES, "two")) as two,
    ):
        assert await one.call(f"a::{unique}", 1) == 1
        reason = "(remove from rbac.forbidden_functions)"
        assert await forbidden(one, f"open::{unique}") == f"function 'open::{unique}' not allowed {reason}"
        assert await two.call(f"open::{unique}", 1) == 1
        await forbidden(two, f"a::{unique}")


async def test_namespaces_are_told_apart(guarded: Cluster, keeper: Gatekeeper, unique: str) -> None:
    keeper.rights["one"] = {"namespaces": {"shop": [f"extra::{unique}"], "default": []}}
    function = f"extra::{unique}"
    async with (
        raw_worker(guarded.gateways[0].url, namespace="shop") as seller,
        raw_worker(at(guarded.gateways[1], RULES, "one")) as one,
    ):
        for name in (f"shop::{unique}", function):
            await seller.register(name, echo)
            await known(seller, name, namespace="shop")
        assert await one.call(f"shop::{unique}", 1, namespace="shop") == 1
        assert await one.call(function, 2, namespace="shop") == 2
        await forbidden(one, f"shop::{unique}")
        await forbidden(one, function)


async def test_metadata_exposes_a_function_as_long_as_it_says_so(
    free: RawWorker, guest: RawWorker, unique: str
) -> None:
    function = f"meta::{unique}"
    await serve(free, function, metadata={"public": True, "name": "axb"})
    assert await guest.call(function, 1) == 1
    await free.register(function, echo, metadata={"public": False, "name": "axb"})
    await eventually(lambda: refused(guest, function))
    assert await forbidden(guest, function) == f"function '{function}' not allowed {HIDDEN}"


async def test_what_owners_do_not_agree_on_exposes_nothing(
    guarded: Cluster, free: RawWorker, guest: RawWorker, unique: str
) -> None:
    function = f"meta::{unique}"
    await serve(free, function, metadata={"public": True, "name": "x"})
    assert await guest.call(function, 1) == 1
    async with raw_worker(guarded.gateways[1].url) as second:
        await second.register(function, echo)
        await eventually(lambda: refused(guest, function))


async def test_jobs_are_for_functions_that_may_be_called(
    free: RawWorker, guest: RawWorker, keeper: Gatekeeper, unique: str
) -> None:
    await serve(free, f"open::{unique}", f"closed::{unique}")
    await free.register(f"closed::{unique}")
    action = {"type": "enqueue", "queue": "default"}
    await forbidden(guest, f"closed::{unique}", 1, action=action)
    assert "messageReceiptId" in await guest.call(f"open::{unique}", 1, action=action)
    job = {"queue": "default", "data": 1}
    await forbidden(guest, "engine::queue::enqueue", {**job, "function_id": f"closed::{unique}"})
    accepted = await guest.call("engine::queue::enqueue", {**job, "function_id": f"open::{unique}"})
    assert "messageReceiptId" in accepted
    await silence(free, "invokefunction", function_id=f"closed::{unique}")


@pytest.mark.parametrize(
    "function",
    ["engine::register_trigger", "engine::unregister_trigger", "engine::functions::list", "iii::queue::purge"],
)
async def test_engine_functions_are_called_in_person(guest: RawWorker, unique: str, function: str) -> None:
    """From a queue, or for a trigger, they would not know whose rights count."""
    action = {"type": "enqueue", "queue": "default"}
    assert DIRECT in await forbidden(guest, function, {}, action=action)
    job = {"queue": "default", "data": {}, "function_id": function}
    assert DIRECT in await forbidden(guest, "engine::queue::enqueue", job)
    await guest.send(
        "registertrigger", id=unique, trigger_type="subscribe", function_id=function, config={"topic": "t"}
    )
    failed = await guest.expect("triggerregistrationresult", id=unique)
    assert failed["error"]["code"] == "FORBIDDEN"
    assert DIRECT in failed["error"]["message"]


async def test_redriving_is_for_those_who_are_named(guarded: Cluster, keeper: Gatekeeper, guest: RawWorker) -> None:
    """It calls functions again that others were allowed to call; the listener exposes `iii::*`."""
    assert "in full" in await forbidden(guest, "iii::queue::redrive", {"queue": "default"})
    keeper.rights["operator"] = {"allowed_functions": ["iii::queue::redrive"]}
    async with raw_worker(at(guarded.gateways[1], RULES, "operator")) as operator:
        assert (await operator.call("iii::queue::redrive", {"queue": "default"}))["queue"] == "default"


async def test_modules_functions_are_functions_like_any_other(guest: RawWorker, unique: str) -> None:
    assert await guest.call("state::get", {"scope": unique, "key": "k"}) is None
    await forbidden(guest, "state::set", {"scope": unique, "key": "k", "value": 1})
    await forbidden(guest, "publish", {"topic": unique, "data": 1})
    await forbidden(guest, "stream::list_all", {})


async def test_a_worker_answers_only_calls_that_it_was_given(
    free: RawWorker, guest: RawWorker, keeper: Gatekeeper, unique: str
) -> None:
    await free.register(f"open::{unique}::slow")
    await guest.register(f"open::{unique}::guest")
    await known(free, f"open::{unique}::slow", f"open::{unique}::guest")
    called = await keeper.worker.begin(f"open::{unique}::slow", 1)
    given = await free.expect("invokefunction", function_id=f"open::{unique}::slow")
    await guest.answer(given, "forged")
    await silence(keeper.worker, "invocationresult", invocation_id=called)
    await free.answer(given, "real")
    assert (await keeper.worker.result(called))["result"] == "real"
    called = await keeper.worker.begin(f"open::{unique}::guest", 1)
    await guest.answer(await guest.expect("invokefunction", function_id=f"open::{unique}::guest"), "its own")
    assert (await keeper.worker.result(called))["result"] == "its own"


async def test_a_namespace_that_is_not_granted_cannot_be_announced(guarded: Cluster, keeper: Gatekeeper) -> None:
    keeper.rights["one"] = {"namespaces": {"shop": []}}
    async with raw_worker(at(guarded.gateways[1], RULES, "one"), name=None) as one:
        for data in ({"name": "n", "namespace": "other"}, {"name": "n"}, {"name": "n", "namespace": None}):
            assert "namespace" in await forbidden(one, "engine::workers::register", data)
        assert await one.call("engine::workers::register", {"name": "n", "namespace": "shop"}) == {"success": True}


async def test_nothing_is_registered_outside_the_granted_namespaces(
    guarded: Cluster, keeper: Gatekeeper, free: RawWorker, unique: str
) -> None:
    """Functions that came before the announcement wait for it."""
    keeper.rights["one"] = {"namespaces": {"shop": [f"shop::{unique}"]}}
    function = f"shop::{unique}"
    async with raw_worker(at(guarded.gateways[1], RULES, "one"), name=None) as one:
        await one.register(function, echo)
        await forbidden(one, "engine::workers::register", {"name": "n"})
        await one.call("engine::workers::register", {"name": "n", "namespace": "shop"})
        await known(free, function, namespace="shop")
        rows = (await free.call("engine::functions::list", {}))["functions"]
        assert [row["namespace"] for row in rows if row["function_id"] == function] == ["shop"]
        assert await free.call(function, 5, namespace="shop") == 5


async def test_a_function_elsewhere_is_not_told_of(guarded: Cluster, guest: RawWorker, unique: str) -> None:
    """Whoever may call an id in one namespace does not learn in which others it is."""
    function = f"open::{unique}"
    async with raw_worker(guarded.gateways[0].url, namespace=f"{unique}-secret") as other:
        await other.register(function, echo)
        await known(other, function, namespace=f"{unique}-secret")
        frame = await guest.result(await guest.begin(function, 1))
        assert frame["error"]["code"] == "function_not_found"
        assert "secret" not in frame["error"]["message"]
