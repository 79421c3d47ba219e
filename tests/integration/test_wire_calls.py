"""Calls, frame by frame: what the callee gets, what the caller gets back, on one gateway and across two."""

import contextlib
import uuid
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any

import pytest
from websockets.exceptions import ConnectionClosed

from tests.support.cluster import Cluster
from tests.support.raw import Frame, RawWorker, known, raw_worker

TRACEPARENT = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-03"


@dataclass
class Pair:
    """A worker that calls and one that serves `function`, whose calls the test answers."""

    caller: RawWorker
    callee: RawWorker
    function: str

    async def deliver(self, data: Any = None, **fields: Any) -> tuple[str, Frame]:
        """Sends a call; returns its id and the frame that reached the callee."""
        invocation_id = await self.caller.begin(self.function, data, **fields)
        return invocation_id, await self.callee.expect("invokefunction", function_id=self.function)


def untraced(frame: Frame) -> Frame:
    """Without the context of a trace that may have begun with the call."""
    return {name: value for name, value in frame.items() if name != "traceparent"}


@pytest.fixture(params=[0, 1], ids=["same-gateway", "other-gateway"])
async def pair(request: pytest.FixtureRequest, shared_cluster: Cluster, unique: str) -> AsyncIterator[Pair]:
    place = shared_cluster.gateways[request.param].url
    async with raw_worker(shared_cluster.gateways[0].url) as caller, raw_worker(place) as callee:
        await callee.register(f"{unique}::f")
        await known(caller, f"{unique}::f")
        yield Pair(caller, callee, f"{unique}::f")


async def test_a_call_and_its_result_carry_exactly_these_members(pair: Pair) -> None:
    invocation_id, invocation = await pair.deliver({"n": 1})
    uuid.UUID(invocation["invocation_id"])
    assert untraced(invocation) == {
        "type": "invokefunction",
        "invocation_id": invocation["invocation_id"],
        "function_id": pair.function,
        "data": {"n": 1, "_caller_worker_id": pair.caller.worker_id},
    }
    await pair.callee.answer(invocation, {"m": 2})
    assert await pair.caller.result(invocation_id) == {
        "type": "invocationresult",
        "invocation_id": invocation_id,
        "function_id": pair.function,
        "result": {"m": 2},
    }


@pytest.mark.parametrize("said", [{}, {"result": None}, {"error": None}, {"result": None, "error": None}], ids=str)
async def test_no_result_and_a_null_result_are_a_success_without_one(pair: Pair, said: Frame) -> None:
    invocation_id, invocation = await pair.deliver()
    ids = {"invocation_id": invocation["invocation_id"], "function_id": pair.function}
    await pair.callee.send("invocationresult", **ids, **said)
    assert {*await pair.caller.result(invocation_id)} == {"type", "invocation_id", "function_id"}


@pytest.mark.parametrize(
    "error",
    [
        {"code": "invocation_failed", "message": "boom", "stacktrace": "at line 1\nat line 2"},
        {"code": "MY_OWN", "message": "größer ✓"},
        {"code": "", "message": ""},
        {"message": "no code"},
        {"code": "no_message"},
        {"code": "extra", "message": "x", "details": {"a": [1, None]}},
    ],
    ids=str,
)
async def test_an_error_is_passed_on_verbatim(pair: Pair, error: Frame) -> None:
    invocation_id, invocation = await pair.deliver()
    await pair.callee.answer(invocation, error=error)
    frame = await pair.caller.result(invocation_id)
    # Missing members may be filled in; what was said stays.
    assert frame["error"].items() >= error.items()
    assert {*frame["error"]} - {*error} <= {"code", "message"}
    assert "result" not in frame


async def test_an_error_wins_over_a_result(pair: Pair) -> None:
    invocation_id, invocation = await pair.deliver()
    ids = {"invocation_id": invocation["invocation_id"], "function_id": pair.function}
    await pair.callee.send("invocationresult", **ids, result=1, error={"code": "c", "message": "m"})
    frame = await pair.caller.result(invocation_id)
    assert frame["error"] == {"code": "c", "message": "m"}
    assert "result" not in frame


@pytest.mark.parametrize(
    ("text", "members"),
    [
        ("{}", {}),
        (" { } ", {}),
        ('{"a":1}', {"a": 1}),
        ('{ "a" : [ 1 , 2 ] \n}', {"a": [1, 2]}),
        ('{"a":"}"}', {"a": "}"}),
        ('{"_caller_worker_id":"forged"}', {}),
        ('{"_caller_worker_id":{"x":[1]},"a":1}', {"a": 1}),
        ('{"a":{"_caller_worker_id":"inner"}}', {"a": {"_caller_worker_id": "inner"}}),
    ],
)
async def test_an_object_gets_the_id_of_its_caller(pair: Pair, text: str, members: Frame) -> None:
    call = f'{{"type":"invokefunction","function_id":"{pair.function}","data":{text}}}'
    await pair.caller.send_text(call)
    invocation = await pair.callee.expect("invokefunction")
    assert invocation["data"] == {**members, "_caller_worker_id": pair.caller.worker_id}


@pytest.mark.parametrize("data", [None, True, 0, -1.5, 2**53, "text", "", [], [{"a": 1}]], ids=repr)
async def test_other_data_arrives_untouched(pair: Pair, data: Any) -> None:
    _, invocation = await pair.deliver(data)
    assert invocation["data"] == data


@pytest.mark.parametrize("number", ["1e400", "12345678901234567890123", "0.1000", "1E5", "-0", "1.0"])
async def test_numbers_keep_the_way_they_were_written(pair: Pair, number: str) -> None:
    await pair.caller.send_text(
        f'{{"type":"invokefunction","function_id":"{pair.function}","data":[{number}],"invocation_id":"{uuid.uuid4()}"}}'
    )
    await pair.callee.expect("invokefunction")
    assert f"[{number}]" in str(pair.callee.raw[-1])


async def test_metadata_passes_through_and_the_trace_goes_on(pair: Pair) -> None:
    trace = {"traceparent": TRACEPARENT, "baggage": "a=1,b=%20x"}
    invocation_id, invocation = await pair.deliver({}, **trace, metadata={"tenant": ["a", None]})
    _, trace_id, span_id, flags = invocation["traceparent"].split("-")
    assert (trace_id, flags) == (TRACEPARENT.split("-")[1], "03")
    assert span_id != TRACEPARENT.split("-")[2]  # that of the gateway's own span
    assert "a=1" in invocation["baggage"]
    assert invocation["metadata"] == {"tenant": ["a", None]}

    await pair.callee.answer(invocation, 1, traceparent="00-" + "1" * 32 + "-" + "2" * 16 + "-01")
    frame = await pair.caller.result(invocation_id)
    assert frame["traceparent"] == TRACEPARENT
    assert "a=1" in frame["baggage"]
    assert "metadata" not in frame


async def test_a_trace_that_is_not_sampled_passes_through(pair: Pair) -> None:
    trace = {"traceparent": f"{TRACEPARENT[:-1]}2", "baggage": "a=1,b=%20x"}
    invocation_id, invocation = await pair.deliver({}, **trace)
    assert {name: invocation[name] for name in trace} == trace
    await pair.callee.answer(invocation, 1)
    frame = await pair.caller.result(invocation_id)
    assert {name: frame[name] for name in trace} == trace


async def test_empty_trace_context_counts_as_absent(pair: Pair) -> None:
    invocation_id, invocation = await pair.deliver({}, traceparent="", baggage="", metadata=None)
    assert {*untraced(invocation)} == {"type", "invocation_id", "function_id", "data"}
    await pair.callee.answer(invocation)
    assert {*await pair.caller.result(invocation_id)} == {"type", "invocation_id", "function_id"}


async def test_namespace_and_action_do_not_reach_the_callee(pair: Pair) -> None:
    await pair.caller.send(
        "invokefunction", function_id=pair.function, data={}, namespace="default", action={"type": "void"}
    )
    assert {*untraced(await pair.callee.expect("invokefunction"))} == {"type", "invocation_id", "function_id", "data"}


@pytest.mark.parametrize(
    "members",
    [
        {},
        {"invocation_id": None},
        {"action": {"type": "void"}},
        {"action": {"type": "void"}, "invocation_id": None},
        {"action": {"type": "void"}, "invocation_id": str(uuid.uuid4())},
    ],
    ids=["no-id", "null-id", "void", "void-null-id", "void-with-id"],
)
async def test_a_call_that_wants_no_reply_gets_none(pair: Pair, members: Frame) -> None:
    await pair.caller.send("invokefunction", function_id=pair.function, data={}, **members)
    invocation = await pair.callee.expect("invokefunction")
    uuid.UUID(invocation["invocation_id"])
    await pair.callee.answer(invocation, "unwanted")
    # A later call of the same pair ends after anything this one may cause.
    later, invocation = await pair.deliver()
    await pair.callee.answer(invocation)
    await pair.caller.result(later)
    await pair.caller.nothing("invocationresult")


async def test_a_void_call_of_an_unknown_function_is_silent(pair: Pair) -> None:
    await pair.caller.send("invokefunction", function_id=f"{pair.function}::no", data={}, action={"type": "void"})
    reply = await pair.caller.result(await pair.caller.begin(f"{pair.function}::no"))
    assert reply["error"]["code"] == "function_not_found"
    await pair.caller.nothing("invocationresult")


async def test_an_unknown_function_is_named_in_the_error(pair: Pair) -> None:
    call = await pair.caller.begin(f"{pair.function}::no", {}, traceparent=TRACEPARENT)
    assert await pair.caller.result(call) == {
        "type": "invocationresult",
        "invocation_id": call,
        "function_id": f"{pair.function}::no",
        "error": {
            "code": "function_not_found",
            "message": f"Function {pair.function}::no not found in namespace default.",
        },
        "traceparent": TRACEPARENT,
    }


async def test_calls_may_be_answered_in_any_order(pair: Pair) -> None:
    calls = [await pair.deliver({"n": n}) for n in range(20)]
    for invocation_id, invocation in reversed(calls):
        await pair.callee.answer(invocation, invocation["data"]["n"])
        assert (await pair.caller.result(invocation_id))["result"] == invocation["data"]["n"]


async def test_the_first_answer_counts_whoever_gives_it(pair: Pair, shared_cluster: Cluster) -> None:
    for gateway in shared_cluster.gateways:
        async with raw_worker(gateway.url) as bystander:
            invocation_id, invocation = await pair.deliver()
            await bystander.answer(invocation, "from elsewhere")
            assert (await pair.caller.result(invocation_id))["result"] == "from elsewhere"
            await pair.callee.answer(invocation, "too late")
    later, invocation = await pair.deliver()
    await pair.callee.answer(invocation)
    await pair.caller.result(later)
    await pair.caller.nothing("invocationresult")


async def test_a_reused_id_ends_the_earlier_call(pair: Pair) -> None:
    invocation_id, first = await pair.deliver({"n": 1})
    again = {"function_id": pair.function, "invocation_id": invocation_id}
    await pair.caller.send("invokefunction", data={"n": 2}, **again)
    second = await pair.callee.expect("invokefunction")

    ended = await pair.caller.result(invocation_id)
    assert ended["error"] == {"code": "invocation_error", "message": "channel closed"}

    await pair.callee.answer(first, "first")
    await pair.callee.answer(second, "second")
    assert (await pair.caller.result(invocation_id))["result"] == "second"
    await pair.caller.nothing("invocationresult")


async def test_two_callers_may_use_the_same_id(pair: Pair, shared_cluster: Cluster) -> None:
    async with raw_worker(shared_cluster.gateways[1].url) as other:
        invocation_id, first = await pair.deliver({"n": 1})
        call = {"function_id": pair.function, "invocation_id": invocation_id, "data": {"n": 2}}
        await other.send("invokefunction", **call)
        second = await pair.callee.expect("invokefunction")
        await pair.callee.answer(second, "second")
        await pair.callee.answer(first, "first")
        assert (await other.result(invocation_id))["result"] == "second"
        assert (await pair.caller.result(invocation_id))["result"] == "first"


async def test_calls_end_when_the_callee_goes(pair: Pair) -> None:
    calls = [(await pair.deliver({"n": n}))[0] for n in range(3)]
    await pair.callee.abort()
    for call in calls:
        assert (await pair.caller.result(call)) == {
            "type": "invocationresult",
            "invocation_id": call,
            "function_id": pair.function,
            "error": {"code": "invocation_stopped", "message": "Invocation stopped"},
        }


async def test_the_callee_hears_nothing_of_a_caller_that_goes(pair: Pair) -> None:
    _, invocation = await pair.deliver()
    await pair.caller.abort()
    await pair.callee.answer(invocation, "nobody wants it")
    await pair.callee.flush()
    assert pair.callee.frames == []


async def test_a_message_of_twenty_megabytes_arrives_in_frames_that_clients_accept(pair: Pair) -> None:
    # Python clients before 0.25 would not take it: announce as one that does.
    await pair.callee.announce("large", version="0.25.0", features=["large-messages.v1"])
    await pair.caller.announce("large", version="0.25.0", features=["large-messages.v1"])
    text = "x" * (20 * 2**20)
    half = f'{{"type":"invokefunction","function_id":"{pair.function}","invocation_id":"{uuid.uuid4()}","data":"'
    parts = [half, *(text[at : at + 2**20] for at in range(0, len(text), 2**20)), '"}']
    await pair.caller.socket.send(parts)
    invocation = await pair.callee.expect("invokefunction")
    assert invocation["data"] == text


async def test_a_message_over_the_limit_costs_only_its_own_connection(pair: Pair, shared_cluster: Cluster) -> None:
    async with raw_worker(shared_cluster.gateways[0].url) as giant:
        await giant.register(f"{pair.function}::giant")
        await known(pair.caller, f"{pair.function}::giant")
        with contextlib.suppress(ConnectionClosed):
            await giant.socket.send("x" * (14 * 2**20) for _ in range(5))
        await giant.wait_closed()

        call, invocation = await pair.deliver()
        await pair.callee.answer(invocation, "fine")
        assert (await pair.caller.result(call))["result"] == "fine"


async def test_a_call_over_the_limit_of_an_old_python_client_fails_instead_of_closing_it(pair: Pair) -> None:
    """Python clients before 0.25 close their connection when a message has more than 1 MiB."""
    invocation_id = await pair.caller.begin(pair.function, "x" * (2 * 2**20))
    error = (await pair.caller.result(invocation_id))["error"]
    assert error["code"] == "payload_too_large"
    await pair.callee.flush()
    assert not pair.callee.closed
