from iii_cluster.bus.inbox_probe import DEAF, DEAF_TICKS, IDLE, Advice, InboxProbe


def test_a_busy_inbox_is_not_probed() -> None:
    probe = InboxProbe()
    for now in range(10):
        probe.heard(now)
        assert probe.tick(now + IDLE / 2) is Advice.NOTHING


def test_an_idle_inbox_is_probed_and_healthy_when_it_answers() -> None:
    probe = InboxProbe()
    assert probe.tick(0) is Advice.PROBE
    assert not probe.healthy
    assert probe.heard(0.1)
    assert not probe.heard(0.2), "only a change counts"
    assert probe.healthy
    assert probe.tick(0.2 + IDLE) is Advice.PROBE


def test_an_inbox_that_does_not_answer_is_deaf() -> None:
    probe = InboxProbe()
    probe.heard(0)
    assert probe.tick(IDLE) is Advice.PROBE
    advice = [probe.tick(IDLE + 0.25 * i) for i in range(1, 20)]
    deaf = advice.index(Advice.RECONNECT)
    assert set(advice[:deaf]) == {Advice.NOTHING}
    assert 0.25 * (deaf + 1) >= DEAF
    assert advice[deaf + 1] is Advice.PROBE, "the next connection is probed at once"


def test_a_process_that_was_stopped_reads_before_it_judges() -> None:
    probe = InboxProbe()
    probe.heard(0)
    probe.tick(IDLE)
    assert [probe.tick(100 + 0.01 * i) for i in range(DEAF_TICKS - 1)] == [Advice.NOTHING] * (DEAF_TICKS - 1)
    probe.heard(100.1)
    assert probe.tick(100.2) is Advice.NOTHING
    assert probe.healthy
