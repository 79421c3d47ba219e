"""What one shard does for the whole cluster: triggers, live streams, alerts and rollups, on a real Valkey."""

import asyncio
import logging
import time
from contextlib import AsyncExitStack
from functools import partial
from typing import Any
from unittest.mock import patch

import pytest
from aiohttp import web
from redis.asyncio import Redis

from iii_cluster.bus.envelopes import Trigger
from iii_cluster.cluster.map import Role
from iii_cluster.modules.observability import counting, devtools, follower, lanes, service
from iii_cluster.modules.observability.lanes import context_of
from iii_cluster.modules.observability.roller import Roller
from iii_cluster.modules.observability.sources import Sources
from iii_cluster.modules.observability.webhooks import Webhooks
from iii_cluster.modules.stream import names
from iii_cluster.node.log_spooling import LogSpooling
from iii_cluster.outgoing.security import Security
from iii_cluster.protocol.errors import EngineError
from tests.support.eventually import eventually
from tests.support.observability import call, staged
from tests.support.spans import log, metric, span
from tests.support.valkey import ValkeyServer


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Looks are frequent, rounds do not happen by themselves."""
    monkeypatch.setattr(follower, "POLL", 0.02)
    monkeypatch.setattr(follower, "RETRY", 0.02)
    monkeypatch.setattr(devtools, "LOOK", 0.0)
    monkeypatch.setattr(service, "ROUND", 3600.0)


def trigger(id: str, type: str, function: str, config: bytes = b"{}", metadata: bytes = b"") -> Trigger:
    return Trigger(id, type, function, config, metadata=metadata)


async def followed(valkey: ValkeyServer, kind: str) -> str:
    """Returns when the owner knows from where it is to pass things on."""
    return str(await eventually(lambda: valkey.execute("HGET", "{iii}:otel:tail", kind)))


async def test_log_triggers_hear_of_their_level_once_whoever_wrote_it(valkey: ValkeyServer) -> None:
    async with staged(valkey.url) as stage:
        await stage.node()
        await stage.node(owner=False)
        gateway, host = await stage.node(Role.GATEWAY)
        warned, everything = stage.heard("on::warn"), stage.heard("on::all")
        stage.cluster.put(
            trigger("t1", "log", "on::warn", b'{"level":"warn"}', b'{"for":"me"}'),
            trigger("t2", "log", "on::all"),
        )
        await followed(valkey, "logs")
        for level in ("trace", "debug", "info", "warn", "error"):
            assert await call(host, f"engine::log::{level}", message=level) is None
        gateway.telemetry.spool.log(log("worker's own", time=1, severity=14))
        await eventually(lambda: len(everything) >= 6)
        assert sorted(each["body"] for each in everything) == sorted(
            ["trace", "debug", "info", "warn", "error", "worker's own"]
        )
        assert sorted(each["body"] for each in warned) == ["warn", "worker's own"]
        delivered = next(each for each in stage.cluster.calls if each.function == "on::warn")
        assert delivered.metadata == b'{"for":"me"}'
        assert delivered.traceparent.endswith(b'-00"')


async def test_a_handler_is_not_called_for_what_it_writes_itself(valkey: ValkeyServer) -> None:
    async with staged(valkey.url) as stage:
        shard, _ = await stage.node()
        own, others = stage.heard("on::own"), stage.heard("on::others")
        stage.cluster.put(trigger("t1", "log", "on::own"), trigger("t2", "log", "on::others"))
        await followed(valkey, "logs")
        trace_id = context_of("t1").decode().split("-")[1]
        shard.telemetry.spool.log(log("by t1's handler", time=1, trace=trace_id))
        shard.telemetry.spool.log(log("last", time=2))
        await eventually(lambda: [each["body"] for each in own] == ["last"])
        await eventually(lambda: [each["body"] for each in others] == ["by t1's handler", "last"])


async def test_a_handler_that_fails_is_not_called_for_the_line_that_says_so(
    valkey: ValkeyServer, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, lanes.log.name)
    monkeypatch.setattr(lanes, "LOG_INTERVAL", 0.0)
    async with staged(valkey.url) as stage, AsyncExitStack() as closes:
        engine, host = await stage.node()
        closes.callback(LogSpooling(engine.telemetry).close)
        heard: dict[str, list[str]] = {"bad::one": [], "bad::two": []}

        def fail(function: str, record: Any) -> None:
            heard[function].append(record["body"])
            raise EngineError("broken", "no good")

        for n, function in enumerate(heard):
            stage.cluster.register(function, partial(fail, function))
            stage.cluster.put(trigger(f"t{n}", "log", function))
        await followed(valkey, "logs")

        async def told() -> Any:
            return [row for row in (await call(host, "engine::logs::list"))["logs"] if "trigger_behind" in row["body"]]

        for body in ("first", "second", "third"):
            await call(host, "engine::log::info", message=body)
            await eventually(lambda body=body: all(body in bodies for bodies in heard.values()))  # type: ignore[misc]
            lines = await eventually(told)
        assert {line["attributes"]["why"] for line in lines} == {"broken"}
        assert heard == {function: ["first", "second", "third"] for function in heard}


async def test_the_next_owner_goes_on_where_the_last_one_was_done(valkey: ValkeyServer) -> None:
    async with staged(valkey.url) as stage:
        first, _ = await stage.node()
        second, _ = await stage.node(owner=False)
        heard: list[str] = []
        held = asyncio.Event()

        async def handler(record: Any) -> None:
            heard.append(record["body"])
            if record["body"] == "held":
                await held.wait()

        stage.cluster.register("on::log", handler)
        stage.cluster.put(trigger("t", "log", "on::log"))
        place = await followed(valkey, "logs")
        first.telemetry.spool.log(log("done", time=1))
        await eventually(lambda: valkey.execute("HGET", "{iii}:otel:tail", "logs") not in (place, ""))
        first.telemetry.spool.log(log("held", time=2))
        await eventually(lambda: heard == ["done", "held"])
        first.ownership.take_away()
        first.telemetry.spool.log(log("between", time=3))
        second.ownership.give(range(1024), token=2)
        # What had not ended comes once more, what had does not.
        await eventually(lambda: heard == ["done", "held", "held", "between"])
        held.set()
        first.telemetry.spool.log(log("after", time=4))
        await eventually(lambda: heard[-1] == "after")
        assert len(heard) == 5


async def test_nothing_is_passed_on_when_logs_are_off(valkey: ValkeyServer) -> None:
    async with staged(valkey.url, logs_enabled=False) as stage:
        _, host = await stage.node()
        await call(host, "engine::log::error", message="lost")
        listed = await call(host, "engine::logs::list")
        assert (listed["logs"], listed["total"]) == ([], 0)
        assert not valkey.execute("EXISTS", "{iii}:otel:tail") or not valkey.execute("HGET", "{iii}:otel:tail", "logs")


async def test_no_log_is_kept_at_a_ratio_of_zero(valkey: ValkeyServer) -> None:
    async with staged(valkey.url, logs_sampling_ratio=0) as stage:
        engine, host = await stage.node()
        await call(host, "engine::log::error", message="lost")
        assert engine.telemetry.spool.take().logs == []


async def test_trace_triggers_hear_of_traces_together_and_not_of_the_engines_own(valkey: ValkeyServer) -> None:
    async with staged(valkey.url) as stage:
        shard, _ = await stage.node()
        failed, everything = stage.heard("on::failed"), stage.heard("on::all")
        stage.cluster.put(
            trigger("t1", "trace", "on::failed", b'{"status":"ERROR","service_name":"Shop"}'),
            trigger("t2", "trace", "on::all"),
        )
        await followed(valkey, "spans")
        own = context_of("t2").decode().split("-")[1]
        for made in (
            span("1", trace="a" * 32, service="shop"),
            span("2", trace="b" * 32, service="shop", status="error"),
            span("3", "2", trace="b" * 32, service="shop", status="error"),
            span("4", trace="c" * 32, service="other", status="error"),
            span("5", trace="d" * 32, iii__function__kind="internal"),
            span("6", trace=own),
        ):
            shard.telemetry.spool.span(made)
        await eventually(lambda: failed and everything)
        assert failed == [{"trace_ids": ["b" * 32]}]
        assert {trace for each in everything for trace in each["trace_ids"]} == {"a" * 32, "b" * 32, "c" * 32}


async def test_live_streams_are_sent_to_who_follows_them(valkey: ValkeyServer) -> None:
    async with staged(valkey.url) as stage:
        shard, _ = await stage.node()
        sent = stage.heard("stream::send")
        client = Redis.from_url(valkey.url)
        async with client, client.pubsub() as pubsub:
            await pubsub.subscribe(names.channel("{iii}", devtools.ROWS, "all"))
            await pubsub.subscribe(names.channel("{iii}", devtools.ONE_TRACE, "a" * 32))
            await followed(valkey, "spans")
            for made in (span("1", trace="a" * 32), span("2", "1", trace="a" * 32), span("3", "x", trace="b" * 32)):
                shard.telemetry.spool.span(made)
            await eventually(lambda: sum(len(each["data"]["spans"]) for each in sent) >= 3)
            rows = [
                s["span_id"] for each in sent if each["stream_name"] == devtools.ROWS for s in each["data"]["spans"]
            ]
            one = [each for each in sent if each["stream_name"] == devtools.ONE_TRACE]
            assert rows == ["1"]
            assert {(each["group_id"], each["type"]) for each in one} == {("a" * 32, "spans")}
            assert [s["span_id"] for each in one for s in each["data"]["spans"]] == ["1", "2"]


# -- alerts

CALLS = {"name": "calls", "metric": "iii.invocations.total", "threshold": 0}


async def test_an_alert_is_told_once_per_cooldown_whoever_looks(valkey: ValkeyServer) -> None:
    action = {"type": "function", "path": "on::alert"}
    async with staged(
        valkey.url, alerts=[{**CALLS, "action": action}, {"name": "m", "metric": "m", "threshold": 1}]
    ) as stage:
        shard, first = await stage.node()
        _, second = await stage.node(Role.GATEWAY)
        told = stage.heard("on::alert")
        before = await call(first, "engine::alerts::list")
        assert [each["last_evaluated"] for each in before["alerts"]] == [None, None]
        assert (await call(first, "engine::alerts::evaluate"))["triggered_alerts"] == []
        shard.telemetry.metrics.functions.ended("shop::buy", 0.01, b"")
        answers = [await call(host, "engine::alerts::evaluate") for host in (first, second, first)]
        assert [len(each["triggered_alerts"]) for each in answers] == [1, 0, 0]
        (message,) = await eventually(lambda: told)
        assert message.pop("timestamp") > 0
        assert message == {
            "alert": "calls",
            "metric": "iii.invocations.total",
            "value": 1.0,
            "threshold": 0.0,
            "operator": "GreaterThan",
            "firing": True,
        }
        listed = await call(second, "engine::alerts::list")
        assert listed["firing_count"] == 1
        shown = [
            (each["name"], each["firing"], each["current_value"], each["metric_seen"]) for each in listed["alerts"]
        ]
        assert shown == [("calls", True, 1.0, True), ("m", False, None, False)]


async def test_an_alert_on_what_the_engine_counts_ends_with_its_window(valkey: ValkeyServer) -> None:
    action = {"type": "function", "path": "on::alert"}
    rule = {"name": "e", "metric": "iii.invocations.error", "threshold": 0, "window_seconds": 1, "action": action}
    async with staged(valkey.url, alerts=[{**rule, "cooldown_seconds": 0}]) as stage:
        first, host = await stage.node()
        _, other = await stage.node(Role.GATEWAY)
        first.telemetry.metrics.functions.ended("shop::buy", 0.01, b"early")
        await call(host, "engine::alerts::evaluate")
        first.telemetry.metrics.functions.ended("shop::buy", 0.01, b"late")
        due = [len((await call(at, "engine::alerts::evaluate"))["triggered_alerts"]) for at in (host, other)]
        assert due == [1, 1]

        async def over() -> bool:
            await call(other, "engine::alerts::evaluate")
            (alert,) = (await call(host, "engine::alerts::list"))["alerts"]
            return (alert["firing"], alert["current_value"]) == (False, 0.0)

        with patch.object(counting, "SLACK", 0):
            await eventually(over)


async def test_processes_that_look_at_once_count_everything_once(valkey: ValkeyServer) -> None:
    async with staged(valkey.url, alerts=[CALLS]) as stage:
        first, host = await stage.node()
        hosts = [host, *[(await stage.node(Role.GATEWAY))[1] for _ in range(3)]]
        await call(host, "engine::alerts::evaluate")
        for calls in range(1, 6):
            first.telemetry.metrics.functions.ended("shop::buy", 0.01, b"")
            await asyncio.gather(*(call(each, "engine::alerts::evaluate") for each in hosts))
            (alert,) = (await call(host, "engine::alerts::list"))["alerts"]
            assert alert["current_value"] == calls


async def test_an_action_that_fails_is_listed_until_it_succeeds(valkey: ValkeyServer) -> None:
    hook = {"type": "webhook", "url": "http://example.com/s3cr3t"}
    rules = [{**CALLS, "cooldown_seconds": 0, "action": {"type": "function", "path": "on::alert"}}]
    rules.append({**CALLS, "name": "hook", "action": hook})
    async with staged(valkey.url, alerts=rules) as stage:
        shard, host = await stage.node()
        await call(host, "engine::alerts::evaluate")
        shard.telemetry.metrics.functions.ended("shop::buy", 0.01, b"")

        async def errors() -> list[str | None]:
            await call(host, "engine::alerts::evaluate")
            listed = await call(host, "engine::alerts::list")
            assert "s3cr3t" not in str(listed)
            return [each["last_error"] for each in listed["alerts"]]

        async def failed() -> bool:
            function, webhook = await errors()
            return function == "on::alert: function_not_found" and "HTTPS is required" in (webhook or "")

        await eventually(failed)
        stage.heard("on::alert")

        async def succeeded() -> bool:
            return (await errors())[0] is None

        await eventually(succeeded)


async def test_without_rules_there_are_no_alerts(valkey: ValkeyServer) -> None:
    async with staged(valkey.url, alerts=[{**CALLS, "enabled": False}]) as stage:
        _, host = await stage.node()
        listed, evaluated = await call(host, "engine::alerts::list"), await call(host, "engine::alerts::evaluate")
        assert (listed["alerts"], listed["firing_count"], evaluated["evaluated"]) == ([], 0, False)
        assert listed["message"] == evaluated["message"]


async def test_a_webhook_is_tried_again_and_only_where_it_may_go() -> None:
    seen: list[bytes] = []

    async def answer(request: web.Request) -> web.Response:
        seen.append(await request.read())
        return web.Response(status=200 if len(seen) == 3 else 500)

    app = web.Application()
    app.router.add_post("/hook", answer)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    url = f"http://127.0.0.1:{runner.addresses[0][1]}/hook"
    open_, closed = (
        Webhooks(Security(block_private_ips=False, require_https=False), (0, 0)),
        Webhooks(Security(), (0, 0)),
    )
    try:
        assert await open_.tell("a", url, b"{}") == ""
        assert seen == [b"{}"] * 3
        assert "`security.require_https: false`" in await closed.tell("a", url, b"{}")
        assert "Private IP" in await closed.tell("a", "https://127.0.0.1:1/", b"{}")
        assert "Private IP" in await closed.tell("a", "https://169.254.169.254/latest/meta-data", b"{}")
        assert len(seen) == 3
    finally:
        await open_.close()
        await closed.close()
        await runner.cleanup()


# -- rollups


async def test_rollups_of_all_levels_are_made_and_old_ones_forgotten(valkey: ValkeyServer) -> None:
    async with staged(valkey.url, metrics_retention_seconds=10**6) as stage:
        shard, host = await stage.node()
        sources = Sources()
        sources.begin(shard)
        store = shard.telemetry.store
        assert store is not None
        hour = time.time_ns() // (3600 * 10**9) * 3600 - 3600  # s, the last whole one
        for minute in range(60):
            shard.telemetry.spool.metric(metric("m", minute, time=(hour + 60 * minute + 30) * 1000))
        await eventually(lambda: _count(store, 60))
        roller = Roller(sources)
        await roller.roll((hour + 3600 + 15) * 10**9)
        by_level = []
        for level in range(3):
            asked = {"level": level, "metric_name": "m", "start_time": hour * 1000, "end_time": (hour + 3599) * 1000}
            by_level.append((await call(host, "engine::rollups::list", **asked))["rollups"])
        assert [len(rows) for rows in by_level] == [59, 12, 1]  # the oldest minute is past its hour
        assert by_level[2][0]["count"] == 59
        samples = await call(
            host, "engine::rollups::list", metric_name="iii.invocations.total", end_time=(hour + 3600) * 1000
        )
        assert len(samples["rollups"]) == 1
        await roller.roll((hour + 2 * 3600 + 15) * 10**9)
        assert await sources.rollups.known(0) == {hour + 2 * 3600 - 60}
        assert len(await sources.rollups.known(1)) == 13


async def _count(store: Any, points: int) -> bool:
    return len(await store.metrics()) == points
