"""The span of a request."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.http import spans
from iii_cluster.telemetry.context import parent_of
from iii_cluster.telemetry.records import Kind, Span
from iii_cluster.telemetry.sampling import Sampler
from iii_cluster.telemetry.urls import MAX_URL, REDACTED, SECRETS, shown_query
from tests.support.http_app import JSON, NEVER, FakeCluster, always, fails, ok
from tests.support.http_worker import Worker

TRACE_ID = "0af7651916cd43dd8448eb211c80319c"
TRACE = f"00-{TRACE_ID}-b7ad6b7169203331-01"


@pytest.fixture
async def cluster() -> FakeCluster:
    cluster = FakeCluster()
    cluster.tracer.enabled = True
    return cluster


def span_of(cluster: FakeCluster) -> tuple[Span, dict[str, str]]:
    (span,) = cluster.tracer.spool.take().spans
    return span, dict(span.attributes)


async def test_it_says_what_was_asked_and_answered(cluster: FakeCluster) -> None:
    cluster.route("/orders/:id", always({"status_code": 201, "body": {}}), "PUT")
    headers = [*JSON, ("host", "shop.example:8080"), ("user-agent", "curl/8"), ("x-forwarded-proto", "HTTPS")]
    await cluster.ask("PUT", "/orders/42?full=1&access_token=s3cret", headers, b"{}")
    span, told = span_of(cluster)
    assert (span.name, span.kind, span.status, span.parent_span_id) == ("PUT /orders/:id", Kind.SERVER, "ok", None)
    query = f"full=1&access_token={REDACTED}"
    assert told == {
        "http.request.method": "PUT",
        "http.route": "/orders/:id",
        "url.path": "/orders/42",
        "url.query": query,
        "url.scheme": "https",
        "url.full": f"https://shop.example:8080/orders/42?{query}",
        "server.address": "shop.example",
        "server.port": "8080",
        "network.protocol.version": "1.1",
        "user_agent.original": "curl/8",
        "http.request.header.content_type": "application/json",
        "http.request.body.size": "2",
        "iii.function.kind": "user",
        "http.response.status_code": "201",
    }


async def test_everything_that_is_called_for_it_continues_its_trace(cluster: FakeCluster) -> None:
    cluster.handlers["default", "guard"] = always({"action": "continue"})
    cluster.handlers["default", "cond"] = always(True)
    cluster.route("a", ok, middleware_function_ids=["guard"], condition_function_id="cond")
    await cluster.ask("GET", "/a", [("traceparent", TRACE), ("baggage", "user=1")])
    span, _ = span_of(cluster)
    assert (span.trace_id, span.parent_span_id) == (TRACE_ID, TRACE.split("-")[2])
    assert [call.function for call in cluster.calls] == ["cond", "guard", "GET a"]
    for call in cluster.calls:
        parent = parent_of(call.trace[0])
        assert parent is not None
        assert (parent.trace_id, parent.span_id) == (TRACE_ID, span.span_id)
        assert call.trace[1] == b'"user=1"'


async def test_without_tracing_the_context_goes_on_as_it_came() -> None:
    cluster = FakeCluster()
    cluster.route("a", ok)
    await cluster.ask("GET", "/a", [("traceparent", TRACE)])
    assert cluster.calls[0].trace[0].decode() == f'"{TRACE}"'
    assert not cluster.tracer.spool.take().spans


async def test_what_is_not_recorded_is_not_begun_by_others_either(cluster: FakeCluster) -> None:
    cluster.tracer.sampler = Sampler(1e-9)
    cluster.route("a", ok)
    await cluster.ask("GET", "/a", [("baggage", "k=v")])
    (call,) = cluster.calls
    parent = parent_of(call.trace[0])
    assert parent is not None
    assert not parent.sampled
    assert call.trace[1] == b'"k=v"'
    assert cluster.tracer.spool.take().spans == []


@pytest.mark.parametrize(
    ("result", "status", "kind"),
    [
        ({"status_code": 399}, "ok", None),
        ({"status_code": 404}, "error", "404"),
        ({"status_code": 503}, "error", "503"),
    ],
)
async def test_from_400_on_it_is_an_error(cluster: FakeCluster, result: Any, status: str, kind: str | None) -> None:
    cluster.route("a", always({**result, "body": ""}))
    await cluster.ask("GET", "/a")
    span, told = span_of(cluster)
    assert (span.status, told.get("error.type")) == (status, kind)
    assert told["http.response.status_code"] == str(result["status_code"])


async def test_the_error_of_the_function_is_told(cluster: FakeCluster) -> None:
    cluster.route("a", fails)
    await cluster.ask("GET", "/a")
    span, told = span_of(cluster)
    assert (span.status, span.status_description) == ("error", "NO_STOCK: nothing left")
    assert (told["error.type"], told["http.response.status_code"]) == ("NO_STOCK", "500")
    assert [event.name for event in span.events] == ["exception"]


async def test_what_is_answered_before_the_call_has_a_span(cluster: FakeCluster) -> None:
    cluster.handlers["default", "cond"] = always(False)
    cluster.route("a", ok, condition_function_id="cond")
    await cluster.ask("GET", "/a")
    assert span_of(cluster)[1]["error.type"] == "422"


async def test_a_timeout_is_an_error() -> None:
    cluster = FakeCluster(default_timeout=10)
    cluster.tracer.enabled = True
    cluster.route("a", lambda _: NEVER)
    await cluster.ask("GET", "/a")
    assert span_of(cluster)[1]["error.type"] == "504"


async def test_a_client_that_goes_is_told(cluster: FakeCluster) -> None:
    cluster.route("a", ok, "POST")
    async with cluster.asking("POST", "/a", JSON, b"{", complete=False) as client:
        client.more(None)
    span, told = span_of(cluster)
    assert (span.status, told["error.type"]) == ("error", spans.CLIENT_GONE)
    assert "http.response.status_code" not in told


async def test_a_stream_ends_with_its_last_piece(cluster: FakeCluster) -> None:
    worker = Worker(cluster)
    async with cluster.asking("GET", "/a") as client:
        writer = await worker.opened()
        await writer.send(b"1", False)
        await client.arrived.wait()
        assert not cluster.tracer.spool.take().spans
        writer.close()
    span, told = span_of(cluster)
    assert (span.status, told["http.response.status_code"]) == ("ok", "200")


async def test_a_stream_that_is_cut_is_an_error(cluster: FakeCluster) -> None:
    worker = Worker(cluster)
    async with cluster.asking("GET", "/a") as client:
        writer = await worker.opened()
        await writer.send(b"1", False)
        await client.arrived.wait()
        writer.close(1011, "broken")
    assert span_of(cluster)[1]["error.type"] == spans.RESPONSE_CUT


async def test_requests_without_a_route_have_no_span(cluster: FakeCluster) -> None:
    await cluster.ask("GET", "/nothing")
    assert not cluster.tracer.spool.take().spans


# -- addresses -------------------------------------------------------------------------------------


@given(st.sampled_from(sorted(SECRETS)), st.text("abc%&+ ", max_size=9), st.booleans())
def test_secrets_are_not_shown(name: str, value: str, upper: bool) -> None:
    name = name.upper() if upper else name
    shown = shown_query(f"a=1&{name}=s3cret{value.replace('&', '')}&b")
    assert shown == f"a=1&{name}={REDACTED}&b"


def test_names_of_secrets_are_decoded() -> None:
    assert shown_query("pass%77ord=x&api%5Fkey=y&%3D=1") == f"pass%77ord={REDACTED}&api%5Fkey={REDACTED}&%3D=1"


@given(st.text(max_size=3 * MAX_URL))
def test_queries_are_cut(query: str) -> None:
    assert len(shown_query(query)) <= MAX_URL
