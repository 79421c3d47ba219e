from iii_cluster.bus.inbox_probe import DEAF, DEAF_TICKS, PROBE_INTERVAL, Advice, InboxProbe


def test_an_inbox_is_probed_at_once_and_then_at_intervals_however_busy_it_is() -> None:
    probe = InboxProbe()
    assert probe.tick(0) is Advice.PROBE
    for step in range(1, 10):
        probe.heard()
        assert probe.tick(PROBE_INTERVAL * step / 10) is Advice.NOTHING
    assert probe.tick(PROBE_INTERVAL) is Advice.PROBE


def test_an_inbox_is_healthy_when_it_answers() -> None:
    probe = InboxProbe()
    probe.tick(0)
    assert not probe.healthy
    assert probe.heard()
    assert not probe.heard(), "only a change counts"
    assert probe.healthy


def test_an_inbox_that_does_not_answer_is_deaf() -> None:
    probe = InboxProbe()
    probe.tick(0)
    probe.heard()
    assert probe.tick(PROBE_INTERVAL) is Advice.PROBE
    advice = [probe.tick(PROBE_INTERVAL + 0.25 * i) for i in range(1, 20)]
    deaf = advice.index(Advice.RECONNECT)
    assert set(advice[:deaf]) == {Advice.NOTHING}
    assert 0.25 * (deaf + 1) >= DEAF
    assert advice[deaf + 1] is Advice.PROBE, "the next connection is probed at once"


def test_a_process_that_was_stopped_reads_before_it_judges() -> None:
    probe = InboxProbe()
    probe.tick(0)
    assert [probe.tick(100 + 0.01 * i) for i in range(DEAF_TICKS - 1)] == [Advice.NOTHING] * (DEAF_TICKS - 1)
    probe.heard()
    assert probe.tick(100.2) is Advice.PROBE
    assert probe.healthy
