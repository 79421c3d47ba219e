from collections.abc import Collection

from coordinator.cleanup import STEP_TIMEOUT, CleanupQueue, Departure
from iii_cluster.bus.envelopes import Cleanup, Owner


class Recorder:
    def __init__(self) -> None:
        self.sent: list[tuple[str, Cleanup]] = []
        self.done: list[list[Departure]] = []
        self.late: list[tuple[str, list[str]]] = []
        self.told: list[list[Departure]] = []
        self.sends_at_once = True

    def send(self, node: str, envelope: Cleanup) -> None:
        self.sent.append((node, envelope))

    def tell(self, departures: list[Departure]) -> bool:
        self.told.append(departures)
        return self.sends_at_once

    def finished(self, departures: list[Departure]) -> None:
        self.done.append(departures)

    def overdue(self, step: str, nodes: Collection[str]) -> None:
        self.late.append((step, list(nodes)))

    def take(self) -> list[tuple[str, str]]:
        sent, self.sent = self.sent, []
        return [(node, cleanup.step) for node, cleanup in sent]


def departure(conn: int) -> Departure:
    return Departure(Owner("g1", conn, f"worker-{conn}"), known=True)


def queue() -> tuple[CleanupQueue, Recorder]:
    recorder = Recorder()
    cleanup = CleanupQueue(recorder)
    cleanup.members(["s1", "s2"], ["g1"], 0.0)
    return cleanup, recorder


def test_the_steps_follow_each_other_when_everybody_has_answered() -> None:
    cleanup, recorder = queue()
    cleanup.add([departure(1)], 0.0)
    assert recorder.take() == [("s1", "functions"), ("s2", "functions")]
    cleanup.acknowledged("s1", 1, "functions", 0.1)
    assert recorder.take() == []
    cleanup.acknowledged("s2", 1, "functions", 0.1)
    assert recorder.take() == [("s1", "triggers"), ("s2", "triggers")]
    cleanup.acknowledged("s1", 1, "triggers", 0.1)
    cleanup.acknowledged("s2", 1, "triggers", 0.1)
    assert recorder.take() == [("g1", "invocations")]
    assert recorder.told == []
    cleanup.acknowledged("g1", 1, "invocations", 0.1)
    assert recorder.told == [[departure(1)]]
    assert recorder.take() == [("g1", "told")]
    assert recorder.done == []
    cleanup.acknowledged("g1", 1, "told", 0.1)
    assert recorder.done == [[departure(1)]]
    assert cleanup.deadline is None


def test_events_that_wait_to_be_sent_are_confirmed_later() -> None:
    cleanup, recorder = queue()
    recorder.sends_at_once = False
    cleanup.members([], ["g1"], 0.0)
    cleanup.add([departure(1)], 0.0)
    cleanup.acknowledged("g1", 1, "invocations", 0.0)
    assert recorder.take() == [("g1", "invocations")]
    cleanup.told()
    cleanup.told()
    assert recorder.take() == [("g1", "told")]
    cleanup.acknowledged("g1", 1, "told", 0.0)
    assert recorder.done == [[departure(1)]]


def test_events_are_told_again_when_the_link_they_went_over_is_reset() -> None:
    cleanup, recorder = queue()
    cleanup.members([], ["g1"], 0.0)
    cleanup.add([departure(1)], 0.0)
    cleanup.acknowledged("g1", 1, "invocations", 0.0)
    recorder.take()
    cleanup.link_reset("g1", 0.1)
    assert recorder.told == [[departure(1)]] * 2
    assert recorder.take() == [("g1", "told")]
    cleanup.acknowledged("g1", 1, "told", 0.2)
    cleanup.link_reset("g1", 0.3)
    assert len(recorder.told) == 2


def test_requests_say_the_term_and_who_is_expected_back() -> None:
    cleanup, recorder = queue()
    cleanup.lead(7, ["s1"], [], 0.0)
    cleanup.add([departure(1), departure(2)._replace(back=True), departure(3)._replace(back=True)], 0.0)
    ((_node, request),) = recorder.sent
    assert (request.term, request.back) == (7, [1, 2])


def test_in_a_new_term_the_running_step_is_asked_again() -> None:
    cleanup, recorder = queue()
    cleanup.lead(1, ["s1", "s2"], ["g1"], 0.0)
    cleanup.add([departure(1)], 0.0)
    cleanup.acknowledged("s1", 1, "functions", 0.1)
    cleanup.acknowledged("s2", 1, "functions", 0.1)
    cleanup.acknowledged("s1", 1, "triggers", 0.1)
    recorder.take()
    cleanup.lead(3, ["s1", "s2"], ["g1"], 5.0)
    assert [(node, e.term, e.job) for node, e in recorder.sent] == [("s1", 3, 2), ("s2", 3, 2)]
    cleanup.acknowledged("s2", 1, "triggers", 5.1)
    assert recorder.take() == [("s1", "triggers"), ("s2", "triggers")]
    cleanup.acknowledged("s1", 2, "triggers", 5.1)
    cleanup.acknowledged("s2", 2, "triggers", 5.1)
    assert recorder.take() == [("g1", "invocations")]


def test_what_arrives_while_a_batch_runs_forms_the_next_one() -> None:
    cleanup, recorder = queue()
    cleanup.members([], ["g1"], 0.0)
    cleanup.add([departure(1)], 0.0)
    cleanup.add([departure(2)], 0.0)
    cleanup.add([departure(3)], 0.0)
    assert len(cleanup) == 3
    cleanup.acknowledged("g1", 1, "invocations", 0.0)
    cleanup.acknowledged("g1", 1, "told", 0.0)
    assert recorder.done == [[departure(1)]]
    cleanup.acknowledged("g1", 2, "invocations", 0.0)
    cleanup.acknowledged("g1", 2, "told", 0.0)
    assert recorder.done == [[departure(1)], [departure(2), departure(3)]]
    assert len(cleanup) == 0


def test_a_member_that_vanishes_is_not_waited_for() -> None:
    cleanup, recorder = queue()
    cleanup.add([departure(1)], 0.0)
    cleanup.acknowledged("s1", 1, "functions", 0.0)
    recorder.take()
    cleanup.members(["s1"], ["g1"], 0.1)
    assert recorder.take() == [("s1", "triggers")]


def test_a_member_that_joins_during_a_step_takes_part_in_the_next() -> None:
    cleanup, recorder = queue()
    cleanup.add([departure(1)], 0.0)
    recorder.take()
    cleanup.members(["s1", "s2", "s3"], ["g1"], 0.1)
    assert recorder.take() == []
    cleanup.acknowledged("s1", 1, "functions", 0.2)
    cleanup.acknowledged("s2", 1, "functions", 0.2)
    assert recorder.take() == [("s1", "triggers"), ("s2", "triggers"), ("s3", "triggers")]


def test_a_step_ends_at_its_deadline() -> None:
    cleanup, recorder = queue()
    cleanup.add([departure(1)], 0.0)
    cleanup.acknowledged("s1", 1, "functions", 0.1)
    recorder.take()
    cleanup.expire(STEP_TIMEOUT - 0.1)
    assert recorder.take() == []
    cleanup.expire(STEP_TIMEOUT)
    assert recorder.take() == [("s1", "triggers"), ("s2", "triggers")]
    assert recorder.late == [("functions", ["s2"])]
    assert cleanup.deadline == 2 * STEP_TIMEOUT


def test_late_answers_to_an_earlier_step_or_job_count_for_nothing() -> None:
    cleanup, recorder = queue()
    cleanup.add([departure(1)], 0.0)
    cleanup.expire(STEP_TIMEOUT)
    recorder.take()
    cleanup.acknowledged("s1", 1, "functions", 3.0)
    cleanup.acknowledged("s2", 0, "triggers", 3.0)
    cleanup.acknowledged("s1", 1, "triggers", 3.0)
    assert recorder.take() == []


def test_a_reset_link_is_asked_again() -> None:
    cleanup, recorder = queue()
    cleanup.add([departure(1)], 0.0)
    cleanup.acknowledged("s1", 1, "functions", 0.0)
    recorder.take()
    cleanup.link_reset("s1", 0.1)
    cleanup.link_reset("s2", 0.1)
    assert recorder.take() == [("s2", "functions")]


def test_without_members_a_batch_ends_at_once() -> None:
    recorder = Recorder()
    cleanup = CleanupQueue(recorder)
    cleanup.members([], [], 0.0)
    cleanup.add([departure(1)], 0.0)
    assert recorder.done == [[departure(1)]]


def test_a_deposed_leader_forgets_its_batches() -> None:
    cleanup, recorder = queue()
    cleanup.add([departure(1)], 0.0)
    cleanup.add([departure(2)], 0.0)
    cleanup.clear()
    assert len(cleanup) == 0
    cleanup.acknowledged("s1", 1, "functions", 0.0)
    cleanup.acknowledged("s2", 1, "functions", 0.0)
    cleanup.expire(100.0)
    assert recorder.done == []
    recorder.take()
    cleanup.add([departure(3)], 101.0)
    assert recorder.take() == [("s1", "functions"), ("s2", "functions")]
    assert recorder.sent == []
