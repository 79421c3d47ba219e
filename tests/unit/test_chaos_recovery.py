import pytest

from iii_cluster.chaos.history import OPEN, Ready
from iii_cluster.chaos.report.recovery import Recovery, recoveries, rows
from tests.support.chaos import NODES, Story


@pytest.fixture
def story() -> Story:
    """Everybody ready, calls all the time, until gateway-2 is killed at 10."""
    story = Story()
    for process in ("gateway-1", "gateway-2"):
        story.history.ready.append(Ready(process=process, at=1, ready=True))
    for began in range(2, 10):
        story.call(began, began + 0.1)
    story.map(2, 1, 1)
    return story


def only(story: Story) -> Recovery:
    (found,) = recoveries(story.history)
    return found


def test_a_fault_is_detected_at_its_first_sign(story: Story) -> None:
    story.fault("gateway-kill", 10, 11, "gateway-2")
    assert only(story).detect is None
    story.map(13, 1, 2, nodes=[NODES["gateway-1"], "coordinator-a"])
    assert only(story).detect == 3
    story.call(10, 12, "invocation_stopped")
    assert only(story).detect == 2
    story.history.ready.append(Ready(process="gateway-2", at=10.5, ready=False))
    assert only(story).detect == 0.5


def test_a_sign_after_the_next_fault_is_not_taken_for_one_of_this(story: Story) -> None:
    story.fault("shard-pause", 10, 10.5, "shard-1")
    story.fault("gateway-kill", 11, 12, "gateway-2")
    story.call(11, 12, "invocation_stopped")
    first, second = recoveries(story.history)
    assert (first.detect, second.detect) == (None, 1)


def test_a_function_is_rerouted_with_its_first_success_that_began_after_the_fault(story: Story) -> None:
    story.fault("gateway-kill", 10, 11, "gateway-2")
    story.call(9.9, 10.4)
    story.call(10.5, 11, "invocation_stopped")
    assert only(story).reroute is None
    story.call(11, 11.5)
    story.call(12, 12.5)
    assert only(story).reroute == 1.5


def test_only_functions_that_were_served_by_the_victim_count(story: Story) -> None:
    story.fault("gateway-kill", 10, 11, "gateway-2")
    story.call(11, 11.5)
    story.call(2, 2.1, function="x::g", kind="local")
    story.call(20, 21, function="x::g", kind="local")
    assert only(story).reroute == 1.5


def test_lookups_show_that_the_registry_is_served_again(story: Story) -> None:
    story.fault("shard-kill", 10, 11, "shard-1")
    story.call(10.1, 13, function="new", kind="first")
    assert only(story).reroute == 3


def test_a_fault_is_healed_when_all_are_ready_and_every_steady_function_answers(story: Story) -> None:
    story.fault("gateway-kill", 10, 11, "gateway-2")
    story.history.ready.append(Ready(process="gateway-2", at=10.2, ready=False))
    story.call(12, 12.5)
    assert only(story).healed is None
    story.history.ready.append(Ready(process="gateway-2", at=12.2, ready=True))
    assert only(story).healed == 2.5
    story.call(2, 2.1, function="x::g", kind="local")
    assert only(story).healed is None
    story.call(14, 15, function="x::g", kind="local")
    assert only(story).healed == 5


def test_a_fault_that_is_not_over_is_not_healed(story: Story) -> None:
    story.fault("gateway-freeze", 10, OPEN, "gateway-2", healed=OPEN)
    story.call(12, 12.5)
    assert only(story).healed is None


def test_kinds_are_summed_up_by_median_and_worst() -> None:
    def one(kind: str, detect: float | None) -> Recovery:
        return Recovery(index=0, kind=kind, lasted=1, detect=detect, reroute=None, healed=detect)

    found = rows([one("shard-kill", 3), one("shard-kill", 1), one("gateway-kill", None), one("shard-kill", 2)])
    assert [(row.kind, row.faults, row.detect, row.reroute) for row in found] == [
        ("gateway-kill", 1, (None, None), (None, None)),
        ("shard-kill", 3, (2, 3), (None, None)),
    ]
