from dataclasses import dataclass

from gateway.drain import AT_ONCE, Departures

GRACE = 12.0


@dataclass(eq=False)
class Client:
    busy: bool = False
    reattaches: bool = False
    serving: bool = False


def _leave(departures: Departures[Client], elapsed: float, clients: list[Client]) -> list[Client]:
    gone = departures.next(elapsed, clients)
    for client in gone:
        clients.remove(client)
    return gone


def test_idle_clients_go_at_once() -> None:
    clients = [Client() for _ in range(AT_ONCE)]
    assert len(_leave(Departures[Client](AT_ONCE, GRACE), 0.0, clients)) == AT_ONCE


def test_a_crowd_is_spread_over_a_third_of_the_grace() -> None:
    clients = [Client() for _ in range(AT_ONCE + 1000)]
    departures = Departures[Client](len(clients), GRACE)
    assert len(_leave(departures, 0.0, clients)) == AT_ONCE
    assert len(_leave(departures, 1.0, clients)) == 250
    assert len(_leave(departures, 1.0, clients)) == 0
    assert len(_leave(departures, 3.0, clients)) == 500
    assert len(_leave(departures, 4.0, clients)) == 250
    assert not clients


def test_busy_clients_that_get_their_answers_elsewhere_go_like_idle_ones() -> None:
    client = Client(busy=True, reattaches=True)
    assert _leave(Departures[Client](1, GRACE), 0.0, [client]) == [client]


def test_other_busy_clients_go_when_they_are_idle() -> None:
    client = Client(busy=True)
    departures = Departures[Client](1, GRACE)
    assert not departures.next(0.0, [client])
    assert not departures.next(5.9, [client])
    client.busy = False
    assert departures.next(5.9, [client]) == [client]


def test_other_busy_clients_go_when_half_of_the_grace_is_over() -> None:
    client = Client(busy=True)
    assert Departures[Client](1, GRACE).next(6.0, [client]) == [client]


def test_the_last_ones_do_not_wait_for_their_turn() -> None:
    clients = [Client(busy=True) for _ in range(5000)]
    departures = Departures[Client](len(clients), GRACE)
    assert len(_leave(departures, 11.0, clients)) == 5000


def test_without_any_grace_everybody_goes_at_once() -> None:
    clients = [Client(busy=True) for _ in range(1000)]
    assert len(_leave(Departures[Client](1000, 0.0), 0.0, clients)) == 1000


def test_who_leaves_finishes_first_what_it_serves() -> None:
    client = Client(busy=True, reattaches=True, serving=True)
    departures = Departures[Client](1, GRACE)
    assert departures.next(0.0, [client]) == [client]
    assert not departures.closing(0.0)
    assert not departures.next(0.1, [client])
    client.serving = False
    assert departures.closing(0.1) == [client]
    assert not departures.closing(0.2)


def test_what_takes_long_is_finished_on_the_next_connection() -> None:
    client = Client(busy=True, reattaches=True, serving=True)
    departures = Departures[Client](1, GRACE)
    departures.next(1.0, [client])
    assert not departures.closing(1.4)
    assert departures.closing(1.5) == [client]


def test_at_the_end_of_the_grace_nobody_finishes_anything() -> None:
    client = Client(busy=True, serving=True)
    departures = Departures[Client](1, GRACE)
    departures.next(11.0, [client])
    assert departures.closing(11.0) == [client]
