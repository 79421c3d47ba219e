"""The clock that all shards share."""

from iii_cluster.modules.cron.clock import WINDOW, RedisClock

SECOND = 1_000_000


def test_until_redis_was_heard_the_own_clock_is_a_guess() -> None:
    clock = RedisClock(5 * SECOND, 100.0)
    assert clock.now(101.0) == 6 * SECOND
    clock.heard(3 * SECOND, 101.0)
    assert clock.now(102.0) == 4 * SECOND


def test_the_fastest_reply_counts() -> None:
    clock = RedisClock(0, 0.0)
    clock.heard(1000 * SECOND, 0.1)  # took 0.1 s
    clock.heard(1001 * SECOND, 1.01)  # took 0.01 s
    clock.heard(1002 * SECOND, 2.5)  # took 0.5 s
    assert clock.now(3.01) == 1003 * SECOND


def test_a_fast_reply_counts_for_two_windows_only() -> None:
    clock = RedisClock(0, 0.0)
    clock.heard(1000 * SECOND, 0.0)
    for turn in range(1, 4):
        at = turn * (WINDOW + 1)
        clock.heard(int((1000 + at - 0.5) * SECOND), at)  # drifted by half a second since
    assert clock.now(at) == int((1000 + at - 0.5) * SECOND)


def test_a_clock_that_was_ahead_is_set_back() -> None:
    clock = RedisClock(0, 0.0)
    clock.heard(1000 * SECOND, 0.0)
    clock.correct(900 * SECOND, 1.0)
    clock.heard(901 * SECOND, 2.0)
    assert clock.now(2.0) == 901 * SECOND
