"""Functions over what is kept, on a real Valkey."""

import pytest

from iii_cluster.protocol.errors import EngineError
from tests.support.eventually import eventually
from tests.support.observability import call, staged
from tests.support.spans import log, span
from tests.support.valkey import ValkeyServer


async def test_what_one_process_tells_is_found_from_another(valkey: ValkeyServer) -> None:
    async with staged(valkey.url, collapse_spans=[{"name": "noise"}]) as stage:
        engine, _ = await stage.node()
        _, host = await stage.node()
        trace = "a" * 32
        for made in (
            span("1", trace=trace, name="call shop::buy", user="7"),
            span("2", "1", trace=trace, name="noise", iii__tag__kind="order"),
            span("3", "2", trace=trace, name="execute shop::buy", user="7", status="error"),
        ):
            engine.telemetry.spool.span(made)

        async def stored() -> bool:
            return bool((await call(host, "engine::traces::list", search_all_spans=True))["total"] == 3)

        await eventually(stored)
        listed = await call(host, "engine::traces::list", trace_ids=[trace, trace, "none"])
        assert [(row["span_id"], row["trace_tags"]) for row in listed["spans"]] == [("1", {"iii.tag.kind": "order"})]
        assert (listed["total"], listed["offset"], listed["limit"]) == (1, 0, 100)
        assert not {"kind", "resource"} & listed["spans"][0].keys()
        assert listed["storage"]["completeness"] == "complete"
        (whole,) = (await call(host, "engine::traces::summaries", status="error"))["traces"]
        assert (whole["trace_id"], whole["name"], whole["error_count"]) == (trace, "call shop::buy", 1)
        tree = await call(host, "engine::traces::tree", trace_id=trace)
        assert [child["span_id"] for child in tree["roots"][0]["children"]] == ["3"]
        assert (await call(host, "engine::traces::tree", trace_id="b" * 32))["roots"] == []
        (group,) = (await call(host, "engine::traces::group_by", attribute="user"))["groups"]
        assert (group["value"], group["span_count"], group["error_count"]) == ("7", 2, 1)
        health = await call(host, "engine::health::check")
        assert (health["status"], health["components"]["spans"]["details"]["stored_spans"]) == ("healthy", 3)
        assert await call(host, "engine::traces::clear") == {"success": True}
        assert (await call(host, "engine::traces::list"))["spans"] == []


async def test_logs_are_listed_and_cleared_from_anywhere(valkey: ValkeyServer) -> None:
    async with staged(valkey.url, logs_retention_seconds=10**9) as stage:
        engine, _ = await stage.node()
        _, host = await stage.node()
        for n in range(3):
            engine.telemetry.spool.log(log(str(n), time=10**12 + n))

        async def stored() -> bool:
            return bool((await call(host, "engine::logs::list"))["total"] == 3)

        await eventually(stored)
        listed = await call(host, "engine::logs::list", limit=2, end_time=2**64 - 1)
        assert ([each["body"] for each in listed["logs"]], listed["total"]) == (["2", "1"], 3)
        assert await call(host, "engine::logs::clear") == {"success": True}
        assert (await call(host, "engine::logs::list"))["logs"] == []


async def test_a_module_that_is_off_says_so_and_harms_nobody(valkey: ValkeyServer) -> None:
    async with staged(valkey.url, enabled=False) as stage:
        _, host = await stage.node()
        for function, data in (
            ("list", {}),
            ("tree", {"trace_id": "a"}),
            ("group_by", {"attribute": "a"}),
            ("clear", {}),
        ):
            with pytest.raises(EngineError) as refused:
                await call(host, f"engine::traces::{function}", **data)
            assert refused.value.code == "memory_exporter_not_enabled"
        assert (await call(host, "engine::logs::list"))["logs"] == []
        assert (await call(host, "engine::metrics::list"))["sdk_metrics"] == []
        components = (await call(host, "engine::health::check"))["components"]
        assert {each["status"] for each in components.values()} == {"disabled"}
        rules = await call(host, "engine::sampling::rules")
        assert rules["traces"] == {"default_ratio": 1.0, "rules": [], "parent_based": True}
