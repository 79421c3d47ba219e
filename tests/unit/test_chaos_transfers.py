import random

import pytest

from iii_cluster.chaos.checks import check, transfers
from iii_cluster.chaos.effects import Transfer
from iii_cluster.chaos.history import OPEN
from iii_cluster.chaos.load.transfers import Ends, numbered
from tests.support.chaos_effects import Effects

BROKEN = {"finished": False, "sent": 6, "received": 4, "write_code": 1011, "read_code": 1011}


@pytest.fixture
def story() -> Effects:
    return Effects()


def broken(story: Effects) -> list[str]:
    return sorted({violation.check for violation in check(story.history)})


def test_whole_transfers_are_right(story: Effects) -> None:
    story.transfer(5)
    assert broken(story) == []


def test_anumbered_out_of_its_order_is_found(story: Effects) -> None:
    story.transfer(5, wrong="'3' where 2 was due", **BROKEN)
    story.fault("gateway-kill", 5.1, 6, "gateway-2")
    assert broken(story) == [transfers.ORDER]


@pytest.mark.parametrize("fields", [{"received": 9}, {"finished": False, "sent": 5, "received": 5}])
def test_a_good_end_of_half_a_transfer_is_found(story: Effects, fields: dict[str, object]) -> None:
    story.fault("gateway-kill", 5.1, 6, "gateway-2")
    story.transfer(5, **fields)
    assert broken(story) == [transfers.COMPLETE]


def test_a_transfer_that_does_not_end_is_found(story: Effects) -> None:
    story.fault("gateway-kill", 5.1, 6, "gateway-2")
    story.transfer(5, ended=OPEN)
    assert broken(story) == [transfers.ENDS]
    story.history.ended = OPEN
    assert broken(story) == []


@pytest.mark.parametrize("hit", ["gateway-1", "gateway-2"])
def test_a_transfer_fails_with_any_of_its_gateways(story: Effects, hit: str) -> None:
    story.transfer(5, "gateway-1", "gateway-2", "gateway-2", **BROKEN)
    assert broken(story) == [transfers.EXPLAINED]
    story.fault("gateway-kill", 5.1, 6, hit)
    assert broken(story) == []


def test_a_transfer_does_not_fail_with_another_gateway(story: Effects) -> None:
    story.transfer(5, "gateway-1", "gateway-1", "gateway-1", **BROKEN)
    story.fault("gateway-kill", 5.1, 6, "gateway-2")
    story.fault("redis-kill", 5.1, 6, "redis")
    story.fault("shard-kill", 5.1, 6, "shard-1")
    assert broken(story) == [transfers.EXPLAINED]


def test_redis_carries_what_goes_between_gateways(story: Effects) -> None:
    story.transfer(5, **BROKEN)
    story.fault("redis-kill", 5.1, 6, "redis")
    assert broken(story) == []


def test_an_end_at_a_gateway_nobody_knows_may_be_hit(story: Effects) -> None:
    story.transfer(5, "", "", "", trouble="writer: InvalidStatus", **BROKEN)
    story.fault("gateway-kill", 5.1, 6, "gateway-2")
    assert broken(story) == []


# What a reader takes


def received(*messages: str | bytes) -> Transfer:
    transfer = Transfer(n=1, call=1, at=0.0, home="", writer="", reader="", total=10)
    ends = Ends(transfer, random.Random(1))
    for message in messages:
        ends.take(message)
    return transfer


def testnumbereds_are_counted_as_long_as_they_are_the_ones_that_were_sent() -> None:
    transfer = received(*(numbered(number, size) for number, size in ((0, 40), (1, 16_384), (2, 40))))
    assert (transfer.received, transfer.wrong) == (3, "")


@pytest.mark.parametrize(
    "second",
    [numbered(2, 40), numbered(0, 40), numbered(1, 39), numbered(1, 40).decode()],  # type: ignore[union-attr]
)
def test_any_othernumbered_is_noted(second: str | bytes) -> None:
    transfer = received(numbered(0, 40), second, numbered(1, 40))
    assert transfer.received == 1
    assert transfer.wrong.endswith("where 1 was due")
