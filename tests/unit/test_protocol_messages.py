import json

import msgspec
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from gateway.worker import Worker
from iii_cluster.protocol import messages
from tests.support.gateway import FakeGateway, FakeOutlet

KINDS = [
    "registerfunction",
    "unregisterfunction",
    "registertriggertype",
    "unregistertriggertype",
    "registertrigger",
    "unregistertrigger",
    "triggerregistrationresult",
    "registerservice",
    "invokefunction",
    "invocationresult",
    "reattach",
    "ping",
    "pong",
    "nonsense",
]
MEMBERS = [
    "id",
    "function_id",
    "invocation_id",
    "trigger_type",
    "config",
    "data",
    "result",
    "error",
    "action",
    "namespace",
    "trigger_namespace",
    "metadata",
    "description",
    "previous_worker_id",
    "reattach_token",
    "traceparent",
    "baggage",
    "invocation",
]
values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False)
    | st.text()
    | st.sampled_from(["default", " ", "engine::functions::list", "0d0f8b5e-90bd-4d6a-9a39-5b6e2a9d9a10"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=6,
)
frames = st.fixed_dictionaries({"type": st.sampled_from(KINDS)}, optional=dict.fromkeys(MEMBERS, values))


def _serving() -> tuple[FakeGateway, Worker, FakeOutlet]:
    gateway = FakeGateway()
    worker, outlet = gateway.connect()
    return gateway, worker, outlet


@settings(max_examples=300, deadline=None)
@given(st.lists(frames, max_size=8))
@example([{"type": "invokefunction", "function_id": ""}])
def test_no_frame_disturbs_the_gateway(said: list[dict[str, object]]) -> None:
    gateway, worker, outlet = _serving()
    for frame in said:
        gateway.core.on_text(worker, json.dumps(frame).encode())
    outlet.take()
    gateway.say(worker, type="ping")
    assert outlet.take()[-1:] == [{"type": "pong"}]
    gateway.core.disconnect(worker, back=False)
    gateway.core.routes.expire(now=60.0, limit=10.0)  # calls that want no answer go on until then
    assert gateway.core.invocations.in_flight == 0
    assert gateway.core.announcer.count == 0


@settings(max_examples=300, deadline=None)
@given(st.binary(max_size=200))
def test_no_bytes_disturb_the_gateway(said: bytes) -> None:
    gateway, worker, outlet = _serving()
    gateway.core.on_text(worker, said)
    gateway.core.on_text(worker, b'{"type":"invokefunction","data":' + said)
    outlet.take()
    gateway.say(worker, type="ping")
    assert outlet.take() == [{"type": "pong"}]


@settings(max_examples=200, deadline=None)
@given(frames, st.data())
def test_no_truncation_disturbs_the_gateway(frame: dict[str, object], data: st.DataObject) -> None:
    gateway, worker, outlet = _serving()
    text = json.dumps(frame).encode()
    gateway.core.on_text(worker, text[: data.draw(st.integers(0, len(text)))])
    outlet.take()
    gateway.say(worker, type="ping")
    assert outlet.take() == [{"type": "pong"}]


@pytest.mark.parametrize(
    "text",
    [
        b'{"type":"invokefunction"}',
        b'{"type":"invokefunction","function_id":7}',
        b'{"type":"invokefunction","function_id":"f","action":{"type":"later"}}',
        b'{"type":"registerfunction","id":null}',
        b'{"type":"unheard"}',
        b'{"id":"x"}',
        b"[]",
        b"nonsense",
        b'{"type":"invokefunction","function_id":"f","data":NaN}',
    ],
)
def test_a_frame_that_does_not_fit_is_refused(text: bytes) -> None:
    with pytest.raises(msgspec.MsgspecError):
        messages.decode(text)


def test_missing_payloads_read_as_null() -> None:
    invoke = messages.decode(b'{"function_id":"f","type":"invokefunction","surprise":1}')
    assert isinstance(invoke, messages.InvokeFunction)
    assert messages.is_null(invoke.data)
    trigger = messages.decode(b'{"type":"registertrigger","id":"t","trigger_type":"w","function_id":"f"}')
    assert isinstance(trigger, messages.RegisterTrigger)
    assert messages.is_null(trigger.config)


def test_the_log_says_what_was_wrong_with_a_frame(caplog: pytest.LogCaptureFixture) -> None:
    gateway = FakeGateway()
    worker, _ = gateway.connect()
    gateway.core.on_text(worker, b'{"type":"invokefunction","function_id":"f","data":"\\ud800"}')
    assert "reason=a lone surrogate" in caplog.text
