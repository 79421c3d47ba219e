"""Frames that cannot be read: whoever waits for the call they are about hears of it."""

import json
import uuid
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from iii_cluster.protocol.unreadable import About, about
from tests.support.gateway import FakeGateway

ID = "0d0f8b5e-90bd-4d6a-9a39-5b6e2a9d9a10"
OTHER = "1d0f8b5e-90bd-4d6a-9a39-5b6e2a9d9a11"
DEEP = b"[" * 200 + b"]" * 200
RESULT = About("invocationresult", ID, "f")

UNREADABLE = {
    "too deep": (DEEP, "nested deeper than 128"),
    "too deep in an object": (b'{"body":' + DEEP + b"}", "nested deeper than 128"),
    "deeper than a parser goes": (b"[" * 100_000 + b"]" * 100_000, "nested deeper than 128"),
    "no number": (b"NaN", "malformed"),
    "no number in an object": (b'{"body":{"mean":NaN}}', "malformed"),
    "half a pair": (b'"\\ud800"', "a lone surrogate"),
    "half a pair in an object": (b'{"body":"\\ud800"}', "a lone surrogate"),
    "no UTF-8": (b'"\xff"', "invalid UTF-8"),
}
unreadable = pytest.mark.parametrize(("payload", "reason"), UNREADABLE.values(), ids=UNREADABLE)


def _orders(type: str, payload: bytes, invocation_id: str, name: str) -> list[bytes]:
    """A frame with its members in the orders that clients write them in."""
    ids = b'"invocation_id":"%b","function_id":"f"' % invocation_id.encode()
    kind, payload = b'"type":"%b"' % type.encode(), b'"%b":%b' % (name.encode(), payload)
    orders = [(kind, ids, payload), (payload, ids, kind), (ids, payload, kind), (kind, payload, ids)]
    return [b"{" + b",".join(order) + b"}" for order in orders]


@unreadable
@pytest.mark.parametrize("order", range(4))
def test_the_caller_of_a_result_that_cannot_be_read_is_told_at_once(payload: bytes, reason: str, order: int) -> None:
    gateway = FakeGateway()
    callee, callee_out = gateway.connect()
    gateway.say(callee, type="registerfunction", id="f")
    caller, caller_out = gateway.connect()
    gateway.say(caller, type="invokefunction", function_id="f", invocation_id=ID)
    (call,) = callee_out.take()
    gateway.core.on_text(callee, _orders("invocationresult", payload, call["invocation_id"], "result")[order])
    (answer,) = caller_out.take()
    assert answer["invocation_id"] == ID
    assert answer["error"]["code"] == "serialization_error"
    assert answer["error"]["message"].startswith("the result cannot be read: ")
    assert reason in answer["error"]["message"]
    assert gateway.core.invocations.in_flight == 0


@unreadable
@pytest.mark.parametrize("order", range(4))
def test_who_makes_a_call_that_cannot_be_read_is_told_at_once(payload: bytes, reason: str, order: int) -> None:
    gateway = FakeGateway()
    caller, out = gateway.connect()
    gateway.core.on_text(caller, _orders("invokefunction", payload, ID, "data")[order])
    (answer,) = out.take()
    assert (answer["type"], answer["invocation_id"], answer["function_id"]) == ("invocationresult", ID, "f")
    assert answer["error"]["code"] == "deserialization_error"
    assert reason in answer["error"]["message"]


def test_a_call_that_cannot_be_read_and_wants_no_answer_gets_none() -> None:
    gateway = FakeGateway()
    caller, out = gateway.connect()
    gateway.core.on_text(caller, b'{"type":"invokefunction","function_id":"f","data":NaN,"action":{"type":"void"}}')
    assert out.take() == []


def test_ids_inside_of_what_was_returned_are_no_ids() -> None:
    inner = json.dumps({"type": "invocationresult", "invocation_id": OTHER, "function_id": "other"}).encode()
    quoted = json.dumps(inner.decode()).encode()
    for result in (b"[%b,NaN]" % inner, b'{"a":%b,"b":%b}' % (inner, DEEP), b"[%b,NaN]" % quoted):
        for frame in _orders("invocationresult", result, ID, "result"):
            assert about(frame) == RESULT
        assert OTHER not in about(b'{"type":"invocationresult","result":%b}' % result)


def test_ids_are_found_beside_a_very_long_text() -> None:
    text = b'"' + b"\\n[{" * 2**20 + b'\\ud800"'
    for frame in _orders("invocationresult", text, ID, "result"):
        said = about(frame)
        assert said.invocation_id in (ID, "")
        assert OTHER not in said
    assert about(_orders("invocationresult", b'{"body":%b}' % text, ID, "result")[0]) == RESULT


@given(st.binary(max_size=300), st.sampled_from(["result", "error", "type", "invocation_id"]))
def test_anything_may_be_unreadable(said: bytes, name: str) -> None:
    for text in (said, *_orders("invocationresult", said, str(uuid.UUID(int=1)), name)):
        found: Any = about(text)
        assert len(found) == 3
