"""The browser of a test process, and what it looks at."""

import time
from collections.abc import Iterator
from typing import Any

import pytest

from tests.console import samples
from tests.console.browser import DESKTOP, Browser, installed, running_browser
from tests.console.fake import FakeConsole

TOKEN = "fake-console-token"


@pytest.fixture(scope="session")
def chromium(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    if not installed():
        pytest.skip("needs Chromium and its driver: apt-get install chromium chromium-driver")
    with running_browser(tmp_path_factory.mktemp("chromium")) as browser:
        yield browser


@pytest.fixture
def browser(chromium: Browser) -> Iterator[Browser]:
    """A desktop's; the test fails if the browser complained about the page."""
    chromium.size(DESKTOP)
    chromium.prefers("light")
    chromium.problems()
    yield chromium
    problems = chromium.problems()
    chromium.leave()
    assert not problems, problems


@pytest.fixture
def fake(browser: Browser) -> Iterator[FakeConsole]:
    """Serves a busy cluster that is made up, as long as the browser looks at it."""
    session = {"cluster": "sample", "version": "0.1.0", "node": "c", "tokens": True, "hint": "", "ports": {}}
    server = FakeConsole(topics(round(time.time() * 1000)), {**session, "token": TOKEN}).start()
    yield server
    browser.leave()
    server.stop()


def topics(now: int) -> dict[str, Any]:
    """Something on every page."""
    some = samples.function("orders::create", 70)
    trigger = {"id": "t1", "trigger_type": "http", "config": {"api_path": "/orders", "http_method": "POST"}}
    schema = {"type": "object", "properties": {"id": {"type": "string"}}}
    detail = {**some, "request_schema": schema, "registered_triggers": [trigger]}
    listed = {**trigger, "function_id": "orders::create", "worker_name": "w", "config_summary": "/orders"}
    letter = {
        "id": "j1",
        "function_id": "mail::send",
        "namespace": "default",
        "trace_id": samples.TRACE,
        "payload": {"n": 1},
        "error": "it broke",
        "failed_at": now // 1000,
        "retries": 3,
    }
    traces = [{**samples.summary(index, now), "name": f"POST /{index}"} for index in range(40)]
    alert = {"name": "errors", "firing": True, "operator": "GreaterThan", "threshold": 1, "current_value": 3}
    rule = {
        "metric": "iii.invocations.error",
        "window_seconds": 60,
        "action": {"type": "function", "path": "ops::page"},
    }
    times = {"last_evaluated": now, "last_triggered": now}
    return {
        "overview": samples.overview(now=now),
        "functions": {"functions": [samples.function(f"orders::step-{n}", n * 7) for n in range(2000)]},
        "function": {"function": detail, "numbers": some["numbers"]},
        "workers": {"workers": [samples.worker(f"w{n}", now) for n in range(6)]},
        "triggers": {"triggers": [{**listed, "id": f"t{n}", "state": s} for n, s in enumerate(("live", "parked"))]},
        "trigger-types": {"trigger_types": [{"id": "http", "namespace": "default", "worker_name": "iii"}]},
        "queues": {"queues": [{"name": "mail", "broker_type": "function_queue", "depth": 3, "dlq_depth": 1}]},
        "queue": {"name": "mail", "depth": 3, "consumer_count": 1, "dlq_depth": 1, "config": None},
        "dead": {"messages": [{**letter, "size_bytes": 9}], "offset": 0, "limit": 50},
        "streams": {"streams": [{"id": "orders", "groups": ["all"]}], "count": 1},
        "stream": {"items": [{"id": "1"}], "count": 1},
        "states": {"groups": ["orders"], "count": 1},
        "state": {"items": [{"n": 1}, 2], "count": 2},
        "traces": {"traces": traces, "total": 90, "offset": 0, "limit": 100},
        "trace": samples.long_trace(200, now),
        "logs": {"logs": [samples.log(n, now) for n in range(300)], "total": 300},
        "alerts": {"alerts": [{**alert, **times}], "rules": [rule], "firing_count": 1, "timestamp": now},
    }
