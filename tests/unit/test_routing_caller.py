"""Calls of functions from a node without workers: found, sent, and followed to their end."""

import json

import pytest

from iii_cluster.bus.envelopes import Congested, FunctionOwners, Invoke, Refused, Result, Watch
from iii_cluster.routing import caller as callers
from iii_cluster.routing import waiting
from iii_cluster.routing.caller import MAX_REFUSALS, PATIENCE
from iii_cluster.routing.ids import maker_of
from tests.support.caller import KEY, ME, SHARD, A, B, Lab, cluster_map, owner

# -- the usual way


def test_a_call_is_sent_to_who_serves_the_function_and_ends_with_the_result() -> None:
    lab = Lab()
    lab.call(data=b"7", metadata=b'"m"', traceparent=b'"t"', baggage=b'"b"', once="job-1")
    assert lab.sent == [(SHARD, Watch(1, [KEY]))]
    lab.owners(owner(A, 3))
    node, invoke = lab.taken_one()
    assert (node, invoke.conn, invoke.function, invoke.data, invoke.namespace) == (A, 3, "f", b"7", "default")
    assert (invoke.metadata, invoke.traceparent, invoke.baggage, invoke.once) == (b'"m"', b'"t"', b'"b"', "job-1")
    lab.get(A, Result(invoke.id, b"42"))
    lab.get(A, Result(invoke.id, b"43"))
    assert lab.ends["call"] == [(b"42", b"")]
    assert len(lab.caller) == 0


def test_the_id_of_a_call_names_the_node_that_waits_for_its_end() -> None:
    lab = Lab()
    lab.call()
    lab.owners(owner(A))
    assert maker_of(lab.taken_one()[1].id, cluster_map(1, B)) == ME


def test_calls_are_spread_by_what_is_outstanding() -> None:
    lab = Lab().known(owner(A), owner(B))
    for number in range(4):
        lab.call(str(number))
    sent = lab.taken()
    assert sorted(node for node, _ in sent) == [A, A, B, B]
    for node, invoke in sent:
        if node == A:
            lab.get(node, Result(invoke.id))
    lab.call("next")
    assert lab.taken_one()[0] == A


def test_an_error_is_passed_on_as_it_is() -> None:
    lab = Lab().known(owner(A))
    lab.call()
    lab.get(A, Result(lab.taken_one()[1].id, b"", b'{"code":"NO"}'))
    assert lab.ends["call"] == [(b"", b'{"code":"NO"}')]


def test_a_function_nobody_serves_is_told_with_where_else_it_is() -> None:
    lab = Lab()
    lab.call()
    lab.owners()
    node, invoke = lab.taken_one()
    assert invoke.conn == 0
    lab.get(node, Refused(invoke))
    assert lab.sent == [(SHARD, Watch(1, [KEY]))]
    lab.owners(elsewhere=("shop",))
    assert lab.error()["code"] == "function_not_found"
    assert "namespace(s): shop" in lab.error()["message"]


def test_a_call_whose_end_nobody_waits_for_goes_on_without_telling() -> None:
    lab = Lab()
    lab.call().forget()
    lab.owners(owner(A))
    lab.get(A, Result(lab.taken_one()[1].id, b"1"))
    assert lab.ends["call"] == []
    assert len(lab.caller) == 0


@pytest.mark.parametrize("obstacle", ["lookup", "link", "refusal"])
def test_a_named_delivery_that_is_left_to_the_next_owner_is_not_sent_any_more(obstacle: str) -> None:
    lab = Lab() if obstacle == "lookup" else Lab().known(owner(A), owner(B))
    if obstacle == "link":
        lab.full |= {A, B}
    call = lab.call(once="job")
    if obstacle == "refusal":
        node, invoke = lab.taken_one()
        call.forget()
        lab.get(node, Refused(invoke))
    else:
        call.forget()
    lab.owners(owner(A))
    lab.full.clear()
    lab.caller.on_congestion(A, False)
    lab.caller.on_congestion(B, False)
    assert lab.taken() == []
    assert (len(lab.caller), lab.caller.waiting) == (0, 0)
    assert lab.ends["call"] == []


def test_a_named_delivery_that_nobody_ever_waited_for_is_sent() -> None:
    lab = Lab()
    lab.caller.call("f", b"1", once="event")
    lab.owners(owner(A))
    assert lab.taken_one()[1].once == "event"


def test_calls_that_nobody_waits_for_are_not_followed_for_ever(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(callers, "MAX_UNAWAITED", 3)
    lab = Lab().known(owner(A))
    awaited = lab.call()
    for _ in range(10):
        lab.caller.call("f", b"1")
        lab.call("forgotten").forget()
    assert len(lab.caller) == 4
    assert awaited.target is not None
    assert awaited.target.outstanding == 4


def test_a_failing_listener_harms_nobody(caplog: pytest.LogCaptureFixture) -> None:
    lab = Lab().known(owner(A))

    def fail(_result: bytes, _error: bytes) -> None:
        raise LookupError

    lab.caller.call("f", b"1", fail)
    lab.call()
    for node, invoke in lab.taken():
        lab.get(node, Result(invoke.id))
    assert lab.ends["call"] == [(b"", b"")]
    assert "call_end_failed" in caplog.text


# -- refusals


def test_a_refused_call_follows_the_function_to_where_it_is_now() -> None:
    lab = Lab().known(owner(A))
    lab.call(data=b"7", metadata=b'"m"')
    lab.get(A, Refused(lab.taken_one()[1]))
    assert lab.sent == [(SHARD, Watch(1, [KEY]))]
    lab.owners(owner(B))
    node, invoke = lab.taken_one()
    assert (node, invoke.data, invoke.metadata) == (B, b"7", b'"m"')


def test_a_call_that_is_refused_again_and_again_fails() -> None:
    lab = Lab().known(owner(A))
    lab.call()
    attempts = 0
    while sent := lab.taken():
        attempts += 1
        lab.get(A, Refused(sent[0][1]))
        lab.owners(owner(A))
    assert attempts == MAX_REFUSALS + 1
    assert lab.error()["code"] == "function_not_found"


def test_a_refusal_of_what_has_ended_is_nothing() -> None:
    lab = Lab().known(owner(A))
    lab.call()
    invoke = lab.taken_one()[1]
    lab.get(A, Result(invoke.id))
    lab.get(A, Refused(invoke))
    assert lab.taken() == []


# -- losses


def test_calls_at_a_gateway_that_is_lost_are_stopped() -> None:
    lab = Lab().known(owner(A), owner(B))
    lab.call("one")
    lab.call("two")
    nodes = {node for node, _ in lab.taken()}
    assert nodes == {A, B}
    lab.caller.on_map(cluster_map(2, B))
    ended = [name for name in ("one", "two") if lab.ends[name]]
    assert len(ended) == 1
    assert lab.error(ended[0]) == {
        "code": "invocation_stopped",
        "message": "Invocation stopped: its gateway was lost",
    }


def test_calls_over_a_link_that_is_reset_are_stopped() -> None:
    lab = Lab().known(owner(A))
    lab.call()
    lab.caller.on_reset(A)
    assert lab.error()["code"] == "invocation_stopped"


def test_calls_at_a_node_that_no_map_names_are_stopped_when_nobody_listens_there() -> None:
    lab = Lab().known(owner("gateway-0000000c"))
    lab.call()
    lab.caller.on_reachable("gateway-0000000c", False)
    assert lab.error()["code"] == "invocation_stopped"


def test_calls_that_moved_with_their_worker_end_with_its_new_gateway() -> None:
    lab = Lab().known(owner(A))
    lab.call("stays")
    lab.call("moves")
    stays, moves = (invoke.id for _, invoke in lab.taken())
    assert lab.caller.moved([moves, "unknown"], B, 9) == [moves]
    lab.caller.on_map(cluster_map(2, B))
    assert lab.error("stays")["code"] == "invocation_stopped"
    assert lab.ends["moves"] == []
    lab.get(B, Result(moves, b"1"))
    assert lab.ends["moves"] == [(b"1", b"")]
    assert stays != moves


def test_who_asks_is_told_where_a_call_is() -> None:
    lab = Lab().known(owner(A), owner(B))
    told: list[str] = []
    lab.full = {A, B}
    lab.call(sent=told.append)
    assert told == []
    lab.full = set()
    for gateway in (A, B):
        lab.caller.on_congestion(gateway, False)
    first, invoke = lab.taken_one()
    lab.get(first, Refused(invoke))
    second, _ = lab.taken_one()
    assert lab.caller.moved([invoke.id], first, 9) == [invoke.id]
    assert told == [first, "", second, first]


def test_calls_that_moved_to_a_gateway_that_is_gone_by_now_are_stopped() -> None:
    lab = Lab().known(owner(A))
    lab.call()
    id = lab.taken_one()[1].id
    lab.caller.on_map(cluster_map(2, A))
    assert lab.caller.moved([id], B, 9) == []
    assert lab.error()["code"] == "invocation_stopped"


def test_all_calls_end_when_the_node_does() -> None:
    lab = Lab().known(owner(A))
    lab.call("sent")
    lab.full.add(A)
    lab.call("parked")
    lab.call("asked", function="g")
    lab.caller.close("this shard stops")
    assert {lab.error(name)["message"] for name in lab.ends if name != "first"} == {
        "Invocation stopped: this shard stops"
    }
    lab.get(SHARD, FunctionOwners("function:default/g", 1, [owner(A)]))
    assert [said for _, said in lab.sent if isinstance(said, Invoke) and said.function == "g"] == []


# -- calls that others made


def test_the_end_of_a_call_that_another_node_made_is_told_here() -> None:
    lab = Lab()
    ends: list[tuple[bytes, bytes]] = []
    lab.caller.expect("theirs", A, lambda result, error: ends.append((result, error)))
    assert lab.caller.moved(["theirs"], B, 4) == ["theirs"]
    lab.get(B, Result("theirs", b"1"))
    assert ends == [(b"1", b"")]


def test_a_call_that_another_node_made_ends_with_its_gateway() -> None:
    lab = Lab()
    ends: list[bytes] = []
    lab.caller.expect("theirs", A, lambda _, error: ends.append(error))
    lab.caller.on_map(cluster_map(2, B))
    lab.caller.expect("too late", A, lambda _, error: ends.append(error))
    assert len(ends) == 1
    lab.caller.expire(101.0)
    assert [json.loads(error)["code"] for error in ends] == ["invocation_stopped"] * 2


def test_a_call_of_ones_own_that_is_adopted_tells_both() -> None:
    lab = Lab().known(owner(A))
    lab.call()
    id = lab.taken_one()[1].id
    ends: list[bytes] = []
    lab.caller.expect(id, A, lambda result, _: ends.append(result))
    lab.get(A, Result(id, b"1"))
    assert lab.ends["call"] == [(b"1", b"")]
    assert ends == [b"1"]


def test_an_end_that_comes_before_it_is_expected_is_kept_while_somebody_adopts() -> None:
    lab = Lab()
    lab.get(A, Result("before", b"1"))
    with lab.caller.early.kept() as early:
        lab.get(A, Result("meanwhile", b"1"))
        assert early == {"meanwhile": (b"1", b"")}


def test_a_call_that_moves_while_it_is_being_adopted_ends_with_its_new_gateway() -> None:
    lab = Lab()
    ends: list[bytes] = []
    with lab.caller.early.kept():
        assert lab.caller.moved(["theirs"], B, 4) == ["theirs"]
        lab.caller.expect("theirs", A, lambda result, error: ends.append(result or error))
    lab.caller.on_map(cluster_map(2, B))
    assert ends == []
    lab.caller.on_map(cluster_map(3))
    assert json.loads(ends[0])["code"] == "invocation_stopped"
    assert lab.caller.moved(["another"], B, 4) == []


# -- calls that wait


def test_a_lookup_that_no_shard_answers_fails_after_a_while() -> None:
    lab = Lab()
    lab.call()
    lab.caller.expire(100.0 + PATIENCE)
    assert lab.ends["call"] == []
    lab.caller.expire(100.1 + PATIENCE)
    assert lab.error()["code"] == "TIMEOUT"


def test_a_call_waits_for_a_node_that_nobody_listens_at() -> None:
    lab = Lab().known(owner(A))
    lab.caller.on_reachable(A, False)
    lab.call()
    assert lab.taken() == []
    assert lab.caller.waiting == 1
    lab.caller.on_reachable(A, True)
    assert lab.taken_one()[0] == A
    assert lab.caller.waiting == 0


def test_a_call_that_was_not_sent_finds_another_gateway_when_its_own_is_lost() -> None:
    lab = Lab().known(owner(A))
    lab.caller.on_reachable(A, False)
    lab.call()
    lab.caller.on_map(cluster_map(2, B))
    lab.owners(owner(B))
    assert lab.taken_one()[0] == B


def test_a_call_does_not_wait_when_somebody_else_serves_it_by_now() -> None:
    lab = Lab().known(owner(A))
    lab.caller.on_reachable(A, False)
    lab.call()
    lab.owners(owner(A), owner(B))
    lab.caller.expire(100.2)
    assert lab.taken_one()[0] == B


def test_a_call_waits_only_so_long_for_a_node() -> None:
    lab = Lab().known(owner(A))
    lab.caller.on_reachable(A, False)
    lab.call()
    lab.caller.expire(100.0 + PATIENCE)
    assert lab.ends["call"] == []
    lab.caller.expire(100.1 + PATIENCE)
    assert "cannot be reached" in lab.error()["message"]


def test_a_call_waits_for_a_worker_that_does_not_keep_up_as_long_as_it_takes() -> None:
    lab = Lab().known(owner(A))
    lab.get(A, Congested(1, True))
    lab.call()
    lab.caller.expire(100.0 + 10 * PATIENCE)
    assert lab.taken() == []
    lab.get(A, Congested(1, False))
    assert lab.taken_one()[0] == A


def test_calls_avoid_a_worker_that_does_not_keep_up() -> None:
    lab = Lab().known(owner(A), owner(B))
    lab.get(A, Congested(1, True))
    for number in range(3):
        lab.call(str(number))
    assert {node for node, _ in lab.taken()} == {B}


def test_what_a_gateway_said_of_its_workers_is_forgotten_with_the_link() -> None:
    lab = Lab().known(owner(A))
    lab.get(A, Congested(1, True))
    lab.call()
    lab.caller.on_reset(A)
    assert lab.taken_one()[0] == A


def test_a_call_waits_for_a_link_that_is_full() -> None:
    lab = Lab().known(owner(A))
    lab.full.add(A)
    lab.call()
    assert lab.taken() == []
    lab.full.clear()
    lab.caller.on_congestion(A, False)
    assert lab.taken_one()[0] == A


def test_waiting_calls_keep_their_order() -> None:
    lab = Lab().known(owner(A))
    lab.full.add(A)
    for number in range(5):
        lab.call(str(number), data=b"%d" % number)
    lab.full.clear()
    lab.caller.expire(100.2)
    assert [invoke.data for _, invoke in lab.taken()] == [b"0", b"1", b"2", b"3", b"4"]


@pytest.mark.parametrize(("limit", "value"), [("MAX_WAITING", 2), ("MAX_BYTES", 25)])
def test_too_many_calls_that_wait_fail_but_not_before_their_maker_knows_them(
    monkeypatch: pytest.MonkeyPatch, limit: str, value: int
) -> None:
    monkeypatch.setattr(waiting, limit, value)
    lab = Lab()
    for number in range(4):
        lab.call(str(number), data=b"0123456789")
    assert all(not lab.ends[str(number)] for number in range(4))
    lab.caller.expire(100.2)
    assert [bool(lab.ends[str(number)]) for number in range(4)] == [False, False, True, True]
    assert "too many calls" in lab.error("3")["message"]
    lab.owners(owner(A))
    assert len(lab.taken()) == 2
    lab.call("later", function="g", data=b"0123456789")
    lab.caller.expire(100.4)
    assert lab.ends["later"] == []


def test_a_call_that_waits_alone_may_be_of_any_size(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(waiting, "MAX_BYTES", 10)
    lab = Lab()
    lab.call("big", data=b"1" * 11)
    lab.call("another", data=b"1")
    lab.caller.expire(101.0)
    assert lab.ends["big"] == []
    assert lab.error("another")["code"] == "invocation_stopped"
    lab.owners(owner(A))
    assert lab.taken_one()[1].data == b"1" * 11


def test_too_many_calls_that_wait_for_a_gateway_fail(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(waiting, "MAX_PARKED", 1)
    lab = Lab().known(owner(A))
    lab.full.add(A)
    lab.call("one")
    lab.call("two")
    lab.caller.expire(100.2)
    assert lab.ends["one"] == []
    assert "too many calls" in lab.error("two")["message"]
    lab.full.clear()
    lab.caller.on_congestion(A, False)
    assert len(lab.taken()) == 1
    assert lab.caller.waiting == 0


def test_whoever_asks_hears_when_nothing_waits_any_more() -> None:
    lab = Lab()
    idle: list[int] = []
    lab.caller.on_idle = lambda: idle.append(lab.caller.waiting)
    lab.call("one")
    lab.call("two", function="g")
    lab.owners(owner(A))
    assert idle == []
    lab.get(SHARD, FunctionOwners("function:default/g", 1, []))
    assert idle == [0]


# -- functions of modules


def test_functions_of_modules_are_called_at_all_gateways_in_turn() -> None:
    lab = Lab(module_functions=frozenset({"state::get"}))
    for number in range(4):
        lab.call(str(number), function="state::get")
    sent = lab.taken()
    assert sorted(node for node, _ in sent) == [A, A, B, B]
    assert {invoke.conn for _, invoke in sent} == {0}
    lab.get(A, Result(next(invoke.id for node, invoke in sent if node == A), b"1"))
    assert sum(ends == [(b"1", b"")] for ends in lab.ends.values()) == 1


def test_a_function_that_no_worker_has_may_be_a_gateways() -> None:
    lab = Lab()
    lab.call(data=b"7")
    lab.owners()
    node, invoke = lab.taken_one()
    assert (node in (A, B), invoke.conn, invoke.data) == (True, 0, b"7")
    lab.get(node, Result(invoke.id, b"1"))
    assert lab.ends["call"] == [(b"1", b"")]


def test_a_function_of_another_namespace_is_no_gateways() -> None:
    lab = Lab()
    lab.call(namespace="shop")
    lab.get(SHARD, FunctionOwners("function:shop/f", 1, []))
    assert lab.error()["code"] == "function_not_found"


def test_what_is_named_is_asked_of_the_same_gateway_whoever_does() -> None:
    nodes = []
    for gateways in ((A, B), (B, A)):
        lab = Lab(*gateways)
        for number in range(20):
            lab.call(function=f"f{number}", once=f"gone:{number}", names_target=True)
            lab.get(SHARD, FunctionOwners(f"function:default/f{number}", 1, []))
        nodes.append([node for node, _ in lab.taken()])
    assert nodes[0] == nodes[1]
    assert set(nodes[0]) == {A, B}


def test_a_function_of_another_namespace_is_not_the_modules() -> None:
    lab = Lab(module_functions=frozenset({"state::get"}))
    lab.call(function="state::get", namespace="shop")
    assert lab.sent == [(SHARD, Watch(1, ["function:shop/state::get"]))]


def test_functions_of_modules_are_not_called_at_gateways_that_leave_or_are_silent() -> None:
    lab = Lab(module_functions=frozenset({"state::get"}))
    lab.caller.on_map(cluster_map(2, A, B, draining=A))
    lab.call("one", function="state::get")
    lab.caller.on_map(cluster_map(3, A, B))
    lab.caller.on_reachable(A, False)
    lab.call("two", function="state::get")
    lab.call("three", function="state::get")
    assert {node for node, _ in lab.taken()} == {B}


def test_a_gateway_that_leaves_still_answers_when_there_is_no_other() -> None:
    lab = Lab(A, module_functions=frozenset({"state::get"}))
    lab.caller.on_map(cluster_map(2, A, draining=A))
    lab.call(function="state::get")
    assert lab.taken_one()[0] == A


def test_a_gateway_that_refuses_a_function_of_a_module_is_not_the_only_one() -> None:
    lab = Lab(module_functions=frozenset({"state::get"}))
    lab.call(function="state::get")
    nodes = set()
    for _ in range(4):
        node, invoke = lab.taken_one()
        nodes.add(node)
        lab.get(node, Refused(invoke))
    assert nodes == {A, B}


def test_functions_of_modules_wait_for_a_gateway() -> None:
    lab = Lab(module_functions=frozenset({"state::get"}))
    lab.caller.on_map(cluster_map(2))
    lab.call("one", function="state::get")
    lab.caller.on_map(cluster_map(3, B))
    assert lab.taken_one()[0] == B
    lab.caller.on_map(cluster_map(4))
    lab.call("two", function="state::get")
    lab.caller.expire(101.0 + PATIENCE)
    assert "there is no gateway" in lab.error("two")["message"]


def test_calls_of_module_functions_at_a_gateway_that_is_lost_are_stopped() -> None:
    lab = Lab(A, module_functions=frozenset({"state::get"}))
    lab.call(function="state::get")
    lab.caller.on_map(cluster_map(2, B))
    assert lab.error()["code"] == "invocation_stopped"
