"""What a worker was serving when its connection was lost, and how its calls end."""

import uuid
from typing import Any

import pytest

from gateway.worker import Worker
from iii_cluster.bus.envelopes import Invoke, Result
from tests.support.gateway import FakeGateway

OTHER = "gateway-bbbbbbbb"
WINDOW = 2.0  # seconds


class Served:
    """A worker that was called from here and from another gateway, and has lost its connection."""

    def __init__(self, *, in_order: bool) -> None:
        self.gateway = FakeGateway(OTHER, "shard-00000001", reattach_window=WINDOW)
        self.core = self.gateway.core
        self.lost, outlet = self.gateway.connect()
        self.gateway.say(self.lost, type="registerfunction", id="f")
        caller, self.caller_out = self.gateway.connect()
        self.gateway.say(caller, type="invokefunction", function_id="f", invocation_id=str(uuid.uuid4()), data={})
        self.core.invocations.on_invoke(OTHER, Invoke("there", self.lost.number, "f", b"{}"))
        self.called = [frame["invocation_id"] for frame in outlet.take() if frame["type"] == "invokefunction"]
        assert len(self.called) == 2
        self.core.disconnect(self.lost, back=True, in_order=in_order)
        self.gateway.effects.take()

    def come_back(self) -> Worker:
        worker, _ = self.gateway.connect()
        assert not self.core.invocations.adopt(self.lost.id, self.core.node, worker.number)
        return worker

    def pass_window(self) -> None:
        self.core.invocations.expire(WINDOW)

    def errors(self) -> list[Any]:
        """Codes of the errors that callers here and there have got."""
        there = [b"invocation_stopped" in said.error for said in self.gateway.effects.take(Result)]
        return [frame["error"]["code"] for frame in self.caller_out.take()] + ["there"] * sum(there)


def _answer(gateway: FakeGateway, worker: Worker, invocation_id: str) -> None:
    gateway.say(worker, type="invocationresult", invocation_id=invocation_id, function_id="f", result=1)


def test_calls_that_may_have_been_swallowed_by_a_broken_socket_end_with_the_window() -> None:
    served = Served(in_order=False)
    served.come_back()
    assert not served.errors()
    served.pass_window()
    assert served.errors() == ["invocation_stopped", "there"]
    assert served.core.invocations.in_flight == 0
    assert served.core.invocations.kept == 0


def test_they_are_not_given_to_another_gateway_either() -> None:
    served = Served(in_order=False)
    assert not served.core.invocations.adopt(served.lost.id, OTHER, 7)
    served.pass_window()
    assert served.errors() == ["invocation_stopped", "there"]


@pytest.mark.parametrize("in_order", [True, False])
def test_an_answer_on_the_new_connection_counts(in_order: bool) -> None:
    served = Served(in_order=in_order)
    worker = served.come_back()
    for invocation_id in served.called:
        _answer(served.gateway, worker, invocation_id)
    assert [frame["result"] for frame in served.caller_out.take()] == [1]
    assert served.gateway.effects.take(Result) == [Result("there", b"1")]
    served.pass_window()
    assert not served.errors()
    assert served.core.invocations.kept == 0


def test_calls_of_a_connection_that_was_closed_in_order_take_their_time() -> None:
    served = Served(in_order=True)
    worker = served.come_back()
    served.pass_window()
    assert not served.errors()
    _answer(served.gateway, worker, served.called[0])
    assert [frame["result"] for frame in served.caller_out.take()] == [1]


def test_they_are_given_to_the_gateway_of_the_new_connection() -> None:
    served = Served(in_order=True)
    calls = served.core.invocations.adopt(served.lost.id, OTHER, 7)
    assert calls == {served.called[0]: served.core.node, "there": OTHER}


def test_without_a_next_connection_all_of_them_end_with_the_window() -> None:
    served = Served(in_order=True)
    served.pass_window()
    assert served.errors() == ["invocation_stopped", "there"]


def test_calls_that_are_back_before_they_were_seen_off_stay() -> None:
    served = Served(in_order=True)
    calls = served.core.invocations.adopt(served.lost.id, OTHER, 7)
    worker, _ = served.gateway.connect()
    assert served.core.invocations.handover.serve(worker.number, calls)
    served.core.invocations.losses.handed_over(served.lost.id, accepted=True)
    for invocation_id in served.called:
        _answer(served.gateway, worker, invocation_id)
    assert [frame["result"] for frame in served.caller_out.take()] == [1]
    assert served.gateway.effects.take(Result) == [Result("there", b"1")]
    assert not worker.serving
