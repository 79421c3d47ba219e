from gateway.sockets.pacing import Pacing


def test_a_few_newcomers_do_not_wait() -> None:
    pacing: Pacing[int] = Pacing(10)
    assert all(pacing.enter(number, 100.0) for number in range(10))
    assert len(pacing) == 0


def test_the_others_wait_for_their_turn_in_order() -> None:
    pacing: Pacing[int] = Pacing(10)
    for number in range(15):
        pacing.enter(number, 100.0)
    assert len(pacing) == 5
    assert pacing.due(100.0) == []
    assert round(pacing.delay(100.0), 6) == 0.1
    assert pacing.due(100.25) == [10, 11]
    assert pacing.due(101.0) == [12, 13, 14]


def test_nobody_overtakes_those_who_wait() -> None:
    pacing: Pacing[int] = Pacing(1)
    assert pacing.enter(1, 50.0)
    assert not pacing.enter(2, 50.0)
    assert not pacing.enter(3, 51.5)
    assert pacing.due(51.5) == [2]
    assert pacing.due(52.5) == [3]


def test_who_gives_up_waiting_takes_no_turn() -> None:
    pacing: Pacing[int] = Pacing(1)
    for number in range(4):
        pacing.enter(number, 50.0)
    pacing.give_up(1)
    pacing.give_up(99)
    assert pacing.due(51.0) == [2]
    assert pacing.clear() == [3]
    assert pacing.due(60.0) == []


def test_a_quiet_time_does_not_save_up_more_than_a_second() -> None:
    pacing: Pacing[int] = Pacing(5)
    assert pacing.enter(0, 10.0)
    assert [pacing.enter(number, 1000.0) for number in range(7)] == [True] * 5 + [False] * 2
