"""The timing core, step by step."""

from typing import Any

import pytest

from iii_cluster.modules.cron.core import CALM, CATCH_UP, RETRY, SECOND, SETTLE, CronCore, Phase, Record
from iii_cluster.modules.cron.expression import parse

EVERY_SECOND = parse("* * * * * *")
START = 1_767_225_600  # seconds


class Desk:
    """A core, and the effects it asked for; time is told as seconds since the start."""

    def __init__(self) -> None:
        self.effects: list[tuple[Any, ...]] = []
        self.core = CronCore(self)
        self.tokens = {"j": 1}

    def take(self, job: str, token: int) -> None:
        self.effects.append(("take", job, token))

    def adopt(self, job: str, token: int, tick: int, started: int) -> None:
        self.effects.append(("adopt", tick - START))

    def claim(self, job: str, token: int, tick: int) -> None:
        self.effects.append(("claim", tick - START))

    def run(self, job: str, token: int, tick: int, now: int) -> None:
        self.effects.append(("run", tick - START))

    def finish(self, job: str, token: int, tick: int, skipped: int) -> None:
        self.effects.append(("finish", tick - START, skipped - START))

    def leave(self, job: str, token: int) -> None:
        self.effects.append(("leave", job))

    def drop(self, job: str) -> None:
        self.effects.append(("drop", job))

    # Shorter

    def did(self) -> list[tuple[Any, ...]]:
        effects, self.effects = self.effects, []
        return effects

    def update(self, *jobs: str) -> None:
        self.core.update(dict.fromkeys(jobs, EVERY_SECOND), lambda key: self.tokens.get(key, 0))

    def taken(self, at: float, *, known: float = 0, tick: float = 0, started: float = 0, gateway: str = "") -> None:
        record = Record(us(known), int(tick + START) if tick else 0, us(started) if started else 0, gateway)
        self.core.taken("j", us(at), record)

    def expire(self, at: float) -> None:
        self.core.expire(us(at))

    def claimed(self, tick: int, at: float) -> None:
        self.core.claimed("j", START + tick, us(at))

    def lost(self, at: float, *gateways: str) -> None:
        self.core.lost("j", us(at), gateways)

    def ended(self, at: float, **more: bool) -> None:
        self.core.ended("j", us(at), **more)

    @property
    def due(self) -> float | None:
        due = self.core.next_due
        return None if due is None else round(due / SECOND - START, 6)


def us(seconds: float) -> int:
    return round((START + seconds) * SECOND)


@pytest.fixture
def desk() -> Desk:
    """Owns one job, which was first known at 0.5."""
    desk = Desk()
    desk.update("j")
    assert desk.did() == [("take", "j", 1)]
    return desk


@pytest.fixture
def calm(desk: Desk) -> Desk:
    desk.taken(0.5, known=0.5)
    return desk


def run_one(desk: Desk, tick: int, begin: float, end: float) -> None:
    desk.expire(begin)
    assert desk.did() == [("claim", tick)]
    desk.claimed(tick, begin)
    assert desk.did() == [("run", tick)]
    desk.ended(end)


def test_a_job_runs_at_its_ticks_and_not_at_registration(calm: Desk) -> None:
    assert (calm.did(), calm.due) == ([], 1)
    calm.expire(0.999)
    assert calm.did() == []
    run_one(calm, 1, 1.001, 1.01)
    assert (calm.did(), calm.due) == ([("finish", 1, 1)], 2)


def test_ticks_that_pass_while_the_handler_runs_are_skipped(calm: Desk) -> None:
    run_one(calm, 1, 1.001, 3.7)
    assert (calm.did(), calm.due) == ([("finish", 1, 3)], 4)


def test_a_tick_that_falls_on_the_end_of_the_handler_has_passed(calm: Desk) -> None:
    run_one(calm, 1, 1.001, 2.0)
    assert calm.due == 3


def test_a_new_owner_catches_up_one_tick_after_the_other(desk: Desk) -> None:
    desk.taken(13.2, known=0.5, tick=10)
    for tick in (11, 12, 13):
        run_one(desk, tick, 13.2 + tick / 1000, 13.2 + tick / 1000)
        assert desk.did() == [("finish", tick, tick)]
    assert desk.due == 14


def test_nothing_older_than_the_limit_is_caught_up(desk: Desk) -> None:
    desk.taken(100.5, known=0.5, tick=10)
    desk.expire(100.5)
    assert desk.did() == [("claim", 100 - CATCH_UP)]


def test_nothing_from_before_the_job_was_known_is_caught_up(desk: Desk) -> None:
    desk.taken(13.2, known=11.5, tick=0)
    desk.expire(13.2)
    assert desk.did() == [("claim", 12)]


def test_a_job_that_was_gone_begins_anew(desk: Desk) -> None:
    desk.taken(13.2, known=13.2, tick=10)
    assert (desk.did(), desk.due) == ([], 14)


def test_after_a_change_of_owners_slow_calls_skip_nothing(desk: Desk) -> None:
    """The route to the function is being looked up, its shard has just changed too."""
    desk.taken(13.2, known=0.5, tick=12)
    run_one(desk, 13, 13.2, 15.1)
    assert (desk.did(), desk.due) == ([("finish", 13, 13)], 14)


def test_a_slow_handler_comes_to_skip_again_after_a_change_of_owners(desk: Desk) -> None:
    desk.taken(13.2, known=0.5, tick=12)
    at = 13.2
    lateness = []
    for _ in range(12):
        desk.expire(at)
        ((_, tick),) = desk.did()
        desk.claimed(tick, at)
        desk.did()
        lateness.append(at - tick)
        at += 2.5
        desk.ended(at)
        desk.did()
        at = max(at, desk.due or 0)
    assert max(lateness) < 2 * CALM / SECOND
    assert lateness[-1] == 0


def test_a_process_that_stood_still_catches_up(calm: Desk) -> None:
    calm.expire(1.001)
    calm.claimed(1, 1.001)
    calm.did()
    calm.core.stood_still(us(4.2))
    calm.ended(4.2)
    assert (calm.did(), calm.due) == ([("finish", 1, 1)], 2)
    run_one(calm, 2, 4.2, 4.21)
    calm.did()
    run_one(calm, 3, 4.21, 4.22)
    assert calm.due == 4


def test_a_claimed_tick_whose_handler_runs_is_waited_for(desk: Desk) -> None:
    desk.taken(13.2, known=0.5, tick=10, started=10.01)
    assert (desk.did(), desk.due) == ([("adopt", 10)], None)
    desk.ended(13.5)
    assert (desk.did(), desk.due) == ([("finish", 10, 13)], 14)


def test_a_claimed_tick_whose_handler_ended_unseen_skips_nothing(desk: Desk) -> None:
    desk.taken(13.2, known=0.5, tick=10, started=10.01)
    desk.did()
    desk.ended(13.3, ran=False)
    assert (desk.did(), desk.due) == ([("finish", 10, 10)], 11)


def test_a_claimed_tick_that_reached_nobody_runs_now(desk: Desk) -> None:
    desk.taken(13.2, known=0.5, tick=10, started=10.01)
    desk.did()
    desk.lost(13.3, "g-1")
    assert desk.did() == [("run", 10)]
    desk.ended(13.31)
    assert (desk.did(), desk.due) == ([("finish", 10, 10)], 11)


def test_a_claimed_tick_that_was_lost_on_its_way_to_a_gateway_runs_now(desk: Desk) -> None:
    desk.taken(13.2, known=0.5, tick=10, started=10.01, gateway="g-1")
    desk.did()
    desk.lost(13.3, "g-1", "g-2")
    assert desk.did() == [("run", 10)]


def test_a_claimed_tick_that_went_to_a_gateway_that_died_does_not_run_again(desk: Desk) -> None:
    desk.taken(13.2, known=0.5, tick=10, started=10.01, gateway="g-1")
    desk.did()
    desk.lost(13.3, "g-2")
    assert (desk.did(), desk.due) == ([("finish", 10, 10)], 11)


@pytest.mark.parametrize(("at", "known"), [(10 + CATCH_UP + 1, 0.5), (13.2, 12.5)])
def test_a_lost_tick_that_is_too_old_or_of_an_earlier_life_does_not_run(desk: Desk, at: float, known: float) -> None:
    desk.taken(at, known=known, tick=10, started=10.01)
    desk.did()
    desk.lost(at)
    assert desk.did()[0][:2] == ("finish", 10)


def test_a_fresh_claim_of_another_owner_is_given_time_to_reach_a_gateway(desk: Desk) -> None:
    desk.taken(10.2, known=0.5, tick=10, started=10.1)
    assert (desk.did(), desk.due) == ([], 10.1 + SETTLE / SECOND)
    desk.expire(11.1)
    assert desk.did() == [("adopt", 10)]


def test_a_claim_that_comes_too_early_waits(calm: Desk) -> None:
    calm.expire(1.0)
    assert calm.did() == [("claim", 1)]
    calm.core.early("j", us(0.9))
    assert (calm.did(), calm.due) == ([], 1)


def test_a_tick_claimed_before_makes_the_core_read_the_record(calm: Desk) -> None:
    calm.expire(1.0)
    calm.did()
    calm.core.claimed_before("j")
    assert calm.did() == [("take", "j", 1)]


def test_while_redis_is_away_the_record_is_asked_for_again_and_again(calm: Desk) -> None:
    calm.expire(1.0)
    calm.did()
    calm.core.failed("j", us(1.5))
    assert (calm.did(), calm.due) == ([], 1.5 + RETRY / SECOND)
    calm.expire(2.5)
    assert calm.did() == [("take", "j", 1)]
    calm.taken(2.6, known=0.5, tick=1, started=1.4)  # the claim was executed after all
    assert calm.did() == [("adopt", 1)]


def test_a_job_that_is_owned_no_more_is_dropped_and_not_left(calm: Desk) -> None:
    calm.tokens.clear()
    calm.update("j")
    assert (calm.did(), calm.due, len(calm.core)) == ([("drop", "j")], None, 0)


def test_a_job_that_left_and_came_back_is_taken_under_its_new_token(calm: Desk) -> None:
    calm.tokens["j"] = 7
    calm.update("j")
    assert calm.did() == [("drop", "j"), ("take", "j", 7)]


def test_a_job_without_triggers_is_left(calm: Desk) -> None:
    calm.update()
    assert calm.did() == [("drop", "j"), ("leave", "j")]
    calm.update("j")
    assert calm.did() == [("take", "j", 1)]
    assert calm.core.phase("j") is Phase.TAKING


def test_an_expression_that_names_no_instant_any_more_is_never_due() -> None:
    desk = Desk()
    desk.core.update({"j": parse("0 0 0 30 2 *")}, lambda _: 1)
    desk.taken(0.5, known=0.5)
    assert desk.due is None


def test_jobs_that_come_and_go_leave_nothing_behind(desk: Desk) -> None:
    for _ in range(1000):
        desk.taken(0.5, known=0.5)
        desk.update()
        desk.update("j")
    assert len(desk.core._due) < 200
