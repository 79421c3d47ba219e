"""Workers under rules that come back, and what a token is worth at another listener."""

from collections.abc import AsyncIterator

import pytest

from tests.support.access import HOOKS, RULES, Gatekeeper, at, forbidden, silence
from tests.support.cluster import Cluster
from tests.support.eventually import eventually
from tests.support.raw import RawWorker, echo, known, raw_worker


@pytest.fixture(params=[0, 1], ids=["same-gateway", "other-gateway"])
def place(request: pytest.FixtureRequest) -> int:
    """The gateway where a worker of the first one comes back."""
    number: int = request.param
    return number


@pytest.fixture
async def slow(guarded: Cluster, keeper: Gatekeeper, free: RawWorker, unique: str) -> AsyncIterator[RawWorker]:
    """Serves a function that answers when the test says."""
    async with raw_worker(guarded.gateways[1].url) as worker:
        await worker.register(f"open::{unique}")
        await known(free, f"open::{unique}")
        yield worker


async def reattach(worker: RawWorker, old: RawWorker) -> None:
    await worker.send("reattach", previous_worker_id=old.worker_id, reattach_token=old.token)
    await worker.flush()


async def test_answers_find_a_worker_that_is_back(guarded: Cluster, slow: RawWorker, unique: str, place: int) -> None:
    async with (
        raw_worker(at(guarded.gateways[0], RULES, "guest")) as old,
        raw_worker(at(guarded.gateways[place], RULES, "guest")) as new,
    ):
        call = await old.begin(f"open::{unique}", 1)
        given = await slow.expect("invokefunction")
        await old.abort()
        await reattach(new, old)
        await slow.answer(given, "late")
        assert (await new.result(call))["result"] == "late"


async def test_a_worker_that_is_back_answers_what_it_was_given_before(
    guarded: Cluster, keeper: Gatekeeper, free: RawWorker, unique: str, place: int
) -> None:
    function = f"open::{unique}"
    async with (
        raw_worker(at(guarded.gateways[0], RULES, "guest")) as old,
        raw_worker(at(guarded.gateways[place], RULES, "guest")) as new,
    ):
        await old.register(function)
        await known(free, function)
        call = await free.begin(function, 1)
        given = await old.expect("invokefunction")
        await old.abort()
        await new.answer(given, "too early")  # who it is has yet to be proved
        await reattach(new, old)
        await new.answer(given, "mine")
        assert (await free.result(call))["result"] == "mine"


@pytest.mark.parametrize(("first", "second"), [(0, RULES), (RULES, 0), (RULES, HOOKS), (HOOKS, RULES)])
async def test_a_token_of_another_listener_moves_nothing(
    guarded: Cluster, slow: RawWorker, unique: str, place: int, first: int, second: int
) -> None:
    """0 is the main port, without rules."""

    def url(gateway: int, listener: int) -> str:
        return at(guarded.gateways[gateway], listener, "guest") if listener else guarded.gateways[gateway].url

    async with raw_worker(url(0, first)) as old, raw_worker(url(place, second)) as new:
        call = await old.begin(f"open::{unique}", 1)
        given = await slow.expect("invokefunction")
        await reattach(new, old)
        await old.flush()  # it was not evicted
        await slow.answer(given, "secret")
        assert (await old.result(call))["result"] == "secret"
        await silence(new, "invocationresult")
        lost = await old.begin(f"open::{unique}", 2)
        given = await slow.expect("invokefunction")
        await old.abort()
        await reattach(new, old)
        await slow.answer(given, "secret")
        await silence(new, "invocationresult", invocation_id=lost)


async def test_whoever_comes_back_has_the_rights_of_its_new_connection(
    guarded: Cluster, keeper: Gatekeeper, free: RawWorker, unique: str, place: int
) -> None:
    await free.register(f"extra::{unique}", echo)
    await known(free, f"extra::{unique}")
    keeper.rights["rich"] = {"allowed_functions": [f"extra::{unique}"]}
    async with (
        raw_worker(at(guarded.gateways[0], RULES, "rich")) as old,
        raw_worker(at(guarded.gateways[place], RULES, "poor")) as new,
    ):
        assert await old.call(f"extra::{unique}", 1) == 1
        await old.abort()
        await reattach(new, old)
        await forbidden(new, f"extra::{unique}")


async def test_functions_with_a_prefix_are_back_with_their_worker(
    guarded: Cluster, keeper: Gatekeeper, free: RawWorker, unique: str, place: int
) -> None:
    keeper.rights["tenant"] = {"function_registration_prefix": f"open::{unique}"}
    async with (
        raw_worker(at(guarded.gateways[0], RULES, "tenant")) as old,
        raw_worker(at(guarded.gateways[place], RULES, "tenant")) as new,
    ):
        await old.register("f")
        await known(free, f"open::{unique}::f")
        await old.abort()
        call = await free.begin(f"open::{unique}::f", 1)
        await reattach(new, old)
        await new.register("f", lambda frame: frame["function_id"])
        assert (await free.result(call))["result"] == "f"
        await eventually(lambda: answers(free, f"open::{unique}::f"))


async def answers(worker: RawWorker, function: str) -> bool:
    return bool(await worker.call(function, 1) == "f")
