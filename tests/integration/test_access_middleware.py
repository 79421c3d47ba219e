"""Calls through the middleware of a listener."""

from collections.abc import AsyncIterator
from typing import Any

import pytest

from tests.support.access import BOTH, MIDDLEWARE, Gatekeeper, at, forbidden
from tests.support.cluster import Cluster
from tests.support.raw import CallFailed, Frame, RawWorker, echo, known, raw_worker


@pytest.fixture(params=[0, 1], ids=["same-gateway", "other-gateway"])
async def guest(request: pytest.FixtureRequest, guarded: Cluster, keeper: Gatekeeper) -> AsyncIterator[RawWorker]:
    """A worker at a listener with nothing but a middleware."""
    async with raw_worker(at(guarded.gateways[request.param], MIDDLEWARE), name="guest") as worker:
        yield worker


async def test_the_middleware_is_called_instead_and_its_result_counts(
    keeper: Gatekeeper, free: RawWorker, guest: RawWorker, unique: str
) -> None:
    keeper.hooks["gate::all"] = lambda asked: {"saw": asked}
    await keeper.serve("gate::all")
    await free.register(f"f::{unique}")
    await known(free, f"f::{unique}")
    answer = await guest.call(f"f::{unique}", {"a": 1}, namespace="shop", metadata={"m": 1})
    assert answer == {
        "saw": {"function_id": f"f::{unique}", "payload": {"a": 1}, "action": None, "context": {}, "namespace": "shop"}
    }
    await free.nothing("invokefunction")


async def test_its_error_is_the_callers(keeper: Gatekeeper, guest: RawWorker) -> None:
    error = {"code": "RATE_LIMITED", "message": "slow down", "stacktrace": "s"}
    keeper.hooks["gate::all"] = CallFailed(error)
    await keeper.serve("gate::all")
    assert (await guest.result(await guest.begin("f::any", 1)))["error"] == error


async def test_without_it_nothing_goes_through(
    guarded: Cluster, keeper: Gatekeeper, free: RawWorker, guest: RawWorker, unique: str
) -> None:
    await free.register(f"f::{unique}", echo)
    await known(free, f"f::{unique}")
    frame = await guest.result(await guest.begin(f"f::{unique}", 1))
    assert frame["error"]["code"] == "function_not_found"
    async with raw_worker(guarded.gateways[1].url) as brief:
        await brief.register("gate::all")
        await known(brief, "gate::all")
        call = await guest.begin(f"f::{unique}", 1)
        await brief.expect("invokefunction", function_id="gate::all")
    assert (await guest.result(call))["error"]["code"] == "invocation_stopped"


@pytest.mark.parametrize("action", [{"type": "void"}, {"type": "enqueue", "queue": "no-such-queue"}])
async def test_it_sees_the_action_and_nothing_else_is_done_about_it(
    keeper: Gatekeeper, guest: RawWorker, action: Any, unique: str
) -> None:
    keeper.hooks["gate::all"] = {"mine": True}
    await keeper.serve("gate::all")
    call = await guest.begin(f"f::{unique}", 1, action=action)
    if action["type"] == "enqueue":
        assert (await guest.result(call))["result"] == {"mine": True}
    await guest.call("engine::workers::list", {})
    await guest.nothing("invocationresult")
    await guest.call(f"f::{unique}", 2)
    assert [asked["action"] for asked in keeper.asked["gate::all"]] == [action, None]


async def test_the_engines_own_functions_go_straight_whatever_else_is_called_so(
    keeper: Gatekeeper, free: RawWorker, guest: RawWorker, unique: str
) -> None:
    keeper.hooks["gate::all"] = "seen"
    await keeper.serve("gate::all")
    assert "workers" in await guest.call("engine::workers::list", {})
    for function in (f"engine::{unique}", "engine::queue::enqueue", "state::get"):
        assert await guest.call(function, {}) == "seen"
    assert await guest.call("engine::workers::list", {}, namespace="shop") == "seen"


async def test_what_may_not_be_called_does_not_reach_it(guarded: Cluster, keeper: Gatekeeper, unique: str) -> None:
    await keeper.serve("gate::all")
    async with raw_worker(at(guarded.gateways[1], BOTH)) as guest:
        await forbidden(guest, f"closed::{unique}")
        assert "gate::all" not in keeper.asked
        assert await guest.call(f"open::{unique}", 1) == {}
        assert len(keeper.asked["gate::all"]) == 1


async def test_its_own_worker_may_be_at_the_same_listener(
    guarded: Cluster, keeper: Gatekeeper, free: RawWorker, unique: str
) -> None:
    """What it calls goes straight, or no call would ever end."""
    await free.register(f"f::{unique}", echo)
    await known(free, f"f::{unique}")
    async with (
        raw_worker(at(guarded.gateways[1], MIDDLEWARE), name="middleware") as middleware,
        raw_worker(at(guarded.gateways[0], MIDDLEWARE), name="guest") as guest,
    ):
        await middleware.register("gate::all")
        await known(free, "gate::all")
        call = await guest.begin(f"f::{unique}", 1)
        asked: Frame = await middleware.expect("invokefunction", function_id="gate::all")
        passed = await middleware.call(asked["data"]["function_id"], asked["data"]["payload"])
        await middleware.answer(asked, {"passed": passed})
        assert (await guest.result(call))["result"] == {"passed": 1}
