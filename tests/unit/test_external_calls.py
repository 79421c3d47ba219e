"""HTTP functions in a gateway: what is registered, whom a call belongs to, and who is paused."""

import asyncio
import json
from typing import Any, cast

import pytest
from msgspec import Raw

from gateway.call_telemetry import CallTelemetry
from gateway.external import calls as calls_module
from gateway.external.calls import ExternalCalls, external_calls
from gateway.external.congestion import REFUSED_AT
from iii_cluster.bus.envelopes import Congested, DropFunction, Invoke, PutFunction, Refused, Result
from iii_cluster.modules.http_functions.credentials import Variables
from iii_cluster.modules.http_functions.definition import HttpFunction, read_invocation
from iii_cluster.modules.http_functions.module import HttpFunctionsModule
from iii_cluster.outgoing.failures import url_refused
from iii_cluster.outgoing.security import Security
from iii_cluster.outgoing.urls import UrlPolicy
from iii_cluster.protocol.errors import EngineError
from iii_cluster.telemetry.context import parent_of
from iii_cluster.telemetry.records import Kind
from iii_cluster.telemetry.spool import Spool
from iii_cluster.telemetry.tracing import Tracer
from tests.support.eventually import eventually
from tests.support.gateway import FakeGateway

OTHER = "gateway-bbbbbbbb"
URL = "https://93.184.215.14/f"


class FakeModule:
    """Answers calls when the test says so."""

    id = HttpFunctionsModule.id

    def __init__(self) -> None:
        self.policy = UrlPolicy(Security())
        self.called: list[Invoke] = []
        self.release = asyncio.Event()
        self.answer: bytes | Exception = b"1"
        self.refused: EngineError | None = None
        self.checked = 0

    def read(self, invocation: Raw) -> HttpFunction:
        return read_invocation(invocation, self.policy.check, Variables({"KEY": "s3cret"}, ("*",)))

    async def check(self, function: HttpFunction) -> None:
        self.checked += 1
        if self.refused is not None:
            raise self.refused

    async def call(self, function: HttpFunction, invoke: Invoke) -> bytes:
        self.called.append(invoke)
        await self.release.wait()
        if isinstance(self.answer, Exception):
            raise self.answer
        return self.answer


class Rig:
    def __init__(self) -> None:
        self.tracer = Tracer(Spool())
        self.gateway = FakeGateway("shard-00000001", OTHER, telemetry=CallTelemetry(self.tracer))
        self.module = FakeModule()
        made = external_calls(self.gateway.core, [cast(Any, self.module)])
        assert made is not None
        self.external: ExternalCalls = made
        self.worker, self.outlet = self.gateway.connect()

    def register(self, id: str = "f", **invocation: Any) -> None:
        self.gateway.say(self.worker, type="registerfunction", id=id, invocation={"url": URL, **invocation})

    async def settle(self) -> None:
        for _ in range(5):
            await asyncio.sleep(0)

    def invoke(self, id: str, once: str = "", data: bytes = b"{}") -> None:
        invoke = Invoke(id, self.worker.number, "f", data, once=once)
        self.gateway.core.invocations.on_invoke(OTHER, invoke)


@pytest.fixture
async def rig() -> Any:
    made = Rig()
    yield made
    await made.external.stop()


async def test_the_cluster_hears_of_the_function_but_not_of_its_address_or_secrets(rig: Rig) -> None:
    rig.register(auth={"type": "bearer", "token_key": "KEY"}, headers={"x": "hidden"})
    (put,) = rig.gateway.effects.take(PutFunction)
    assert (put.id, put.definition) == ("f", b"{}")
    assert "s3cret" not in repr(rig.worker.registrations)
    assert "hidden" not in repr(rig.worker.registrations)


async def test_a_call_from_here_reaches_the_module_and_not_the_worker(rig: Rig) -> None:
    rig.register()
    caller, outlet = rig.gateway.connect()
    id = "00000000-0000-0000-0000-000000000001"
    rig.gateway.say(caller, type="invokefunction", function_id="f", invocation_id=id, data={"a": 1})
    await rig.settle()
    assert json.loads(rig.module.called[0].data)["a"] == 1
    assert not rig.outlet.frames
    assert not rig.worker.serving
    rig.module.release.set()
    await rig.settle()
    (answer,) = outlet.take()
    assert (answer["invocation_id"], answer["result"]) == (id, 1)
    assert not rig.gateway.core.unfinished
    assert rig.worker.target.outstanding == 0


async def test_a_call_from_elsewhere_is_answered_there(rig: Rig) -> None:
    rig.register()
    rig.invoke("i-1")
    await rig.settle()
    assert rig.gateway.core.unfinished
    rig.module.release.set()
    await rig.settle()
    assert ("i-1", b"1") in [(said.id, said.result) for said in rig.gateway.effects.take(Result)]
    assert not rig.gateway.core.unfinished


@pytest.mark.parametrize(
    ("failure", "code"), [(EngineError("BAD", "no"), "BAD"), (RuntimeError("bug"), "internal_error")]
)
async def test_failures_are_answers(rig: Rig, failure: Exception, code: str) -> None:
    rig.register()
    rig.module.answer = failure
    rig.module.release.set()
    rig.invoke("i-1")
    await rig.settle()
    (said,) = rig.gateway.effects.take(Result)
    assert json.loads(said.error)["code"] == code


async def test_a_delivery_that_is_told_twice_is_made_once(rig: Rig) -> None:
    rig.register()
    rig.invoke("i-1", once="job-1")
    rig.invoke("i-2", once="job-1")
    await rig.settle()
    rig.module.release.set()
    await rig.settle()
    rig.invoke("i-3", once="job-1")
    await rig.settle()
    assert len(rig.module.called) == 1
    assert {said.id for said in rig.gateway.effects.take(Result)} == {"i-1", "i-2", "i-3"}


async def test_a_call_ends_although_its_worker_is_gone_meanwhile(rig: Rig) -> None:
    rig.register()
    rig.invoke("i-1")
    await rig.settle()
    rig.gateway.core.disconnect(rig.worker, back=False)
    assert not rig.gateway.effects.take(Result)
    rig.invoke("i-2")
    assert [refused.invoke.id for refused in rig.gateway.effects.take(Refused)] == ["i-2"]
    rig.module.release.set()
    await rig.settle()
    assert [said.id for said in rig.gateway.effects.take(Result)] == ["i-1"]


async def test_stopping_ends_calls_that_run_and_those_that_have_not_begun(rig: Rig) -> None:
    rig.register()
    rig.invoke("i-1")
    await rig.settle()
    rig.invoke("i-2")
    await rig.external.stop()
    await rig.settle()
    said = rig.gateway.effects.take(Result)
    assert {answer.id for answer in said} == {"i-1", "i-2"}
    assert {json.loads(answer.error)["code"] for answer in said} == {"invocation_stopped"}
    assert rig.external.in_flight == 0


async def test_a_plain_function_takes_the_place_of_an_http_function_and_the_other_way_round(rig: Rig) -> None:
    rig.register()
    rig.gateway.say(rig.worker, type="registerfunction", id="f")
    rig.invoke("i-1")
    assert [frame["type"] for frame in rig.outlet.take()] == ["invokefunction"]
    rig.register()
    rig.invoke("i-2")
    await rig.settle()
    assert not rig.outlet.take()
    assert [invoke.id for invoke in rig.module.called] == ["i-2"]


async def test_other_functions_of_the_worker_are_called_as_ever(rig: Rig) -> None:
    rig.register()
    rig.gateway.say(rig.worker, type="registerfunction", id="g")
    rig.gateway.core.invocations.on_invoke(OTHER, Invoke("i-1", rig.worker.number, "g", b"{}"))
    assert [frame["function_id"] for frame in rig.outlet.take()] == ["g"]


async def test_a_host_that_is_not_found_is_looked_up_once_more(
    rig: Rig, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(calls_module, "LOOK_AGAIN", 0.0)
    rig.module.refused = url_refused("DNS lookup failed")
    rig.register("f", url="https://nowhere.example/?token=abc")
    rig.gateway.effects.take()
    await eventually(lambda: not rig.worker.registrations)
    assert rig.module.checked == 2
    assert [dropped.id for dropped in rig.gateway.effects.take(DropFunction)] == ["f"]
    assert "DNS lookup failed" in caplog.text
    assert "abc" not in caplog.text


async def test_what_was_registered_since_is_not_dropped_for_an_earlier_host(
    rig: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(calls_module, "LOOK_AGAIN", 0.0)
    rig.module.refused = url_refused("DNS lookup failed")
    rig.register("f", url="https://nowhere.example/")
    rig.register("f")
    await eventually(lambda: rig.module.checked == 2)
    await rig.settle()
    assert len(rig.worker.registrations) == 1


async def test_refusals_are_logged_with_name_and_reason_ever_less_often(
    rig: Rig, caplog: pytest.LogCaptureFixture
) -> None:
    for n in range(300):
        rig.register(f"f{n}\n", url="http://example.com/?token=abc")
    assert not rig.worker.registrations
    assert "function='f0\\n' reason='url_validation_failed: HTTPS is required'" in caplog.text
    assert "abc" not in caplog.text
    assert len(caplog.records) == 102  # 100, 128, 256


async def test_too_many_calls_pause_their_callers_wherever_they_are(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gateway.external.congestion.MAX_MODULE_CALLS", 4)
    rig.register()
    for n in range(4):
        rig.invoke(f"i-{n}")
    assert not rig.gateway.effects.take(Congested)
    rig.invoke("i-4")
    assert rig.gateway.effects.take(Congested) == [Congested(rig.worker.number, True)]
    for n in range(5, REFUSED_AT * 4 + 1):
        rig.invoke(f"i-{n}")
    assert not rig.gateway.effects.take(Result)
    rig.invoke("too-many")
    (said,) = rig.gateway.effects.take(Result)
    assert said.id == "too-many"
    assert "too many calls" in json.loads(said.error)["message"]
    rig.module.release.set()
    await rig.settle()
    assert Congested(rig.worker.number, False) in rig.gateway.effects.take(Congested)
    assert len(rig.module.called) == REFUSED_AT * 4 + 1


async def test_callers_here_are_paused_as_for_modules(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    rig.register()
    caller, outlet = rig.gateway.connect()
    big = json.dumps({"a": "x" * 50_000_000})
    for n in range(3):
        id = f"00000000-0000-0000-0000-00000000000{n}"
        text = f'{{"type":"invokefunction","function_id":"f","invocation_id":"{id}","data":{big}}}'
        rig.gateway.core.on_text(caller, text.encode())
    assert outlet.paused == 1
    await rig.settle()
    rig.module.release.set()
    await rig.settle()
    assert outlet.paused == 0


async def test_only_so_many_hosts_are_looked_up_at_once(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(calls_module, "MAX_CHECKS", 2)
    for n in range(5):
        rig.register(f"f{n}", url=f"https://h{n}.example/")
    await rig.settle()
    assert rig.module.checked == 2
    assert len(rig.worker.registrations) == 5


async def test_the_request_has_a_span_of_its_own_in_the_trace_of_the_call(rig: Rig) -> None:
    rig.register(url="https://93.184.215.14/hooks/s3cret?key=s3cret")
    caller, _ = rig.gateway.connect()
    id = "00000000-0000-0000-0000-000000000001"
    rig.gateway.say(caller, type="invokefunction", function_id="f", invocation_id=id, data={})
    await rig.settle()
    rig.module.answer = EngineError("http_error", "no")
    rig.module.release.set()
    await rig.settle()
    request, call = rig.tracer.spool.take().spans
    assert (call.name, request.name, request.kind) == ("call f", "POST", Kind.CLIENT)
    assert (request.trace_id, request.parent_span_id) == (call.trace_id, call.span_id)
    assert (request.status, request.status_description) == ("error", "http_error: no")
    sent = parent_of(rig.module.called[0].traceparent)
    assert sent is not None
    assert (sent.trace_id, sent.span_id) == (call.trace_id, request.span_id)
    told = dict(request.attributes)
    assert (told["server.address"], told["server.port"]) == ("93.184.215.14", "443")
    assert "s3cret" not in repr(request)


async def test_a_request_that_is_given_up_ends_its_span(rig: Rig) -> None:
    rig.register()
    trace = b'"00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"'
    invoke = Invoke("i-1", rig.worker.number, "f", b"{}", traceparent=trace)
    rig.gateway.core.invocations.on_invoke(OTHER, invoke)
    await rig.settle()
    await rig.external.stop()
    (span,) = rig.tracer.spool.take().spans
    assert (span.name, span.status) == ("POST", "error")


async def test_a_call_without_a_trace_begins_none(rig: Rig) -> None:
    rig.register()
    rig.invoke("i-1")
    rig.module.release.set()
    await rig.settle()
    assert not rig.tracer.spool.take().spans
