"""The module of the documentation, named in a configuration file, used by published clients."""

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from iii_cluster.config.errors import InvalidConfig
from iii_cluster.config.load import load
from tests.conformance.conftest import Launch
from tests.conformance.known import known, payload
from tests.support.cluster import Cluster
from tests.support.eventually import eventually
from tests.support.raw import CallFailed, raw_worker
from tests.support.sdk_worker import SdkError
from tests.support.sdks import NODE_22, PYTHON_25, ROOT, Generation

EXAMPLES = ROOT / "docs" / "examples"

MakeCluster = Callable[..., Cluster]


@pytest.fixture
def metered(make_cluster: MakeCluster) -> Cluster:
    """A cluster that runs the example."""
    path = os.pathsep.join(filter(None, [str(EXAMPLES), os.environ.get("PYTHONPATH", "")]))
    return make_cluster(options={"config": str(EXAMPLES / "meters" / "config.yaml")}, env={"PYTHONPATH": path})


@pytest.mark.parametrize("generation", [PYTHON_25, NODE_22], ids=str)
async def test_a_module_of_a_users_own_offers_functions_and_fires_triggers(
    metered: Cluster, launch: Launch, generation: Generation
) -> None:
    here, there = metered.gateways
    caller = await launch(generation, here.url)
    worker = await launch(generation, there.url)
    await worker.register("alarm", "record")
    trigger = {"type": "meters:passed", "function": "alarm", "config": {"meter": "water", "limit": 3}}
    await worker.ask("trigger", key="t", **trigger)
    await known(caller, "alarm")
    await _until_live(metered)

    assert await caller.call("meters::add", {"meter": "water"}) == {"total": 1}
    assert await worker.call("meters::add", {"meter": "water", "by": 3}) == {"total": 4}
    assert await caller.call("meters::read", {"meter": "water"}) == {"total": 4}
    event = await worker.event("called", function="alarm")
    assert payload(event["data"]) == {"meter": "water", "limit": 3, "total": 4}
    await caller.call("meters::add", {"meter": "water"})
    await eventually(lambda: not worker.events("called", function="alarm"))

    with pytest.raises(SdkError, match="deserialization_error"):
        await caller.call("meters::add", {"meter": "water", "by": -1})
    assert metered.valkey.execute("HGET", "{test}:readings", "water") == "5"


async def test_what_the_module_offers_is_listed_and_what_it_refuses_is_told(metered: Cluster) -> None:
    async with raw_worker(metered.gateways[0].url) as worker:
        functions = (await worker.call("engine::functions::list", {}))["functions"]
        assert {"meters::add", "meters::read"} <= {row["function_id"] for row in functions}
        await worker.send("registertrigger", id="t", trigger_type="meters:passed", function_id="f", config={"limit": 1})
        refused = await worker.expect("triggerregistrationresult", id="t")
        assert refused["error"]["code"] == "trigger_registration_failed"
        assert "needs a meter and a limit" in refused["error"]["message"]
        with pytest.raises(CallFailed, match="deserialization_error"):
            await worker.call("meters::read", {})


@pytest.mark.parametrize(
    ("config", "said"),
    [
        ("{name: 'meters.module:Meter'}", "has no Meter"),
        ("{name: 'metres.module:MeterModule'}", "there is no module metres"),
        ("{name: 'meters.adapters:RedisMeters'}", "is no module"),
        ("{name: 'meters.module:MeterModule', config: {adaptor: {}}}", "adaptor"),
        ("{name: 'meters.module:MeterModule', config: {adapter: {name: paper}}}", "unknown adapter `paper`"),
        ("{name: 'meters.module:MeterModule', config: {adapter: {name: redis, config: {url: x}}}}", "url"),
    ],
)
def test_a_module_that_cannot_be_used_stops_the_start_with_a_reason(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, config: str, said: str
) -> None:
    monkeypatch.syspath_prepend(str(EXAMPLES))
    file = tmp_path / "config.yaml"
    file.write_text(f"workers:\n  - {config}\n")
    with pytest.raises(InvalidConfig) as caught:
        load(file, {}, {})
    assert said in str(caught.value)


async def _until_live(cluster: Cluster) -> None:
    """A gateway that lists a trigger as live was told of it before."""

    async def listed_everywhere() -> bool:
        live = 0
        for gateway in cluster.gateways:
            async with raw_worker(gateway.url) as worker:
                rows = (await worker.call("engine::registered-triggers::list", {}))["registered_triggers"]
                live += any(row["trigger_type"] == "meters:passed" and row["state"] == "live" for row in rows)
        return live == len(cluster.gateways)

    await eventually(listed_everywhere)
