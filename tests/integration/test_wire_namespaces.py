"""Namespaces: announced by a connection, named by calls and triggers."""

from collections.abc import AsyncIterator
from dataclasses import dataclass

import pytest

from tests.support.cluster import Cluster
from tests.support.eventually import eventually
from tests.support.raw import CallFailed, Frame, RawWorker, echo, known, raw_worker


@dataclass
class Shop:
    """A worker in a namespace of its own, and one in `default` on the other gateway."""

    name: str
    inside: RawWorker
    outside: RawWorker


@pytest.fixture
async def shop(shared_cluster: Cluster, unique: str) -> AsyncIterator[Shop]:
    name = f"shop-{unique}"
    first, second = shared_cluster.gateways
    async with raw_worker(first.url, namespace=name) as inside, raw_worker(second.url) as outside:
        yield Shop(name, inside, outside)


async def test_a_function_is_found_in_its_namespace_only(shop: Shop, unique: str) -> None:
    await shop.inside.register(unique, echo)
    await known(shop.outside, unique, namespace=shop.name)

    assert (await shop.outside.call(unique, {"n": 1}, namespace=shop.name))["n"] == 1
    with pytest.raises(CallFailed) as raised:
        await shop.outside.call(unique)

    assert raised.value.code == "function_not_found"
    assert raised.value.message == (
        f"Function {unique} not found in namespace default. It is registered in namespace(s): {shop.name}."
    )


async def test_the_namespace_of_the_caller_plays_no_part(shop: Shop, unique: str) -> None:
    await shop.inside.register(unique)
    await known(shop.outside, unique, namespace=shop.name)
    with pytest.raises(CallFailed, match="not found in namespace default"):
        await shop.inside.call(unique)


async def test_one_id_may_be_served_in_several_namespaces(shop: Shop, unique: str) -> None:
    await shop.inside.register(unique, lambda _: "inside")
    await shop.outside.register(unique, lambda _: "outside")
    await known(shop.outside, unique, namespace=shop.name)
    await known(shop.inside, unique)
    for worker in (shop.inside, shop.outside):
        assert await worker.call(unique, namespace=shop.name) == "inside"
        assert await worker.call(unique, namespace="default") == "outside"
        assert await worker.call(unique, namespace=None) == "outside"


async def test_announcing_a_namespace_moves_what_was_registered_before(shared_cluster: Cluster, unique: str) -> None:
    first, second = shared_cluster.gateways
    async with raw_worker(first.url, name=None) as late, raw_worker(second.url) as caller:
        await late.register(unique, echo)
        await known(caller, unique)
        assert await caller.call(unique, 1) == 1

        await late.announce("late", namespace=f"ns-{unique}")

        async def moved() -> bool:
            with pytest.raises(CallFailed, match="not found in namespace default"):
                await caller.call(unique, 1)
            return bool(await caller.call(unique, 1, namespace=f"ns-{unique}") == 1)

        await known(caller, unique, namespace=f"ns-{unique}")
        await eventually(moved)


async def test_a_second_announcement_does_not_move_a_worker(shop: Shop, unique: str) -> None:
    await shop.inside.announce("again", namespace=f"other-{unique}")
    await shop.inside.register(unique, echo)
    await known(shop.outside, unique, namespace=shop.name)
    with pytest.raises(CallFailed, match="not found in namespace other"):
        await shop.outside.call(unique, namespace=f"other-{unique}")


@pytest.mark.parametrize("namespace", ["", "  ", "\t"])
async def test_a_blank_namespace_is_refused(shop: Shop, unique: str, namespace: str) -> None:
    await shop.outside.register(unique)
    call = await shop.outside.begin(unique, {}, namespace=namespace)
    assert (await shop.outside.result(call))["error"]["code"] == "INVALID_NAMESPACE"
    await shop.outside.send("invokefunction", function_id=unique, data={}, namespace=namespace)
    await shop.outside.flush()
    assert shop.outside.frames == []


async def test_a_blank_namespace_in_an_announcement_is_refused(shared_cluster: Cluster, unique: str) -> None:
    async with raw_worker(shared_cluster.gateways[0].url, name=None) as worker:
        with pytest.raises(CallFailed) as raised:
            await worker.call("engine::workers::register", {"name": unique, "namespace": " "})
        assert raised.value.code == "INVALID_NAMESPACE"


async def test_an_announcement_that_asks_for_an_answer_gets_one(shared_cluster: Cluster, unique: str) -> None:
    async with raw_worker(shared_cluster.gateways[0].url, name=None) as worker:
        assert await worker.call("engine::workers::register", {"name": unique, "runtime": "python"}) == {
            "success": True
        }


@pytest.mark.parametrize("member", ["namespace", "trigger_namespace"])
async def test_a_trigger_with_a_blank_namespace_is_refused(shop: Shop, unique: str, member: str) -> None:
    await shop.inside.send(
        "registertrigger", id=unique, trigger_type=unique, function_id=unique, config={}, **{member: " "}
    )
    failed = await shop.inside.expect("triggerregistrationresult", id=unique)
    assert failed["error"]["code"] == "INVALID_NAMESPACE"
    assert (failed["trigger_type"], failed["function_id"]) == (unique, unique)


async def test_a_trigger_tells_its_provider_the_namespaces_that_are_not_default(shop: Shop, unique: str) -> None:
    await shop.inside.send("registertriggertype", id=unique, description="x")
    ids = {"trigger_type": unique, "function_id": "f", "config": {"a": 1}}
    await shop.outside.send(
        "registertrigger", id=f"{unique}-1", namespace=shop.name, trigger_namespace=shop.name, metadata={"m": 1}, **ids
    )
    assert await shop.inside.expect("registertrigger") == {
        "type": "registertrigger",
        "id": f"{unique}-1",
        **ids,
        "metadata": {"m": 1},
        "namespace": shop.name,
        "trigger_namespace": shop.name,
    }


async def test_a_trigger_prefers_the_provider_of_its_own_namespace(shop: Shop, unique: str) -> None:
    trigger: Frame = {"id": f"{unique}-1", "trigger_type": unique, "function_id": "f", "config": None}
    await shop.outside.send("registertriggertype", id=unique, description="in default")
    await shop.inside.send("registertrigger", **trigger)
    await shop.outside.expect("registertrigger", id=trigger["id"])

    await shop.inside.send("registertriggertype", id=unique, description="at home")

    await shop.outside.expect("unregistertrigger", id=trigger["id"], trigger_type=unique)
    await shop.inside.expect("registertrigger", id=trigger["id"])

    await shop.inside.send("unregistertriggertype", id=unique, namespace=shop.name)
    await shop.outside.expect("registertrigger", id=trigger["id"])


async def test_a_named_provider_namespace_has_no_fallback(shop: Shop, unique: str) -> None:
    await shop.outside.send("registertriggertype", id=unique, description="in default")
    ids = {"trigger_type": unique, "function_id": "f", "config": None}
    await shop.outside.send("registertrigger", id=f"{unique}-1", trigger_namespace=shop.name, **ids)
    await shop.outside.send("registertrigger", id=f"{unique}-2", **ids)
    # The second one comes after the first: had the first been bound here, it would have come before.
    await shop.outside.expect("registertrigger", id=f"{unique}-2")
    await shop.outside.nothing("registertrigger", id=f"{unique}-1")

    await shop.inside.send("registertriggertype", id=unique, description="the one named")
    await shop.inside.expect("registertrigger", id=f"{unique}-1")
