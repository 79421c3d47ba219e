import pytest

from iii_cluster.chaos.checks import check, jobs
from iii_cluster.chaos.effects import OPEN, Job
from tests.support.chaos_effects import UNKNOWN, Effects


@pytest.fixture
def story() -> Effects:
    return Effects()


def broken(story: Effects) -> list[str]:
    """The rules that are broken."""
    return sorted({violation.check for violation in check(story.history)})


def test_jobs_that_are_done_in_order_and_not_too_many_at_once_are_right(story: Effects) -> None:
    for at in range(5, 25):
        story.attempt(story.job(at), at + 0.1, at + 1.9)
        story.attempt(story.job(at, "steps", group="a"), at + 0.2, at + 0.9)
        news = story.job(at, "news")
        story.attempt(news, at + 0.2, at + 0.3)
        story.attempt(news, at + 0.2, at + 0.3, function="g")
    assert broken(story) == []


# Lost


def test_an_acknowledged_job_nobody_has_done_is_found(story: Effects) -> None:
    story.job(5)
    assert broken(story) == [jobs.LOST]


def test_an_acknowledged_job_that_only_failed_is_found(story: Effects) -> None:
    job = story.job(5)
    story.attempt(job, 6, 7, ok=False)
    story.attempt(job, 8, OPEN, ok=False)
    assert broken(story) == [jobs.LOST]


def test_a_job_of_a_topic_has_to_reach_both_functions(story: Effects) -> None:
    story.attempt(story.job(5, "news"), 6, 7, function="g")
    assert broken(story) == [jobs.LOST]
    assert "never done by f;" in check(story.history)[0].text


def test_a_job_that_was_not_acknowledged_may_be_lost_or_done(story: Effects) -> None:
    story.job(5, outcome=UNKNOWN)
    story.attempt(story.job(6, outcome=UNKNOWN), 7, 8)
    story.fault("gateway-kill", 4, 7, "gateway-1")
    assert broken(story) == []


def test_a_job_may_be_done_after_the_run_so_nothing_is_lost_before(story: Effects) -> None:
    story.job(5)
    story.history.ended = OPEN
    assert broken(story) == []


def test_a_job_acknowledged_before_redis_lost_its_memory_is_excused(story: Effects) -> None:
    story.job(5)
    story.forget(10)
    assert broken(story) == []
    story.job(11)
    assert broken(story) == [jobs.LOST]


def test_a_redis_that_comes_back_with_its_memory_excuses_nothing(story: Effects) -> None:
    story.job(5)
    story.fault("redis-kill", 6, 7, "redis")
    assert broken(story) == [jobs.LOST]


# Dead letters


def test_a_job_that_fails_for_good_is_a_dead_letter(story: Effects) -> None:
    job = story.job(5, doomed=True)
    for at in (6, 7, 8):
        story.attempt(job, at, at + 0.1, ok=False)
    story.bury(job, 9)
    assert broken(story) == []


def test_a_dead_letter_that_did_not_fail_often_enough_is_found(story: Effects) -> None:
    job = story.job(5)
    story.attempt(job, 6, 7, ok=False)
    story.bury(job, 9)
    assert broken(story) == [jobs.REAL]
    assert "after 3 attempts, 1 of which failed" in check(story.history)[0].text


def test_a_dead_letter_may_have_failed_where_its_handlers_were_away(story: Effects) -> None:
    job = story.job(5)
    story.fault("gateway-kill", 5.5, 7, "gateway-1")
    story.bury(job, 9)
    assert broken(story) == []


def test_a_dead_letter_is_not_explained_by_the_death_of_a_shard(story: Effects) -> None:
    job = story.job(5)
    story.fault("shard-kill", 5.5, 7, "shard-1")
    story.bury(job, 9)
    assert broken(story) == [jobs.REAL]


def test_a_dead_letter_without_an_error_is_found(story: Effects) -> None:
    job = story.job(5, doomed=True)
    story.bury(job, 9, error="")
    assert broken(story) == [jobs.REAL]


def test_one_dead_letter_is_not_enough_for_two_functions(story: Effects) -> None:
    job = story.job(5, "news", doomed=True)
    story.bury(job, 9)
    assert broken(story) == [jobs.LOST]
    story.bury(job, 9)
    assert broken(story) == []


# Order


def in_group(story: Effects, count: int = 2) -> list[Job]:
    return [story.job(5 + n, "steps", group="a") for n in range(count)]


def test_a_job_that_overtakes_another_one_of_its_group_is_found(story: Effects) -> None:
    first, second = in_group(story)
    story.attempt(second, 7, 8)
    story.attempt(first, 9, 10)
    assert broken(story) == [jobs.ORDER]


def test_a_job_that_begins_between_the_attempts_of_the_one_before_is_found(story: Effects) -> None:
    first, second = in_group(story)
    story.attempt(first, 7, 8, ok=False)
    story.attempt(second, 8.5, 8.9)
    story.attempt(first, 9, 10)
    assert broken(story) == [jobs.ORDER]


def test_a_job_that_jumps_ahead_of_more_than_one_is_found_once(story: Effects) -> None:
    first, second, third = in_group(story, 3)
    story.attempt(first, 8, 9)
    story.attempt(second, 10, 11)
    story.attempt(third, 7, 7.5)
    assert [violation.text.partition(",")[0] for violation in check(story.history)] == ["job 3 of steps"]


def test_a_job_that_is_done_again_may_come_after_the_next_one(story: Effects) -> None:
    first, second = in_group(story)
    story.attempt(first, 7, 8)
    story.attempt(second, 9, 10)
    story.attempt(first, 11, 12)
    assert broken(story) == []


def test_other_groups_are_not_held_up(story: Effects) -> None:
    first = story.job(5, "steps", group="a")
    second = story.job(6, "steps", group="b")
    story.attempt(second, 7, 8)
    story.attempt(first, 9, 10)
    assert broken(story) == []


def test_a_dead_letter_lets_the_next_one_pass(story: Effects) -> None:
    first, second = in_group(story)
    first.doomed = True
    story.bury(first, 7)
    story.attempt(second, 8, 9)
    assert broken(story) == []


def test_nobody_knows_the_place_of_a_job_that_was_not_acknowledged(story: Effects) -> None:
    first = story.job(5, "steps", outcome=UNKNOWN, group="a")
    second = story.job(6, "steps", group="a")
    story.fault("gateway-kill", 4, 7, "gateway-1")
    story.attempt(second, 7, 8, by=story.second)
    story.attempt(first, 9, 10, by=story.second)
    assert broken(story) == []


# At once


def test_more_jobs_at_once_than_the_queue_allows_are_found_once(story: Effects) -> None:
    for number in range(4):
        story.attempt(story.job(5), 6 + number / 10, 8, by=story.second if number % 2 else story.first)
    found = check(story.history)
    assert [violation.check for violation in found] == [jobs.LIMIT]
    who = "1 (owner-1), 2 (owner-2), 3 (owner-1), 4 (owner-2)"
    assert found[0].text == f"4 jobs of mail of f at once, 2 allowed: {who}"


def test_the_functions_of_a_topic_are_counted_apart(story: Effects) -> None:
    for number in range(2):
        job = story.job(5 + number, "news")
        story.attempt(job, 7, 8)
        story.attempt(job, 7, 8, function="g")
    assert broken(story) == []


def test_two_jobs_of_a_group_at_once_are_found(story: Effects) -> None:
    first, second = in_group(story)
    story.attempt(first, 7, 8)
    story.attempt(second, 8.5, 9.5)
    story.attempt(first, 9, 10)
    assert broken(story) == [jobs.LIMIT]


def test_a_job_that_ends_makes_room_for_one_that_begins(story: Effects) -> None:
    for number in range(3):
        story.attempt(story.job(5), 6 + number, 7 + number)
        story.attempt(story.job(5), 6 + number, 7 + number)
    assert broken(story) == []


def test_a_handler_whose_worker_was_lost_does_not_count(story: Effects) -> None:
    lost = story.connect("lost", "gateway-2", closed=7.0)
    job = story.job(5)
    for _ in range(2):
        story.attempt(job, 6, 12, by=lost)
        story.attempt(job, 8, 9)
    assert broken(story) == []


def test_a_handler_at_a_gateway_that_was_hit_does_not_count(story: Effects) -> None:
    story.fault("gateway-freeze", 7, 10, "gateway-2")
    job = story.job(5)
    for _ in range(2):
        story.attempt(job, 6, 12, by=story.second)
        story.attempt(job, 9.5, 11)
    assert broken(story) == []


def test_a_handler_counts_through_the_faults_of_shards_and_redis(story: Effects) -> None:
    story.fault("redis-kill", 6.5, 7, "redis")
    story.fault("shard-freeze", 6.5, 9, "shard-1")
    job = story.job(5)
    story.attempt(job, 6, 12)
    story.attempt(job, 6, 12)
    story.attempt(job, 11, 11.5)
    assert broken(story) == [jobs.LIMIT]
