"""Secrets that come in by every way there is are nowhere to be seen: not in what is kept, shown, counted or written."""

import json
import time
from collections.abc import Iterator
from typing import Any

import pytest
import redis

from tests.support.cluster import Cluster, ClusterNode, running_cluster
from tests.support.console import TOKEN, ask, get
from tests.support.eventually import eventually
from tests.support.http_peer import http_peer, request
from tests.support.raw import CallFailed, RawWorker, known, raw_worker
from tests.support.telemetry import TRACE_ID, any_value, key_values, logs_frame, metrics_frame, spans_frame, wire_span

WORKER, ADMIN = "wo-token-of-workers", "ad-token-of-admins"
MODULES = [
    {"name": "iii-http-functions", "config": {"security": {"require_https": False, "block_private_ips": False}}},
    {"name": "iii-observability", "config": {"exporter": "both", "logs_exporter": "both"}},
]
ENVIRONMENT = {
    "III_CLUSTER_TOKENS": WORKER,
    "III_CLUSTER_ADMIN_TOKENS": ADMIN,
    "III_CLUSTER_CONSOLE_TOKENS": TOKEN,
    "III_CLUSTER_MODULES": json.dumps(MODULES),
    "OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:1/path-zq-collector",  # nobody listens there: that is logged
    "OTEL_EXPORTER_OTLP_PROTOCOL": "http/protobuf",
    "OTEL_EXPORTER_OTLP_HEADERS": "authorization=Bearer%20zq-collector,x-key=zq-collector-key",
    "HOOK_TOKEN": "zq-hook-token",
}
# All others have this in them.
MARK = "zq-"
TOKENS = (WORKER, ADMIN, TOKEN)
PAGES = (
    *("overview", "functions", "workers", "triggers", "trigger-types", "queues", "streams", "traces", "logs", "alerts"),
    *("metrics", "rollups", "sampling", "health", f"traces/{TRACE_ID}", "functions/default/app%3A%3Aorder"),
)
LISTS = ("engine::logs::list", "engine::metrics::list", "engine::rollups::list", "engine::traces::group_by")


@pytest.fixture
def cluster(tmp_path: Any) -> Iterator[Cluster]:
    """With a console, and a gateway whose way to Redis has a password."""
    options = {"console": "on", "console-port": "0"}
    with running_cluster(tmp_path, gateways=0, shards=1, options=options, env=ENVIRONMENT) as cluster:
        cluster.add_gateway(cluster.valkey.url.replace("//", "//default:zq-redis@"))
        yield cluster


async def test_secrets_are_nowhere_to_be_seen(cluster: Cluster) -> None:
    [gateway] = cluster.gateways
    shown = {"additional_headers": {"Authorization": f"Bearer {WORKER}"}}
    async with raw_worker(gateway.url, name="app", options=shown) as worker:
        await _register(worker)
        await _request(worker, gateway)
        await _tell(worker)
        await _wrong_tokens(gateway, cluster.coordinators[0])
        cluster.valkey.execute("CLIENT", "KILL", "TYPE", "normal")
        seen = await _everything(worker, cluster)
    for where, text in seen.items():
        for secret in (MARK, *TOKENS):
            at = text.find(secret)
            assert at < 0, f"{where}: {text[max(at - 300, 0) : at + 100]}"


async def _register(worker: RawWorker) -> None:
    failed = {"code": "E", "message": "no way to redis://app:zq-pw@db/0 with Bearer zq-in-an-error"}

    def order(_frame: Any) -> Any:
        return CallFailed(failed)

    await worker.register("app::order", order)
    auth = {"type": "bearer", "token_key": "HOOK_TOKEN"}
    hook = {"url": "http://127.0.0.1:1/zq-hook-path?sig=zq-hook-query", "headers": {"x-env": "zq-hook"}, "auth": auth}
    await worker.register("app::hook", invocation=hook)
    await known(worker, "app::order", "app::hook")
    for function in ("order", "hook"):
        config = {"api_path": function, "http_method": "POST"}
        await worker.send(
            "registertrigger", id=function, trigger_type="http", function_id=f"app::{function}", config=config
        )


async def _request(worker: RawWorker, gateway: ClusterNode) -> None:
    """Through the HTTP port, in a trace; then a job, with the same in its data."""
    context = f"00-{TRACE_ID}-b7ad6b7169203331-01"
    body = json.dumps({"password": "zq-body", "card": "zq-card"}).encode()
    headers = {"authorization": "Bearer zq-authorization", "cookie": "id=zq-cookie", "content_type": "application/json"}
    async with http_peer(gateway.ports["http"]) as client:
        for path in ("order", "hook"):

            async def served(path: str = path) -> bool:
                return (await client.ask("OPTIONS", f"/{path}")).status != 404

            await eventually(served)
            query = "access_token=zq-query&Password=zq-query&api%5Fkey=zq-query"
            await client.send(request("POST", f"/{path}?{query}", body, traceparent=context, **headers))
            assert (await client.answer()).status == 500
    queue = {"type": "enqueue", "queue": "default"}
    await worker.call("app::order", {"secret": "zq-job"}, action=queue, traceparent=context)


async def _tell(worker: RawWorker) -> None:
    """What an SDK might."""
    now = str(time.time_ns())
    said = {
        "http.request.header.authorization": "Bearer zq-sdk",
        "url.full": "https://user:zq-sdk@there/x?a=1&access_token=zq-sdk",
        "db.connection_string": "redis://:zq-sdk@db:6379",
        "note": "authorization: Bearer zq-sdk-bearer-token",
        "nested": {"password": "zq-sdk", "url": "amqp://u:zq-sdk@mq/"},
    }
    payload = {"iii.payload.json": json.dumps({"user": {"password": "zq-sdk"}, "url": "redis://:zq-sdk@db"})}
    event = {"name": "iii.invocation.input", "timeUnixNano": now, "attributes": key_values(payload)}
    times = {"startTimeUnixNano": now, "endTimeUnixNano": now}
    status = {"code": 2, "message": "cannot reach redis://:zq-sdk@db"}
    await worker.send_binary(
        spans_frame(wire_span(attributes=key_values(said), events=[event], status=status, **times))
    )
    body = any_value("login with redis://:zq-sdk@db and ?token=zq-sdk")
    log = {"timeUnixNano": now, "severityNumber": 13, "body": body, "attributes": key_values(said), "traceId": TRACE_ID}
    await worker.send_binary(logs_frame(log))
    point = {"asInt": 1, "timeUnixNano": now, "attributes": key_values({**said, "worker.id": "w"})}
    await worker.send_binary(metrics_frame({"name": "app.metric", "gauge": {"dataPoints": [point]}}))
    data = {"password": "zq-logged", "url": "redis://:zq-logged@db"}
    await worker.call("engine::log::warn", {"message": "to redis://:zq-logged@db", "data": data})


async def _wrong_tokens(gateway: ClusterNode, coordinator: ClusterNode) -> None:
    for query, header in (("", "zq-wrong-token"), ("/?token=zq-wrong-token", "")):
        options = {"additional_headers": {"Authorization": f"Bearer {header}"}} if header else {}
        with pytest.raises(Exception, match="401"):
            async with raw_worker(gateway.url + query, options=options):
                pass
    wrong = await _change(coordinator, "zq-wrong-token")
    assert wrong.status == 401
    assert (await _change(coordinator, TOKEN)).status == 502
    await get(gateway.ports["admin"], "/status?token=zq-wrong", authorization="Bearer zq-wrong")


async def _change(coordinator: ClusterNode, token: str) -> Any:
    body = json.dumps({"function_id": "app::order", "data": {"password": "zq-console"}}).encode()
    shown = {"authorization": f"Bearer {token}"}
    return await ask(coordinator.ports["console"], "POST", "/api/invoke?token=zq-console", body, **shown)


async def _everything(worker: RawWorker, cluster: Cluster) -> dict[str, str]:
    """What there is to be seen, by where; once all of it has arrived."""

    async def arrived() -> bool:
        names = {span["name"] for span in await _spans(worker)}
        assert {"POST /order", "POST /hook", "POST", "call app::order", "execute billing::charge"} <= names, names
        assert {"fn_queue default", "console app::order"} <= names, names
        bodies = str((await worker.call("engine::logs::list", {"limit": 1000}))["logs"])
        assert "login with" in bodies
        assert "to redis" in bodies
        assert "collector_away" in bodies
        return "console_invoke" in bodies

    await eventually(arrived)
    seen = {}
    for function in (
        "engine::logs::list",
        "engine::metrics::list",
        "engine::rollups::list",
        "engine::traces::group_by",
    ):
        asked = {"limit": 1000, "attribute": "function_id"}
        seen[function] = json.dumps(await worker.call(function, asked))
    seen["engine::traces::list"] = json.dumps(await _spans(worker))
    seen["engine::traces::tree"] = json.dumps(await worker.call("engine::traces::tree", {"trace_id": TRACE_ID}))
    logs = json.loads(seen["engine::logs::list"])["logs"]
    told = {log["attributes"].get("action"): log["attributes"] for log in logs}
    assert told["console_invoke"] == {
        "action": "console_invoke", "function": "app::order", "address": "127.0.0.1", "outcome": "E",
    }  # fmt: skip
    assert not {"worker_connected", "worker_disconnected", "cleaned_up"} & told.keys()
    console = cluster.coordinators[0].ports["console"]
    for page in PAGES:
        answer = await get(console, f"/api/{page}")
        assert answer.status == 200, (page, answer)
        seen[page] = answer.body.decode()
    for node in cluster.nodes:
        for path in ("/metrics", "/status"):
            answer = await get(node.ports["admin"], path, authorization=f"Bearer {ADMIN}")
            assert answer.status == 200, answer
            seen[f"{path} of {node.name}"] = answer.body.decode()
        seen[f"output of {node.name}"] = node.log.read_text()
    with redis.Redis(port=cluster.valkey.port) as client:
        for key in client.keys("*otel*"):
            if client.type(key) == b"stream":
                seen[repr(key)] = repr(client.xrange(key))
    return seen


async def _spans(worker: RawWorker) -> list[dict[str, Any]]:
    asked = {"limit": 1000, "search_all_spans": True, "include_internal": True}
    answer = await worker.call("engine::traces::list", asked)
    spans: list[dict[str, Any]] = answer["spans"]
    return spans
