"""What a gateway writes about its clients, and what it makes of the replies."""

import asyncio
from collections.abc import Iterable
from typing import Any, cast

import pytest
from msgspec import Raw

from iii_cluster.modules.stream.hooks import Membership
from iii_cluster.modules.stream.presence import Presence
from iii_cluster.redis.commands import Commands, Unavailable
from iii_cluster.redis.script import Script
from tests.support.engine import FakeCluster

DEAD, KEPT, UNKNOWN = 0, 1, 2


class Replies:
    """Commands that are answered as the test says; else the lease is kept, and nobody was told of."""

    def __init__(self) -> None:
        self.coming: list[int | Exception] = []
        self.told: list[int] = []
        self.written: list[tuple[str, list[int], list[int]]] = []  # name, who left, who joined
        self.ended: list[str] = []

    async def run(self, script: Script, _keys: Iterable[str], arguments: Iterable[Any], *, again: bool) -> Any:
        assert again
        await asyncio.sleep(0)
        name, *rest = arguments
        if script.name == "presence_end.lua":
            self.ended.append(name)
            return [str(number).encode() for number in self.told]
        left = 2 + rest[1]
        self.written.append((name, rest[2:left], rest[left::2]))
        reply = self.coming.pop(0) if self.coming else KEPT
        if isinstance(reply, Exception):
            raise reply
        return reply


@pytest.fixture
def replies() -> Replies:
    return Replies()


@pytest.fixture
def presence(replies: Replies) -> Presence:
    return Presence(FakeCluster().node(), cast(Commands, replies))


def membership(id: str = "") -> Membership:
    return Membership(id, "chat", "room", None, Raw(b"null"))


def nobody() -> None:
    raise AssertionError("nobody was told of")


async def written(presence: Presence) -> None:
    while presence._task is not None:
        await presence._task


async def test_nothing_is_written_while_nobody_has_joined(presence: Presence, replies: Replies) -> None:
    presence.prolong()
    await written(presence)
    await presence.close()
    assert not replies.written
    assert not replies.ended


async def test_what_happens_meanwhile_is_written_together(presence: Presence, replies: Replies) -> None:
    first = presence.joined(membership(), nobody)
    await asyncio.sleep(0)
    stays = [presence.joined(membership(), nobody) for _ in range(3)]
    presence.left(first)
    presence.left(stays[0])
    presence.left(stays[0])
    await written(presence)
    assert [(sorted(left), joined) for _, left, joined in replies.written] == [([], [1]), ([1, 2], [3, 4])]


async def test_what_could_not_be_written_is_written_with_the_next_lease(presence: Presence, replies: Replies) -> None:
    stay = presence.joined(membership(), nobody)
    await written(presence)
    replies.coming = [Unavailable("away", maybe=True), Unavailable("away", maybe=True)]
    presence.left(stay)
    await written(presence)
    presence.joined(membership(), nobody)
    await written(presence)
    presence.prolong()
    await written(presence)
    _, left, joined = replies.written[-1]
    assert (left, joined) == ([1], [2])


async def test_all_are_written_anew_when_the_lease_was_not_known_any_more(presence: Presence, replies: Replies) -> None:
    replies.coming = [UNKNOWN]
    for _ in range(1200):
        presence.joined(membership(), nobody)
    await written(presence)
    assert [len(joined) for _, _, joined in replies.written] == [500, 500, 200]
    replies.written, replies.coming = [], [UNKNOWN]
    presence.prolong()
    await written(presence)
    assert [len(joined) for _, _, joined in replies.written] == [0, 500, 500, 200]


async def test_one_that_was_taken_for_dead_goes_on_under_another_name(presence: Presence, replies: Replies) -> None:
    told: list[int] = []
    stays = [presence.joined(membership(), lambda n=n: told.append(n)) for n in range(3)]  # type: ignore[misc]
    await written(presence)
    departures = [stay.departure for stay in stays]
    old = replies.written[0][0]
    replies.coming, replies.told = [DEAD], [2, 77]
    presence.prolong()
    await written(presence)
    assert replies.ended == [old]
    assert told == [1]
    assert replies.written[-1][0] != old
    assert replies.written[-1][2] == [1, 3]
    changed = [stay.departure != before for stay, before in zip(stays, departures, strict=True)]
    assert changed == [True, False, True]
    presence.left(stays[1])
    await written(presence)
    assert replies.written[-1][2] == [1, 3]


async def test_a_name_is_given_up_in_the_end_unless_somebody_is_still_recorded(
    presence: Presence, replies: Replies
) -> None:
    stay = presence.joined(membership(), nobody)
    await written(presence)
    presence.left(stay)
    await presence.close()
    assert replies.written[-1][1] == [1]
    assert len(replies.ended) == 1
    presence.prolong()
    presence.joined(membership(), nobody)
    await written(presence)
    assert len(replies.written) == 2


async def test_a_shard_tells_of_those_who_are_recorded_in_the_end(presence: Presence, replies: Replies) -> None:
    presence.joined(membership(), nobody)
    await presence.close()
    assert replies.written
    assert not replies.ended
