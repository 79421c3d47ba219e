"""Whose provider of a trigger type hears of triggers, when workers of several realms provide it."""

import pytest

from iii_cluster.bus.envelopes import DropTriggerType, OfferTrigger, Owner, PutTriggerType, Trigger, WithdrawTrigger
from tests.support.shard import GATEWAYS, Lab, owner

A, B = GATEWAYS
FREE, GUEST, OTHER = owner(1), owner(2, B), owner(3)
T = Trigger("t", "webhook", "f")


@pytest.fixture
def lab() -> Lab:
    return Lab().filled()


def provide(lab: Lab, by: Owner, realm: str, stamp: int) -> None:
    lab.get(by.node, PutTriggerType(1, by, "default", "webhook", stamp, b"{}", realm))


def offered(lab: Lab) -> list[int]:
    return [offer.conn for offer in lab.effects.take(OfferTrigger)]


def test_a_provider_under_rules_takes_no_triggers_from_one_without(lab: Lab) -> None:
    provide(lab, FREE, "", 1)
    lab.bind(owner(9), T)
    assert offered(lab) == [FREE.conn]
    provide(lab, GUEST, "worker-2", 2)
    assert offered(lab) == []
    assert lab.effects.take(WithdrawTrigger) == []
    provide(lab, GUEST, "worker-2", 3)
    assert offered(lab) == []


def test_one_without_rules_takes_them_from_one_that_was_first(lab: Lab) -> None:
    provide(lab, GUEST, "worker-2", 5)
    lab.bind(owner(9), T)
    assert offered(lab) == [GUEST.conn]
    provide(lab, FREE, "", 1)
    assert offered(lab) == [FREE.conn]
    lab.get(FREE.node, DropTriggerType(FREE, "default", "webhook"))
    assert offered(lab) == [GUEST.conn]


def test_of_two_realms_the_first_keeps_them_whatever_it_says_again(lab: Lab) -> None:
    provide(lab, GUEST, "worker-2", 1)
    provide(lab, OTHER, "worker-3", 2)
    lab.bind(owner(9), T)
    assert offered(lab) == [GUEST.conn]
    provide(lab, GUEST, "worker-2", 3)
    provide(lab, OTHER, "worker-3", 4)
    assert offered(lab) == [GUEST.conn]
    lab.core.invariants()
