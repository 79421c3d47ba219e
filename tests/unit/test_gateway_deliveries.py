import json
from typing import Any

import pytest

from gateway.deliveries import MAX_ERROR, MAX_NAMES, Deliveries, Leaving
from gateway.worker import Worker
from iii_cluster.bus.envelopes import Invoke, Refused, Result
from tests.support.gateway import FakeGateway, FakeOutlet

GATEWAY = "gateway-aaaaaaaa"
SECOND = "gateway-bbbbbbbb"
SHARD = "shard-00000001"
HEIR = "shard-00000002"
NODES = (GATEWAY, SECOND, SHARD, HEIR, "coordinator-00000001")


class Lab(FakeGateway):
    """A gateway with a worker that serves `f`."""

    def __init__(self, name: str = GATEWAY, reattach_window: float = 0.0) -> None:
        super().__init__(*NODES, name=name, reattach_window=reattach_window)
        self.worker, self.out = self.serving()
        self.invocations = self.core.invocations

    def serving(self) -> tuple[Worker, FakeOutlet]:
        worker, out = self.connect()
        self.say(worker, type="registerfunction", id="f")
        self.effects.take()
        return worker, out

    def deliver(self, node: str, id: str, name: str = "job", conn: int | None = None) -> None:
        conn = self.worker.number if conn is None else conn
        self.invocations.on_invoke(node, Invoke(id, conn, "f", b"{}", once=name))

    def calls(self) -> list[str]:
        """Invocations that reached the worker."""
        return [frame["invocation_id"] for frame in self.out.take() if frame["type"] == "invokefunction"]

    def answer(self, id: str, worker: Worker | None = None, **outcome: Any) -> None:
        self.say(worker or self.worker, type="invocationresult", invocation_id=id, function_id="f", **outcome)

    def told(self) -> list[tuple[str, Result]]:
        return [(node, e) for node, e in self.effects.take() if isinstance(e, Result)]


def test_a_delivery_repeated_while_it_is_served_is_answered_with_the_same_end() -> None:
    lab = Lab()
    lab.deliver(SHARD, "i-1")
    lab.deliver(HEIR, "i-2")
    assert lab.calls() == ["i-1"]
    assert not lab.told()
    lab.answer("i-1", result=1)
    assert sorted(lab.told(), key=lambda sent: sent[0]) == [
        (SHARD, Result("i-1", b"1")),
        (HEIR, Result("i-2", b"1")),
    ]


def test_a_delivery_repeated_after_its_end_is_answered_with_how_it_ended() -> None:
    lab = Lab()
    for name, outcome in (("good", {"result": 1}), ("bad", {"error": {"code": "c", "message": "m"}})):
        lab.deliver(SHARD, name, name)
        lab.answer(name, **outcome)
    lab.calls()
    lab.told()
    lab.deliver(HEIR, "i-3", "good")
    lab.deliver(HEIR, "i-4", "bad")
    assert not lab.calls()
    (_, good), (_, bad) = lab.told()
    assert good == Result("i-3")
    assert json.loads(bad.error) == {"code": "c", "message": "m"}


def test_a_delivery_is_remembered_though_its_worker_is_gone() -> None:
    lab = Lab()
    lab.deliver(SHARD, "i-1")
    conn = lab.worker.number
    lab.answer("i-1", result=1)
    lab.core.disconnect(lab.worker, back=False)
    lab.told()
    lab.deliver(HEIR, "i-2", conn=conn)
    assert lab.told() == [(HEIR, Result("i-2"))]


def test_what_a_worker_that_left_was_serving_has_ended_as_stopped() -> None:
    lab = Lab()
    lab.deliver(SHARD, "i-1")
    lab.core.disconnect(lab.worker, back=False)
    lab.told()
    serving, ended = lab.invocations.deliveries.find(HEIR, ["job"])
    assert not serving
    assert json.loads(ended["job"])["code"] == "invocation_stopped"


def test_a_refused_delivery_is_not_remembered() -> None:
    lab = Lab()
    lab.deliver(SHARD, "i-1", conn=99)
    assert len(lab.effects.take(Refused)) == 1
    assert lab.invocations.deliveries.find(HEIR, ["job"]) == ({}, {})


def test_who_finds_a_delivery_gets_its_end_instead_of_its_former_owner() -> None:
    lab = Lab()
    lab.deliver(SHARD, "i-1")
    assert lab.invocations.deliveries.find(HEIR, ["job", "other"]) == ({"job": "i-1"}, {})
    lab.answer("i-1", result=1)
    assert lab.told() == [(HEIR, Result("i-1", b"1"))]


def test_a_delivery_whose_owner_was_lost_can_be_found() -> None:
    lab = Lab()
    lab.deliver(SHARD, "i-1")
    lab.invocations.node_lost(SHARD, "lost")
    assert lab.invocations.deliveries.find(HEIR, ["job"])[0] == {"job": "i-1"}
    lab.answer("i-1", result=1)
    assert lab.told() == [(HEIR, Result("i-1", b"1"))]


def test_a_delivery_that_nobody_waits_for_any_more_is_remembered_when_it_ends() -> None:
    lab = Lab()
    lab.deliver(SHARD, "i-1")
    lab.invocations.node_lost(SHARD, "lost")
    lab.answer("i-1", error={"code": "c", "message": "m"})
    assert not lab.told()
    assert json.loads(lab.invocations.deliveries.find(HEIR, ["job"])[1]["job"])["code"] == "c"


def test_deliveries_follow_their_worker_to_another_gateway() -> None:
    here, there = Lab(reattach_window=2.0), Lab(SECOND, reattach_window=2.0)
    here.deliver(SHARD, "i-1")
    here.deliver(HEIR, "i-2")
    here.core.disconnect(here.worker, back=True, in_order=True)
    here.invocations.node_lost(SHARD, "lost")
    back, _ = there.serving()
    calls = here.invocations.adopt(here.worker.id, SECOND, back.number)
    assert calls == {"i-1": ""}
    named = here.invocations.deliveries.hand_over(calls)
    assert there.invocations.handover.serve(back.number, calls, json.loads(json.dumps(named)))
    here.invocations.losses.handed_over(here.worker.id, accepted=True)
    assert here.invocations.deliveries.find(HEIR, ["job"]) == ({}, {})
    there.answer("i-1", back, result=1)
    assert there.told() == [(HEIR, Result("i-2", b"1"))]
    assert there.invocations.deliveries.find(HEIR, ["job"]) == ({}, {"job": b""})


def test_nobody_is_promised_the_end_of_a_delivery_that_is_about_to_be_another_gateways() -> None:
    lab = Lab(reattach_window=5.0)
    lab.deliver(SHARD, "i-1")
    lab.core.disconnect(lab.worker, back=True, in_order=True)
    assert lab.invocations.adopt(lab.worker.id, SECOND, 1) == {"i-1": SHARD}
    deliveries = lab.invocations.deliveries
    with pytest.raises(Leaving):
        deliveries.find(HEIR, ["job"])
    assert deliveries.find(HEIR, ["other"]) == ({}, {})
    lab.invocations.losses.handed_over(lab.worker.id, accepted=True)
    assert deliveries.find(HEIR, ["job"]) == ({}, {})


def test_deliveries_follow_their_worker_to_its_next_connection() -> None:
    lab = Lab(reattach_window=2.0)
    lab.deliver(SHARD, "i-1")
    lab.core.disconnect(lab.worker, back=True, in_order=True)
    back, _ = lab.serving()
    lab.invocations.adopt(lab.worker.id, GATEWAY, back.number)
    lab.told()
    assert lab.invocations.deliveries.find(HEIR, ["job"])[0] == {"job": "i-1"}
    lab.answer("i-1", back, result=1)
    assert lab.told() == [(HEIR, Result("i-1", b"1"))]


def test_names_are_remembered_within_bounds() -> None:
    deliveries = Deliveries(GATEWAY, {}, lambda *_: None)
    names = [str(n) for n in range(MAX_NAMES + 1)]
    for name in names:
        deliveries.begin(name, f"i-{name}")
        deliveries.end(f"i-{name}", b"", b"")
    assert set(deliveries.find(HEIR, names)[1]) == set(names[1:])


def test_long_errors_are_remembered_in_short() -> None:
    deliveries = Deliveries(GATEWAY, {}, lambda *_: None)
    deliveries.begin("job", "i-1")
    deliveries.end("i-1", b"", json.dumps({"code": "c", "message": "m" * MAX_ERROR}).encode())
    error = deliveries.find(HEIR, ["job"])[1]["job"]
    assert len(error) < MAX_ERROR
    assert json.loads(error)["code"] == "c"
