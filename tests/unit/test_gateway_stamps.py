"""What was registered first is first for everybody, however fast the next one followed."""

import time

import pytest

from gateway.stamps import Stamps
from iii_cluster.bus.envelopes import BindTrigger, PutFunction
from tests.support.gateway import FakeGateway


def test_registrations_of_one_moment_have_their_order(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(time, "time_ns", lambda: 1_700_000_000_000_000_000)
    gateway = FakeGateway()
    worker, _ = gateway.connect()
    other, _ = gateway.connect()
    gateway.effects.take()
    for id in ("c", "b", "a"):
        gateway.say(worker, type="registertrigger", id=id, trigger_type="t", function_id="f", config={})
        gateway.say(other, type="registerfunction", id=id)
    sent = [envelope for _, envelope in gateway.effects.take()]
    bound = [(said.stamp, said.trigger.id) for said in sent if isinstance(said, BindTrigger)]
    assert [id for _, id in sorted(bound)] == ["c", "b", "a"]
    put = [(said.stamp, said.id) for said in sent if isinstance(said, PutFunction)]
    assert [id for _, id in sorted(put)] == ["c", "b", "a"]


def test_stamps_follow_the_clock_and_never_go_back_with_it(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = iter([5_000_000, 5_000_000, 9_000_000, 1_000_000])
    monkeypatch.setattr(time, "time_ns", lambda: next(clock))
    stamps = Stamps()
    assert [stamps.next() for _ in range(4)] == [5_000, 5_001, 9_000, 9_001]
