"""What becomes of calls whose connection is lost; tests/model/test_calls_survive.py tries every order of events."""

import json
import uuid
from typing import Any

import pytest

from gateway import kept
from gateway.reattach import same_secret
from gateway.worker import Worker
from iii_cluster.bus.envelopes import Deliver, FunctionOwners, Invoke, Owner, Result
from tests.support.gateway import FakeGateway, FakeOutlet, cluster_map

GATEWAY = "gateway-aaaaaaaa"
OTHER = "gateway-bbbbbbbb"
SHARD = "shard-00000001"
STOPPED = {"code": "invocation_stopped", "message": "Invocation stopped"}


@pytest.fixture
def gateway() -> FakeGateway:
    return FakeGateway(OTHER, SHARD, reattach_window=2.0)


def _serve(gateway: FakeGateway, function: str = "f") -> tuple[Worker, FakeOutlet]:
    worker, outlet = gateway.connect()
    gateway.say(worker, type="registerfunction", id=function)
    return worker, outlet


def _call(gateway: FakeGateway, caller: Worker, function: str = "f", **more: Any) -> str:
    invocation_id = str(uuid.uuid4())
    message: dict[str, Any] = {"function_id": function, "invocation_id": invocation_id, "data": 1, **more}
    gateway.say(caller, type="invokefunction", **message)
    return invocation_id


def _answer(gateway: FakeGateway, callee: Worker, frame: dict[str, Any], result: Any = 1) -> None:
    ids = {"invocation_id": frame["invocation_id"], "function_id": frame["function_id"]}
    gateway.say(callee, type="invocationresult", **ids, result=result)


def _lose(gateway: FakeGateway, worker: Worker, *, in_order: bool = True) -> None:
    gateway.core.disconnect(worker, back=True, in_order=in_order)


def _back(gateway: FakeGateway, old: Worker) -> tuple[Worker, FakeOutlet]:
    worker, outlet = gateway.connect()
    gateway.core.invocations.adopt(old.id, GATEWAY, worker.number)
    return worker, outlet


def _results(outlet: FakeOutlet) -> list[Any]:
    return [frame.get("result", frame.get("error")) for frame in outlet.take()]


def test_an_answer_that_comes_too_early_waits_for_the_new_connection(gateway: FakeGateway) -> None:
    callee, callee_out = _serve(gateway)
    caller, old_out = gateway.connect()
    invocation_id = _call(gateway, caller, traceparent="00-a-b-01", baggage="k=v")
    _lose(gateway, caller)
    _answer(gateway, callee, callee_out.take()[0])
    assert gateway.core.invocations.kept == 1
    _, out = _back(gateway, caller)
    (answer,) = out.take()
    assert answer["invocation_id"] == invocation_id
    assert (answer["result"], answer["traceparent"], answer["baggage"]) == (1, "00-a-b-01", "k=v")
    assert not old_out.take()
    assert gateway.core.invocations.kept == 0


def test_an_answer_that_comes_late_goes_to_the_new_connection(gateway: FakeGateway) -> None:
    callee, callee_out = _serve(gateway)
    caller, _ = gateway.connect()
    _call(gateway, caller)
    _lose(gateway, caller)
    worker, out = _back(gateway, caller)
    assert len(worker.calling) == 1
    gateway.core.invocations.expire(1000.0)
    _answer(gateway, callee, callee_out.take()[0])
    assert _results(out) == [1]
    assert not worker.calling


def test_answers_follow_to_another_gateway_and_are_cut_to_what_the_client_takes_there(gateway: FakeGateway) -> None:
    there = FakeGateway(GATEWAY, SHARD, name=OTHER, reattach_window=2.0)
    callee, callee_out = _serve(gateway)
    caller, _ = gateway.connect()
    calls = [_call(gateway, caller, traceparent="00-a-b-01") for _ in range(2)]
    _lose(gateway, caller)
    first, second = callee_out.take()
    _answer(gateway, callee, first, "small")
    worker, out = there.connect()
    worker.max_frame = 1000
    assert gateway.core.invocations.adopt(caller.id, OTHER, worker.number) == {}
    _answer(gateway, callee, second, "x" * 2000)
    for said in gateway.effects.take(Deliver):
        there.core.invocations.deliver(GATEWAY, said)
    small, large = out.take()
    assert (small["invocation_id"], small["result"]) == (calls[0], "small")
    assert (large["invocation_id"], large["error"]["code"]) == (calls[1], "payload_too_large")
    assert (large["function_id"], large["traceparent"]) == ("f", "00-a-b-01")
    gateway.core.invocations.expire(1000.0)
    assert gateway.core.invocations.kept == 0


def test_nothing_is_kept_longer_than_the_window(gateway: FakeGateway) -> None:
    callee, callee_out = _serve(gateway)
    caller, _ = gateway.connect()
    _call(gateway, caller)
    _call(gateway, caller)
    _lose(gateway, caller)
    first, second = callee_out.take()
    _answer(gateway, callee, first)
    gateway.core.invocations.expire(1.9)
    assert gateway.core.invocations.kept == 2
    gateway.core.invocations.expire(2.0)
    assert gateway.core.invocations.kept == 0
    _, out = _back(gateway, caller)
    _answer(gateway, callee, second)
    assert not out.take()
    assert gateway.core.invocations.in_flight == 0


def test_a_callee_that_does_not_come_back_ends_its_calls_when_the_window_is_over(gateway: FakeGateway) -> None:
    callee, _ = _serve(gateway)
    caller, out = gateway.connect()
    _call(gateway, caller)
    gateway.core.invocations.on_invoke(OTHER, Invoke("i-1", callee.number, "f", b"{}"))
    _lose(gateway, callee)
    gateway.core.invocations.expire(1.9)
    assert not out.take()
    gateway.core.invocations.expire(2.0)
    assert _results(out) == [STOPPED]
    (result,) = gateway.effects.take(Result)
    assert (result.id, json.loads(result.error)) == ("i-1", STOPPED)


def test_a_callee_that_is_back_answers_when_it_likes(gateway: FakeGateway) -> None:
    callee, callee_out = _serve(gateway)
    caller, out = gateway.connect()
    _call(gateway, caller)
    _lose(gateway, callee)
    worker, _ = _back(gateway, callee)
    gateway.core.invocations.expire(1000.0)
    assert worker.target.outstanding == 1
    _answer(gateway, worker, callee_out.take()[0])
    assert _results(out) == [1]
    assert worker.target.outstanding == 0


def test_a_worker_that_closes_its_connection_is_not_waited_for(gateway: FakeGateway) -> None:
    callee, callee_out = _serve(gateway)
    caller, out = gateway.connect()
    _call(gateway, caller)
    gateway.core.disconnect(callee, back=False)
    assert _results(out) == [STOPPED]
    callee, callee_out = _serve(gateway, "g")
    _call(gateway, caller, "g")
    gateway.core.disconnect(caller, back=False)
    _answer(gateway, callee, callee_out.take()[0])
    assert gateway.core.invocations.kept == gateway.core.invocations.in_flight == 0


def test_without_a_window_everything_ends_at_once() -> None:
    gateway = FakeGateway(OTHER, SHARD)
    callee, _ = _serve(gateway)
    caller, out = gateway.connect()
    _call(gateway, caller)
    gateway.core.send_away(callee)
    _lose(gateway, callee)
    assert _results(out) == [STOPPED]
    assert gateway.core.invocations.kept == 0


def test_answers_are_kept_from_the_moment_a_client_is_sent_away(gateway: FakeGateway) -> None:
    callee, callee_out = _serve(gateway)
    caller, old_out = gateway.connect()
    _call(gateway, caller)
    gateway.core.send_away(caller)
    _call(gateway, caller)  # what it sends before it answers our Close still counts
    for frame in callee_out.take():
        _answer(gateway, callee, frame)
    _lose(gateway, caller)
    _, out = _back(gateway, caller)
    assert _results(out) == [1, 1]
    assert not old_out.take()


def test_a_call_that_waits_for_its_shard_is_kept_and_made(gateway: FakeGateway) -> None:
    caller, _ = gateway.connect()
    _call(gateway, caller, "far")
    _lose(gateway, caller)
    worker, out = _back(gateway, caller)
    gateway.core.routes.on_owners(SHARD, FunctionOwners("function:default/far", 1, [Owner(OTHER, 5, "w")]))
    (invoke,) = gateway.effects.take(Invoke)
    gateway.core.invocations.on_remote_result(OTHER, Result(invoke.id, b"7"))
    assert _results(out) == [7]
    assert not worker.calling


def test_a_call_nobody_waits_for_any_more_is_not_made(gateway: FakeGateway) -> None:
    caller, _ = gateway.connect()
    _call(gateway, caller, "far")
    _call(gateway, caller, "far", action={"type": "void"}, data="void")
    gateway.core.disconnect(caller, back=False)
    gateway.core.routes.on_owners(SHARD, FunctionOwners("function:default/far", 1, [Owner(OTHER, 5, "w")]))
    (invoke,) = gateway.effects.take(Invoke)
    assert json.loads(invoke.data) == "void"  # it never wanted an answer


def test_an_id_that_is_used_again_after_the_return_ends_the_earlier_call(gateway: FakeGateway) -> None:
    callee, callee_out = _serve(gateway)
    caller, _ = gateway.connect()
    same = str(uuid.uuid4())
    _call(gateway, caller, invocation_id=same)
    _lose(gateway, caller)
    worker, out = gateway.connect()
    _call(gateway, worker, invocation_id=same)
    gateway.core.invocations.adopt(caller.id, GATEWAY, worker.number)
    assert _results(out) == [{"code": "invocation_error", "message": "channel closed"}]
    for frame in callee_out.take():
        _answer(gateway, callee, frame)
    assert _results(out) == [1]
    assert gateway.core.invocations.in_flight == 0


def test_an_engine_function_answers_whoever_its_caller_is_by_then(gateway: FakeGateway) -> None:
    done: list[Any] = []
    gateway.core.builtins["engine::slow"] = lambda _call, answer: done.append(answer)
    caller, _ = gateway.connect()
    _call(gateway, caller, "engine::slow")
    assert len(caller.calling) == 1
    _lose(gateway, caller)
    second, _ = _back(gateway, caller)
    _lose(gateway, second)
    done[0](b"3", b"")
    _, out = _back(gateway, second)
    assert _results(out) == [3]


def test_the_oldest_answers_go_when_too_much_is_kept(gateway: FakeGateway, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kept, "MAX_BYTES", 5000)
    callee, callee_out = _serve(gateway)
    caller, _ = gateway.connect()
    for _ in range(4):
        _call(gateway, caller)
    _lose(gateway, caller)
    for n, frame in enumerate(callee_out.take()):
        _answer(gateway, callee, frame, f"{n}" + "x" * 2000)
    _, out = _back(gateway, caller)
    assert [result[0] for result in _results(out)] == ["2", "3"]
    assert gateway.core.invocations._lost._budget.bytes == 0


def test_the_oldest_calls_are_forgotten_when_there_are_too_many(gateway: FakeGateway) -> None:
    callee, callee_out = _serve(gateway)
    caller, _ = gateway.connect()
    calls = [_call(gateway, caller) for _ in range(kept.MAX_CALLS + 5)]
    _lose(gateway, caller)
    assert gateway.core.invocations.kept == kept.MAX_CALLS
    for frame in callee_out.take():
        _answer(gateway, callee, frame)
    _, out = _back(gateway, caller)
    assert [frame["invocation_id"] for frame in out.take()] == calls[5:]


def test_the_token_of_a_lost_connection_proves_who_comes_back_once(gateway: FakeGateway) -> None:
    calls = gateway.core.invocations
    caller, _ = gateway.connect()
    assert not calls.proves(caller.id, caller.token, same_secret)  # it is not lost
    _lose(gateway, caller)
    assert calls.proves(caller.id, caller.token, same_secret)
    assert not calls.proves(caller.id, "another", same_secret)
    _back(gateway, caller)
    assert not calls.proves(caller.id, caller.token, same_secret)


def test_what_another_gateway_takes_over_is_its_to_end(gateway: FakeGateway) -> None:
    there = FakeGateway(GATEWAY, SHARD, name=OTHER, reattach_window=2.0)
    callee, _ = _serve(gateway)
    caller, out = gateway.connect()
    _call(gateway, caller)
    _lose(gateway, callee)
    worker, _ = there.connect()
    calls = gateway.core.invocations.adopt(callee.id, OTHER, worker.number)
    assert list(calls.values()) == [GATEWAY]
    assert gateway.core.invocations.kept == 1  # a drain waits until it is handed over
    assert gateway.core.invocations.handover.moved(list(calls), OTHER, worker.number) == list(calls)
    assert there.core.invocations.handover.serve(worker.number, calls)
    gateway.core.invocations.losses.handed_over(callee.id, accepted=True)
    gateway.core.invocations.expire(1000.0)
    assert gateway.core.invocations.kept == 0
    there.core.disconnect(worker, back=False)
    (result,) = there.effects.take(Result)
    gateway.core.invocations.on_remote_result(OTHER, result)
    assert _results(out) == [STOPPED]


def test_what_no_gateway_takes_over_is_stopped(gateway: FakeGateway) -> None:
    callee, _ = _serve(gateway)
    caller, out = gateway.connect()
    _call(gateway, caller)
    _lose(gateway, callee)
    gateway.core.invocations.adopt(callee.id, OTHER, 99)
    gateway.core.invocations.losses.handed_over(callee.id, accepted=False)
    assert _results(out) == [STOPPED]


def test_a_call_that_moved_ends_with_the_gateway_it_moved_to(gateway: FakeGateway) -> None:
    third = "gateway-cccccccc"
    gateway.use(cluster_map(GATEWAY, OTHER, third, SHARD, epoch=2))
    caller, out = gateway.connect()
    _call(gateway, caller, "far")
    gateway.core.routes.on_owners(SHARD, FunctionOwners("function:default/far", 1, [Owner(OTHER, 5, "w")]))
    (invoke,) = gateway.effects.take(Invoke)
    gateway.core.invocations.handover.moved([invoke.id], third, 6)
    gateway.use(cluster_map(GATEWAY, third, SHARD, epoch=3))
    assert not out.take()
    gateway.use(cluster_map(GATEWAY, SHARD, epoch=4))
    assert third in _results(out)[0]["message"]


def test_a_call_that_moves_to_a_gateway_that_has_left_ends(gateway: FakeGateway) -> None:
    third = "gateway-cccccccc"
    gateway.use(cluster_map(GATEWAY, OTHER, third, SHARD, epoch=2))
    caller, out = gateway.connect()
    _call(gateway, caller, "far")
    gateway.core.routes.on_owners(SHARD, FunctionOwners("function:default/far", 1, [Owner(OTHER, 5, "w")]))
    (invoke,) = gateway.effects.take(Invoke)
    gateway.use(cluster_map(GATEWAY, OTHER, SHARD, epoch=3))
    assert not gateway.core.invocations.handover.moved([invoke.id], third, 6)
    assert third in _results(out)[0]["message"]
    assert gateway.core.invocations.in_flight == 0
