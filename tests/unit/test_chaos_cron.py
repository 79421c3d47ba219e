import pytest

from iii_cluster.chaos.checks import check, cron
from iii_cluster.chaos.effects import OPEN
from iii_cluster.chaos.report.effects import effect_rows
from tests.support.chaos_effects import Effects

FIRST, LAST = 5.25, 25.25


@pytest.fixture
def story() -> Effects:
    made = Effects()
    made.cron(FIRST, LAST)
    return made


def ticks(story: Effects, *missing: float) -> None:
    """All that are due but for the missing ones."""
    for number in range(21):
        if FIRST + number not in missing:
            story.tick(FIRST + number, by=(story.first, story.second)[number % 2])


def broken(story: Effects) -> list[str]:
    return sorted({violation.check for violation in check(story.history)})


def test_ticks_delivered_once_are_right_however_late(story: Effects) -> None:
    ticks(story, 9.25)
    story.tick(9.25, at=14.0)
    story.tick(4.25)
    story.tick(26.25)
    assert broken(story) == []


def test_a_tick_delivered_to_two_replicas_is_found(story: Effects) -> None:
    ticks(story)
    story.tick(9.25, at=9.3, by=story.local)
    found = check(story.history)
    assert [violation.check for violation in found] == [cron.ONCE]
    assert "delivered to owner-1 at 9.26 s, local at 9.30 s" in found[0].text


def test_a_tick_delivered_twice_is_found_whatever_was_broken(story: Effects) -> None:
    ticks(story)
    story.fault("shard-kill", 9, 10, "shard-1")
    story.fault("gateway-kill", 9, 10, "gateway-1")
    story.tick(9.25, at=12)
    assert broken(story) == [cron.ONCE]


def test_a_tick_nobody_got_is_found(story: Effects) -> None:
    ticks(story, LAST)
    assert broken(story) == [cron.DELIVERED]


def test_a_tick_may_be_left_out_while_the_job_runs(story: Effects) -> None:
    ticks(story, 9.25, 10.25, 11.25)
    busy = next(tick for tick in story.history.ticks if tick.scheduled == 8.25)
    busy.ended = 10.3
    assert [violation.at for violation in check(story.history)] == [11.25]


def test_a_tick_may_still_come_while_the_run_goes_on(story: Effects) -> None:
    ticks(story, 9.25)
    story.history.ended = OPEN
    assert broken(story) == []


def test_nothing_is_missing_of_a_job_that_was_interrupted(story: Effects) -> None:
    story.cron(FIRST, OPEN)
    story.history.cron_jobs.pop(0)
    assert broken(story) == []
    assert effect_rows(story.history) == []


def test_a_job_that_never_fired_is_found(story: Effects) -> None:
    assert len(check(story.history)) == 21


@pytest.mark.parametrize("kind", ["shard-kill", "shard-freeze", "leader-kill", "coordinator-term"])
def test_a_tick_missing_during_a_fault_of_one_shard_or_coordinator_is_found(story: Effects, kind: str) -> None:
    everybody(story)
    ticks(story, 9.25)
    story.fault(kind, 9, 11, "shard-b")
    assert broken(story) == [cron.DELIVERED]


def everybody(story: Effects) -> None:
    nodes = ["gateway-gateway1", "gateway-gateway2", "shard-a", "shard-b", "shard-c", "coordinator-a", "coordinator-b"]
    story.map(2, 1, 1, nodes=nodes)


def test_ticks_inside_an_outage_of_redis_may_be_missing_others_not(story: Effects) -> None:
    ticks(story, 9.25, 10.25)
    story.fault("redis-kill", 9, 10, "redis")
    assert broken(story) == []
    story.history.ticks = [tick for tick in story.history.ticks if tick.scheduled != 20.25]
    assert [violation.at for violation in check(story.history)] == [20.25]


@pytest.mark.parametrize("kind", ["redis-flush", "redis-deaf"])
def test_a_redis_that_answers_excuses_no_missing_tick(story: Effects, kind: str) -> None:
    ticks(story, 9.25)
    story.fault(kind, 9, 9, "redis")
    assert broken(story) == [cron.DELIVERED]


def test_ticks_may_be_missing_while_half_of_the_shards_are_away(story: Effects) -> None:
    everybody(story)
    ticks(story, 9.25)
    story.fault("shard-kill", 8, 9, "shard-a")
    assert broken(story) == [cron.DELIVERED]
    story.fault("shard-kill", 8.5, 9, "shard-b")
    assert broken(story) == []


def test_ticks_may_be_missing_without_any_coordinator(story: Effects) -> None:
    everybody(story)
    ticks(story, 9.25)
    story.fault("leader-kill", 8, 9, "coordinator-a")
    story.fault("coordinator-kill", 8.5, 9, "coordinator-b")
    assert broken(story) == []


@pytest.mark.parametrize("kind", ["gateway-kill", "gateway-freeze", "network-cut"])
def test_a_tick_may_be_lost_with_the_gateway_it_was_sent_to(story: Effects, kind: str) -> None:
    ticks(story, 9.25)
    story.fault(kind, 9.3, 11, "gateway-1")
    assert broken(story) == []


def test_a_gateway_that_drains_loses_no_tick(story: Effects) -> None:
    ticks(story, 9.25)
    story.fault("gateway-term", 9.2, 11, "gateway-1")
    assert broken(story) == [cron.DELIVERED]


def test_a_tick_may_be_lost_with_the_connection_of_a_worker_that_serves_it(story: Effects) -> None:
    ticks(story, 9.25)
    story.fault("workers-reset", 9.3, 9.3, "caller")
    assert broken(story) == [cron.DELIVERED]
    story.fault("workers-reset", 9.3, 9.3, "owner-1")
    assert broken(story) == []


def test_a_memory_that_was_lost_may_have_known_of_a_tick(story: Effects) -> None:
    ticks(story)
    story.forget(9.27)
    story.tick(9.25, at=9.5)
    assert broken(story) == []
