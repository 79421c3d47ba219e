"""Custom trigger types: providers and owners of triggers on published clients, on different gateways."""

import pytest

from tests.conformance.conftest import Fleet, Launch
from tests.conformance.known import known, payload
from tests.support.cluster import Cluster
from tests.support.eventually import eventually
from tests.support.sdks import GENERATIONS, NODE_9, NODE_22, PYTHON_9, PYTHON_23, PYTHON_25, Generation

# Each generation provides once and owns once; Python meets Node.
PAIRS = [
    (PYTHON_25, NODE_22),
    (PYTHON_23, NODE_9),
    (PYTHON_9, NODE_22),
    (NODE_22, PYTHON_25),
    (NODE_9, PYTHON_9),
    (NODE_22, PYTHON_23),
]


@pytest.mark.parametrize(("provides", "owns"), PAIRS, ids=str)
async def test_a_trigger_reaches_the_provider_on_another_gateway_and_fires(
    fleet: Fleet, unique: str, provides: Generation, owns: Generation
) -> None:
    provider = await fleet.worker(provides, 0)
    owner = await fleet.worker(owns, 1)
    await owner.register(f"{unique}::target", "record")
    await provider.ask("provide", type=unique)
    await owner.ask("trigger", key=unique, type=unique, function=f"{unique}::target", config={"path": "/a", "n": [1]})

    trigger = await provider.event("trigger_registered", type=unique)
    assert trigger["function_id"] == f"{unique}::target"
    assert trigger["config"] == {"path": "/a", "n": [1]}

    await known(provider, f"{unique}::target")
    await provider.ask("fire", type=unique, trigger=trigger["id"], data={"n": 1})
    event = await owner.event("called", function=f"{unique}::target")
    assert payload(event["data"]) == {"n": 1}


@pytest.mark.parametrize("provides", [g for g in GENERATIONS if g.told_of_removed_triggers], ids=str)
@pytest.mark.parametrize("owns", GENERATIONS, ids=str)
async def test_the_provider_is_told_of_a_removed_trigger(
    fleet: Fleet, unique: str, provides: Generation, owns: Generation
) -> None:
    provider = await fleet.worker(provides, 0)
    owner = await fleet.worker(owns, 1)
    await provider.ask("provide", type=unique)
    await owner.ask("trigger", key=unique, type=unique, function=f"{unique}::target", config={})
    trigger = await provider.event("trigger_registered", type=unique)

    await owner.ask("untrigger", key=unique)

    await provider.event("trigger_unregistered", type=unique, id=trigger["id"])


@pytest.mark.parametrize(("provides", "owns"), PAIRS, ids=str)
async def test_a_parked_trigger_is_activated_by_a_late_provider(
    fleet: Fleet, unique: str, provides: Generation, owns: Generation
) -> None:
    provider = await fleet.worker(provides, 0)
    owner = await fleet.worker(owns, 1)
    # The owner's call below is answered after its trigger was read: the trigger is first.
    await owner.ask("trigger", key=unique, type=unique, function=f"{unique}::target", config={"late": True})
    await owner.ask("functions")

    await provider.ask("provide", type=unique)

    trigger = await provider.event("trigger_registered", type=unique)
    assert trigger["config"] == {"late": True}


@pytest.mark.parametrize("provides", GENERATIONS, ids=str)
async def test_a_provider_that_returns_gets_its_triggers_again(
    fleet: Fleet, launch: Launch, shared_cluster: Cluster, unique: str, provides: Generation
) -> None:
    owner = await fleet.worker(PYTHON_25, 1)
    first = await launch(provides, shared_cluster.gateways[0].url)
    await first.ask("provide", type=unique)
    await owner.ask("trigger", key=unique, type=unique, function=f"{unique}::target", config={"n": 1})
    trigger = await first.event("trigger_registered", type=unique)

    await first.shutdown()
    second = await launch(provides, shared_cluster.gateways[1].url)
    await second.ask("provide", type=unique)

    again = await second.event("trigger_registered", type=unique)
    assert (again["id"], again["config"]) == (trigger["id"], {"n": 1})


@pytest.mark.parametrize("owns", GENERATIONS, ids=str)
async def test_the_triggers_of_a_worker_go_when_it_goes(
    fleet: Fleet, launch: Launch, shared_cluster: Cluster, unique: str, owns: Generation
) -> None:
    provider = await fleet.worker(NODE_22, 0)
    await provider.ask("provide", type=unique)
    owner = await launch(owns, shared_cluster.gateways[1].url)
    await owner.ask("trigger", key=unique, type=unique, function=f"{unique}::target", config={})
    trigger = await provider.event("trigger_registered", type=unique)

    owner.kill()

    await provider.event("trigger_unregistered", type=unique, id=trigger["id"])


@pytest.mark.parametrize(("provides", "owns"), [(PYTHON_25, NODE_22), (NODE_22, PYTHON_23)], ids=str)
async def test_metadata_of_a_trigger_reaches_the_target(
    fleet: Fleet, unique: str, provides: Generation, owns: Generation
) -> None:
    provider = await fleet.worker(provides, 0)
    owner = await fleet.worker(owns, 1)
    await owner.register(f"{unique}::target", "record")
    await provider.ask("provide", type=unique)
    trigger = {"type": unique, "function": f"{unique}::target", "config": {}, "metadata": {"tenant": "a"}}
    await owner.ask("trigger", key=unique, **trigger)
    registered = await provider.event("trigger_registered", type=unique)
    assert registered["metadata"] == {"tenant": "a"}

    await known(provider, f"{unique}::target")
    await provider.ask("fire", type=unique, trigger=registered["id"], data={})

    event = await owner.event("called", function=f"{unique}::target")
    assert event["data"]["metadata"] == {"tenant": "a"}


@pytest.mark.parametrize("provides", GENERATIONS, ids=str)
async def test_a_withdrawn_trigger_type_gets_no_more_triggers(fleet: Fleet, unique: str, provides: Generation) -> None:
    provider = await fleet.worker(provides, 0)
    owner = await fleet.worker(PYTHON_25, 1)
    successor = await fleet.worker(NODE_22, 1) if provides != NODE_22 else await fleet.worker(PYTHON_23, 1)
    await provider.ask("provide", type=unique)
    await owner.ask("trigger", key=f"{unique}-1", type=unique, function=f"{unique}::target", config={"n": 1})
    first = await provider.event("trigger_registered", type=unique)

    await provider.ask("unprovide", type=unique)
    await provider.ask("functions")
    await owner.ask("trigger", key=f"{unique}-2", type=unique, function=f"{unique}::target", config={"n": 2})
    await successor.ask("provide", type=unique)

    offered = [await successor.event("trigger_registered", type=unique) for _ in range(2)]
    assert sorted(trigger["config"]["n"] for trigger in offered) == [1, 2]
    assert first["id"] in {trigger["id"] for trigger in offered}
    await eventually(lambda: not provider.events("trigger_registered", type=unique))
