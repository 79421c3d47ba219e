from coordinator.cleanup import Departure
from coordinator.workers import CHANGED, CONNECTED, DISCONNECTED, WorkerRecord, Workers
from iii_cluster.bus.envelopes import Owner


class Recorder:
    """Redis answers at once, unless it is slow."""

    def __init__(self) -> None:
        self.workers: Workers | None = None
        self.slow = False
        self.redis: dict[str, WorkerRecord] = {}
        self.cleaning: list[Departure] = []
        self.events: list[tuple[str, str]] = []
        self.names: list[str] = []

    def store(self, worker: str, record: WorkerRecord) -> None:
        self.redis[worker] = record
        if self.workers is not None and not self.slow:
            self.workers.stored({worker: record})

    def erase(self, worker: str) -> None:
        self.redis.pop(worker, None)

    def clean(self, departures: list[Departure]) -> None:
        self.cleaning.extend(departures)

    def fire(self, event: str, worker: str, once: str) -> None:
        self.events.append((event, worker))
        self.names.append(once)

    def finish(self, workers: Workers) -> list[Departure]:
        """The whole clean-up at once."""
        departures = self.take_cleaning()
        workers.tell(departures)
        workers.cleaned(departures)
        return departures

    def take_cleaning(self) -> list[Departure]:
        cleaning, self.cleaning = self.cleaning, []
        return cleaning

    def take_events(self) -> list[tuple[str, str]]:
        events, self.events = self.events, []
        return events


def leader(**records: WorkerRecord) -> tuple[Workers, Recorder]:
    recorder = Recorder()
    recorder.redis.update(records)
    workers = recorder.workers = Workers(recorder)
    workers.load(records)
    return workers, recorder


def test_a_worker_that_connects_is_recorded_and_told() -> None:
    workers, recorder = leader()
    workers.up("g1", 1, "w", again=False)
    assert recorder.redis == {"w": WorkerRecord("g1", 1)}
    assert recorder.take_events() == [(CONNECTED, "w")]


def test_a_worker_told_again_is_no_news() -> None:
    workers, recorder = leader()
    workers.up("g1", 1, "w", again=False)
    recorder.take_events()
    workers.up("g1", 1, "w", again=True)
    assert recorder.take_events() == []


def test_a_worker_that_came_while_nobody_led_is_news_to_the_new_leader() -> None:
    workers, recorder = leader(old=WorkerRecord("g1", 1))
    workers.up("g1", 1, "old", again=True)
    workers.up("g1", 2, "new", again=True)
    assert recorder.take_events() == [(CONNECTED, "new")]


def test_without_any_record_workers_told_again_are_not_taken_for_new() -> None:
    workers, recorder = leader()
    workers.up("g1", 1, "w", again=True)
    assert recorder.take_events() == []
    assert recorder.redis == {"w": WorkerRecord("g1", 1)}


def test_metadata_of_a_known_worker_is_told() -> None:
    workers, recorder = leader()
    workers.up("g1", 1, "w", again=False)
    recorder.take_events()
    workers.changed("w")
    workers.changed("stranger")
    assert recorder.take_events() == [(CHANGED, "w")]


def test_a_closed_connection_is_cleaned_up_before_the_event_and_the_record_goes_last() -> None:
    workers, recorder = leader()
    workers.up("g1", 1, "w", again=False)
    recorder.take_events()
    workers.down("g1", 1, "w")
    departures = recorder.take_cleaning()
    assert departures == [Departure(Owner("g1", 1, "w"), known=True)]
    assert recorder.take_events() == []
    assert "w" in recorder.redis
    workers.tell(departures)
    assert recorder.take_events() == [(DISCONNECTED, "w")]
    assert "w" in recorder.redis
    workers.cleaned(departures)
    assert recorder.take_events() == []
    assert recorder.redis == {}
    assert len(workers) == 0


def test_a_worker_that_is_down_twice_is_cleaned_up_once() -> None:
    workers, recorder = leader()
    workers.up("g1", 1, "w", again=False)
    workers.down("g1", 1, "w")
    workers.down("g1", 1, "w")
    workers.gateways([])
    assert len(recorder.take_cleaning()) == 1


def test_a_closed_connection_that_is_not_on_record_is_told_of_all_the_same() -> None:
    workers, recorder = leader(other=WorkerRecord("g1", 1))
    workers.down("g1", 5, "w", back=True)
    assert set(recorder.redis) == {"other", "w"}, "the next leader has to know"
    assert recorder.finish(workers) == [Departure(Owner("g1", 5, "w"), known=True, back=True)]
    assert recorder.take_events() == [(DISCONNECTED, "w")]
    assert set(recorder.redis) == {"other"}


def test_an_older_connection_of_a_worker_does_not_take_the_newer_one_along() -> None:
    workers, recorder = leader()
    workers.up("g2", 9, "w", again=False)
    recorder.take_events()
    workers.down("g1", 5, "w")
    assert recorder.finish(workers) == [Departure(Owner("g1", 5, "w"), known=False)]
    assert recorder.take_events() == []
    assert recorder.redis == {"w": WorkerRecord("g2", 9)}


def test_the_workers_of_a_vanished_gateway_are_cleaned_up() -> None:
    workers, recorder = leader()
    workers.up("g1", 1, "a", again=False)
    workers.up("g2", 1, "b", again=False)
    workers.up("g1", 2, "c", again=False)
    recorder.take_events()
    workers.gateways(["g2"])
    departures = recorder.finish(workers)
    assert [departure.owner.worker for departure in departures] == ["a", "c"]
    assert all(departure.back for departure in departures)
    assert recorder.take_events() == [(DISCONNECTED, "a"), (DISCONNECTED, "c")]
    assert set(recorder.redis) == {"b"}


def test_a_new_leader_finishes_what_nobody_announces_again() -> None:
    workers, recorder = leader(kept=WorkerRecord("g1", 1), lost=WorkerRecord("g1", 2), other=WorkerRecord("g2", 1))
    workers.up("g1", 1, "kept", again=True)
    assert recorder.take_cleaning() == []
    workers.announced("g1")
    assert recorder.finish(workers) == [Departure(Owner("g1", 2, "lost"), known=True)]
    assert recorder.take_events() == [(DISCONNECTED, "lost")]
    workers.announced("g1")
    assert recorder.take_cleaning() == []


def test_a_new_leader_cleans_up_after_gateways_that_are_gone() -> None:
    workers, recorder = leader(a=WorkerRecord("g1", 1), b=WorkerRecord("g2", 1))
    workers.gateways(["g2"])
    assert [departure.owner.node for departure in recorder.take_cleaning()] == ["g1"]


def test_after_a_link_reset_workers_that_are_not_announced_again_are_gone() -> None:
    workers, recorder = leader()
    workers.up("g1", 1, "a", again=False)
    workers.up("g1", 2, "b", again=False)
    workers.link_reset("g1")
    workers.up("g1", 2, "b", again=True)
    workers.announced("g1")
    assert [departure.owner.worker for departure in recorder.take_cleaning()] == ["a"]


def test_a_worker_announced_again_while_it_is_cleaned_up_stays() -> None:
    workers, recorder = leader()
    workers.up("g1", 1, "w", again=False)
    workers.gateways([])
    departures = recorder.take_cleaning()
    workers.up("g1", 1, "w", again=True)
    recorder.take_events()
    workers.tell(departures)
    workers.cleaned(departures)
    assert recorder.take_events() == []
    assert set(recorder.redis) == {"w"}


def test_records_that_redis_lost_are_written_again() -> None:
    workers, recorder = leader()
    workers.up("g1", 1, "w", again=False)
    recorder.redis.clear()
    workers.restore()
    assert recorder.redis == {"w": WorkerRecord("g1", 1)}


def test_events_are_named_after_the_connection() -> None:
    workers, recorder = leader()
    workers.up("g1", 3, "w", again=False)
    workers.changed("w")
    workers.down("g1", 3, "w")
    recorder.finish(workers)
    assert recorder.names == ["worker_connected:w:g1:3", "", "worker_disconnected:w:g1:3"]


def test_nobody_hears_of_a_worker_before_its_record_is_written() -> None:
    workers, recorder = leader()
    recorder.slow = True
    workers.up("g1", 1, "w", again=False)
    workers.changed("w")
    workers.stored({"w": WorkerRecord("g1", 9), "other": WorkerRecord("g1", 1)})
    assert recorder.take_events() == []
    workers.stored({"w": WorkerRecord("g1", 1)})
    assert recorder.take_events() == [(CONNECTED, "w"), (CHANGED, "w")]
    workers.changed("w")
    assert recorder.take_events() == [(CHANGED, "w")]


def test_a_worker_that_is_gone_before_its_record_is_written_came_first() -> None:
    workers, recorder = leader()
    recorder.slow = True
    workers.up("g1", 1, "w", again=False)
    workers.down("g1", 1, "w")
    recorder.finish(workers)
    assert recorder.take_events() == [(CONNECTED, "w"), (DISCONNECTED, "w")]


# -- a gateway that was cut off comes back under another id, with the same workers


def moved() -> tuple[Workers, Recorder]:
    """Worker `w` of gateway g1, which is cleaned up, is told of by g1.2."""
    workers, recorder = leader()
    workers.up("g1", 1, "w", again=False)
    workers.gateways(["g1.2"])
    workers.up("g1.2", 1, "w", again=True)
    assert recorder.take_events() == [(CONNECTED, "w")]
    return workers, recorder


def test_a_worker_of_a_gateway_with_a_new_id_leaves_and_then_comes() -> None:
    workers, recorder = moved()
    departures = recorder.finish(workers)
    assert departures == [Departure(Owner("g1", 1, "w"), known=True, back=True)]
    assert recorder.take_events() == [(DISCONNECTED, "w"), (CONNECTED, "w")]
    assert recorder.redis == {"w": WorkerRecord("g1.2", 1)}
    workers.down("g1.2", 1, "w")
    recorder.finish(workers)
    assert recorder.take_events() == [(DISCONNECTED, "w")]


def test_a_worker_told_of_by_a_new_id_before_the_old_one_is_gone_leaves_first() -> None:
    workers, recorder = leader()
    workers.up("g1", 1, "w", again=False)
    workers.up("g1.2", 1, "w", again=True)
    recorder.take_events()
    assert recorder.finish(workers) == [Departure(Owner("g1", 1, "w"), known=True, back=True)]
    assert recorder.take_events() == [(DISCONNECTED, "w"), (CONNECTED, "w")]


def test_a_worker_that_leaves_again_before_its_former_connection_is_cleaned_up_is_told_of_once() -> None:
    workers, recorder = moved()
    workers.down("g1.2", 1, "w")
    departures = recorder.finish(workers)
    assert departures[1:] == [Departure(Owner("g1.2", 1, "w"), known=False)]
    assert recorder.take_events() == [(DISCONNECTED, "w")]
    assert recorder.redis == {}


def test_a_new_id_may_vanish_before_its_workers_have_arrived() -> None:
    workers, recorder = moved()
    workers.gateways(["g1.3"])
    workers.up("g1.3", 1, "w", again=True)
    recorder.finish(workers)
    assert recorder.take_events() == [(DISCONNECTED, "w"), (CONNECTED, "w")]
    assert recorder.redis == {"w": WorkerRecord("g1.3", 1)}


def test_a_worker_on_its_way_to_a_new_id_has_to_be_told_of_again_after_a_link_reset() -> None:
    workers, recorder = moved()
    workers.link_reset("g1.2")
    workers.announced("g1.2")
    recorder.finish(workers)
    assert recorder.take_events() == [(DISCONNECTED, "w")]
    workers, recorder = moved()
    workers.link_reset("g1.2")
    workers.up("g1.2", 1, "w", again=True)
    workers.announced("g1.2")
    recorder.finish(workers)
    assert recorder.take_events() == [(DISCONNECTED, "w"), (CONNECTED, "w")]


def test_the_next_leader_finishes_a_move_to_a_new_id() -> None:
    workers, recorder = leader(w=WorkerRecord("g1", 1))
    workers.gateways(["g1.2"])
    workers.up("g1.2", 1, "w", again=True)
    workers.announced("g1.2")
    recorder.finish(workers)
    assert recorder.take_events() == [(DISCONNECTED, "w"), (CONNECTED, "w")]
