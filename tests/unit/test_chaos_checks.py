import pytest

from iii_cluster.chaos.checks import calls, check, events, expected_failures, failures, maps, rest
from iii_cluster.chaos.history import OPEN, Connection, Elected, Late, NotBack, Stray
from tests.support.chaos import NODES, Story

NOT_FOUND = "function_not_found"
STOPPED = "invocation_stopped"


@pytest.fixture
def story() -> Story:
    return Story()


def broken(story: Story) -> list[str]:
    """The rules that are broken."""
    return sorted({violation.check for violation in check(story.history)})


def test_a_sound_history_is_clean(story: Story) -> None:
    for began in range(2, 50):
        story.execute(story.call(began, began + 0.1), story.first)
    story.map(2, 1, 1)
    story.map(2, 1, 1, process="gateway-2")
    story.final(["f"], ["f"])
    assert check(story.history) == []


# Calls


def test_a_call_that_never_ended_is_found(story: Story) -> None:
    story.call(5, OPEN, "", answers=0)
    assert broken(story) == [calls.ENDS]


def test_a_call_that_took_too_long_is_found(story: Story) -> None:
    story.call(5, 45)
    assert broken(story) == [calls.ENDS]


def test_a_call_whose_caller_lost_its_connection_may_go_unanswered(story: Story) -> None:
    story.call(5, OPEN, "", answers=0, orphaned=True)
    assert broken(story) == []


def test_a_call_may_take_longer_where_the_machine_stood_still(story: Story) -> None:
    story.call(5, 35)
    story.history.late.append(Late(at=20, seconds=10))
    assert broken(story) == []


def test_the_answer_to_another_call_is_found(story: Story) -> None:
    story.call(5, 6, answer=77)
    assert broken(story) == [calls.OWN_ANSWER]


def test_an_answer_for_another_function_is_found(story: Story) -> None:
    story.call(5, 6, answered_as="g")
    assert broken(story) == [calls.OWN_ANSWER]


def test_an_answer_to_nothing_is_found(story: Story) -> None:
    story.history.strays.append(Stray(connection=story.caller.id, at=5, text="{}"))
    assert broken(story) == [calls.OWN_ANSWER]


def test_a_second_answer_is_found(story: Story) -> None:
    story.call(5, 6, answers=2)
    assert broken(story) == [calls.ANSWERED_ONCE]


def test_a_call_that_was_carried_out_twice_is_found(story: Story) -> None:
    call = story.call(5, 6)
    story.execute(call, story.first)
    story.execute(call, story.second)
    assert broken(story) == [calls.EXECUTED_ONCE]


# Failures


def test_a_failure_without_a_fault_is_found(story: Story) -> None:
    story.call(5, 6, STOPPED)
    assert broken(story) == [failures.EXPLAINED]


def test_not_found_with_a_live_owner_is_found(story: Story) -> None:
    story.call(5, 6, NOT_FOUND, "g", kind="local")
    assert broken(story) == [failures.FOUND]


def test_not_found_with_a_live_owner_is_found_during_a_fault_elsewhere(story: Story) -> None:
    story.fault("gateway-kill", 5, 6, "gateway-2")
    story.fault("redis-freeze", 5, 9, "redis")
    story.call(5.5, 6, NOT_FOUND, "f")
    assert broken(story) == [failures.FOUND]


def test_not_found_is_right_when_the_owners_gateway_was_taken_for_dead(story: Story) -> None:
    story.map(4, 1, 2, nodes=[NODES["gateway-2"], "coordinator-a"], process="gateway-2")
    story.fault("redis-freeze", 1, 4, "redis")
    story.call(5, 6, NOT_FOUND, "g", kind="remote", connection=story.other.id)
    assert failures.FOUND not in broken(story)


def test_not_found_is_right_while_the_owner_is_not_confirmed_or_has_gone(story: Story) -> None:
    story.fault("workers-reset", 9, 9, "late", "gone")
    late = story.connect("late", "gateway-1")
    story.register(late, "late", since=9, confirmed=12.0)
    gone = story.connect("gone", "gateway-1", closed=9.0)
    story.register(gone, "gone")
    story.call(10, 10.5, NOT_FOUND, "late", kind="single")
    story.call(10, 10.5, NOT_FOUND, "gone", kind="single")
    assert broken(story) == []


def test_failures_that_need_no_fault_are_told_apart(story: Story) -> None:
    gone = story.call(5, 5.1, NOT_FOUND, "nobody's", kind="churn")
    story.register(story.first, "left", until=6.0)
    left = story.call(5.9, 6.1, STOPPED, "left", kind="trigger")
    story.call(5, 5.1, NOT_FOUND, "f")  # it was served
    story.call(5, 5.1, "TIMEOUT", "nobody's", kind="churn")
    story.call(5, 5.1)
    assert expected_failures(story.history) == {gone.n, left.n}


def test_not_found_is_right_for_a_function_that_comes_and_goes(story: Story) -> None:
    story.call(5, 5.1, NOT_FOUND, "nobody's", kind="churn")
    assert broken(story) == []


def test_a_call_may_end_with_an_owner_that_leaves_by_itself(story: Story) -> None:
    story.history.registrations[2].until = 5.5
    story.call(5, 5.6, STOPPED, "g", kind="trigger")
    assert broken(story) == []


def test_a_call_may_end_with_an_owner_whose_leaving_takes_its_time(story: Story) -> None:
    registration = story.history.registrations[2]
    story.call(6, 6.6, STOPPED, "g", kind="trigger")
    registration.until = 5.5
    assert broken(story) == [failures.EXPLAINED]
    connection = next(one for one in story.history.connections if one.id == registration.connection)
    connection.leaving, connection.closed = 5.5, 6.1
    assert broken(story) == []
    connection.closed = 5.7
    assert broken(story) == [failures.EXPLAINED]


@pytest.mark.parametrize("kind", ["shard-kill", "shard-freeze", "coordinator-term", "leader-kill"])
def test_a_cached_route_that_fails_in_a_fault_of_shards_or_coordinators_is_found(story: Story, kind: str) -> None:
    story.fault(kind, 5, 6, "shard-1")
    story.call(2, 2.1)
    story.call(5.5, 6, "TIMEOUT")
    assert broken(story) == [failures.CACHED]


def test_a_call_within_one_gateway_that_fails_in_a_fault_of_redis_is_found(story: Story) -> None:
    story.fault("redis-kill", 5, 6, "redis")
    story.call(5.5, 6, "TIMEOUT", "g", kind="local")
    assert broken(story) == [failures.SAME_GATEWAY]


def test_a_call_between_gateways_may_fail_without_redis(story: Story) -> None:
    story.fault("redis-kill", 5, 6, "redis")
    story.call(5.5, 6, "TIMEOUT", "g", kind="remote", connection=story.other.id)
    assert broken(story) == []


def test_a_replicated_function_may_fail_for_a_lease_and_a_second_after_a_kill(story: Story) -> None:
    story.fault("gateway-kill", 5, 6, "gateway-2")
    story.call(5.5, 7.9, STOPPED)
    assert broken(story) == []


def test_a_replicated_function_that_fails_longer_after_a_kill_is_found(story: Story) -> None:
    story.fault("gateway-kill", 5, 6, "gateway-2", healed=7.0)
    story.call(5.5, 8.3, STOPPED)
    assert broken(story) == [failures.REPLICAS]


def test_a_replicated_function_may_fail_longer_when_its_last_owner_was_hit(story: Story) -> None:
    story.history.connections[story.first.id - 1].closed = 3.0
    story.fault("gateway-kill", 5, 6, "gateway-2", healed=7.0)
    story.call(5.5, 8.3, STOPPED)
    assert broken(story) == []


def test_a_gateway_that_stops_by_itself_loses_no_replicated_call(story: Story) -> None:
    story.fault("gateway-term", 5, 6, "gateway-2")
    story.call(5.5, 5.9, STOPPED)
    assert broken(story) == [failures.REPLICAS]


def test_a_single_function_may_fail_until_its_gateway_is_back(story: Story) -> None:
    lonely = story.connect("lonely", "gateway-2", closed=5.0)
    story.register(lonely, "lonely")
    story.fault("gateway-kill", 5, 6, "gateway-2", healed=8.0)
    story.call(12, 13, NOT_FOUND, "lonely", kind="single")
    assert broken(story) == []
    story.call(40, 41, NOT_FOUND, "lonely", kind="single")
    assert broken(story) == [failures.EXPLAINED]


def test_a_pause_shorter_than_the_lease_explains_nothing_unless_the_cluster_took_the_victim_for_dead(
    story: Story,
) -> None:
    story.fault("gateway-pause", 5, 5.5, "gateway-1")
    story.call(5.2, 6, STOPPED, "g", kind="local")
    story.map(2, 1, 1)
    assert broken(story) == [failures.EXPLAINED]
    story.map(6, 1, 2, nodes=[NODES["gateway-2"], "coordinator-a"], process="gateway-2")
    assert broken(story) == []


def test_faults_that_overlap_add_up(story: Story) -> None:
    story.fault("gateway-kill", 5, 6, "gateway-2")
    story.fault("leader-kill", 5.5, 6, "coordinator-1")
    story.call(5.5, 9.5, STOPPED)
    assert broken(story) == []


# Maps


def test_two_leaders_of_one_term_are_found_in_logs_and_maps(story: Story) -> None:
    story.history.elected.append(Elected(process="coordinator-1", node="coordinator-a", at=1, term=3))
    story.map(2, 3, 1, leader="coordinator-b")
    assert broken(story) == [maps.ONE_LEADER]


def test_two_maps_of_one_version_are_found(story: Story) -> None:
    story.map(2, 1, 1)
    story.map(2, 1, 1, process="gateway-2", nodes=["gateway-gateway1", "x"])
    assert broken(story) == [maps.ONE_MAP]


def test_two_owners_of_a_slot_are_found(story: Story) -> None:
    story.map(2, 1, 1)
    story.map(2, 1, 1, process="gateway-2", slots={"shard-a": [[0, 510]], "shard-b": [[511, 1023]]})
    assert broken(story) == [maps.ONE_OWNER]
    assert "1 slots, such as 511" in check(story.history)[0].text


def test_a_process_that_goes_back_to_an_older_map_is_found(story: Story) -> None:
    story.map(2, 2, 5)
    story.map(3, 2, 4)
    assert broken(story) == [maps.FORWARD]


def test_a_process_that_was_started_again_may_begin_with_an_older_map(story: Story) -> None:
    story.map(2, 2, 5)
    story.map(3, 2, 4, pid=2)
    assert broken(story) == []


# Events


def watched(story: Story) -> Connection:
    """A subscriber that was told of everybody there is."""
    watcher = story.connect("watcher", "gateway-2", opened=0.1)
    story.register(watcher, "told", since=0.1, subscribed=True)
    for worker in story.history.connections:
        story.tell(watcher, 1.5, "connected", worker)
    return watcher


def test_events_told_once_are_right(story: Story) -> None:
    watcher = watched(story)
    visitor = story.connect("visitor", "gateway-1", opened=10.0, closed=12.0)
    story.tell(watcher, 10, "connected", visitor)
    story.tell(watcher, 12, "disconnected", visitor)
    assert broken(story) == []


def test_an_event_told_twice_is_found(story: Story) -> None:
    watcher = watched(story)
    story.tell(watcher, 5, "connected", story.local)
    assert broken(story) == [events.ONCE]


def test_an_event_may_repeat_where_the_one_in_between_could_not_be_told(story: Story) -> None:
    watcher = watched(story)
    story.tell(watcher, 20, "connected", story.second)
    story.fault("network-cut", 10, 15, "gateway-2")
    assert broken(story) == []


def test_a_worker_that_was_there_before_its_subscriber_and_is_told_gone_is_told_back(story: Story) -> None:
    watcher = watched(story)
    story.tell(watcher, 5, "disconnected", story.local)
    assert broken(story) == [events.TOLD]
    story.tell(watcher, 6, "connected", story.local)
    assert broken(story) == []


def test_a_worker_whose_gateway_joined_again_comes_and_goes_twice(story: Story) -> None:
    watcher = watched(story)
    story.tell(watcher, 5, "disconnected", story.local)
    story.tell(watcher, 6, "connected", story.local)
    assert broken(story) == []


def test_a_departure_nobody_told_is_found(story: Story) -> None:
    watcher = watched(story)
    visitor = story.connect("visitor", "gateway-1", opened=10.0, closed=12.0)
    story.tell(watcher, 10, "connected", visitor)
    assert broken(story) == [events.TOLD]


def test_a_subscriber_that_is_told_nothing_at_all_is_found(story: Story) -> None:
    story.register(story.other, "told", subscribed=True)
    story.connect("visitor", "gateway-1", opened=10.0)
    assert broken(story) == [events.TOLD]


def test_a_live_worker_that_was_told_gone_is_found(story: Story) -> None:
    watcher = watched(story)
    visitor = story.connect("visitor", "gateway-1", opened=10.0)
    story.tell(watcher, 10, "connected", visitor)
    story.tell(watcher, 12, "disconnected", visitor)
    assert broken(story) == [events.TOLD]


def test_a_subscriber_whose_gateway_was_hit_may_have_missed_an_event(story: Story) -> None:
    watched(story)
    story.connect("visitor", "gateway-1", opened=10.0, closed=12.0)
    story.fault("gateway-freeze", 11, 15, "gateway-2")
    assert broken(story) == []


def test_a_departure_that_nobody_is_left_to_know_of_need_not_be_told(story: Story) -> None:
    watcher = watched(story)
    visitor = story.connect("visitor", "gateway-1", opened=10.0, closed=12.0)
    story.tell(watcher, 10, "connected", visitor)
    story.fault("redis-flush", 13, 13, "redis", forgot=True)
    assert broken(story) == [events.TOLD]
    story.fault("gateway-kill", 13, 14, "gateway-1")
    assert broken(story) == []


def test_a_worker_that_came_and_went_while_nobody_led_need_not_be_told(story: Story) -> None:
    watcher = watched(story)
    story.fault("leader-kill", 9, 13, "coordinator-1")
    visitor = story.connect("visitor", "gateway-1", opened=10.0, closed=12.0)
    assert broken(story) == []
    story.tell(watcher, 14, "connected", visitor)
    assert broken(story) == [events.TOLD]


# At rest


def test_a_listing_with_too_little_or_too_much_is_found(story: Story) -> None:
    story.final(["f", "g"], ["g", "ghost"])
    assert broken(story) == [rest.REGISTRY]
    assert "missing f, stale ghost" in check(story.history)[0].text


def test_a_row_listed_twice_is_found(story: Story) -> None:
    story.final(["f"], ["f", "f"])
    assert broken(story) == [rest.REGISTRY]


def test_a_process_that_does_not_come_back_is_found(story: Story) -> None:
    story.history.not_back.append(NotBack(process="shard-1", at=60, reasons=["fenced"]))
    assert broken(story) == [rest.READY]


def test_a_run_that_goes_on_is_judged_by_what_is_sure_already(story: Story) -> None:
    story.history.ended = OPEN
    story.fault("gateway-kill", 5, OPEN, "gateway-2", healed=OPEN)
    story.call(5, OPEN, "", answers=0)
    story.call(5.5, 6, STOPPED, connection=story.other.id)
    assert broken(story) == []
    story.call(5.5, 6, answer=99)
    assert broken(story) == [calls.OWN_ANSWER]


def test_a_violation_names_the_faults_around_it(story: Story) -> None:
    story.fault("shard-kill", 5, 6, "shard-1")
    story.call(5.5, 6, answer=99)
    assert check(story.history)[0].faults == ["#0 shard-kill"]
