"""Names, retries, shares, trace context and triggers of queues: what needs no server."""

import itertools

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from iii_cluster.bus.envelopes import Trigger
from iii_cluster.modules.imports import BadConfig
from iii_cluster.modules.queue import retries
from iii_cluster.modules.queue.adapter import Group, Job, Queue
from iii_cluster.modules.queue.adapters.redis import partitions
from iii_cluster.modules.queue.adapters.redis.keys import LaneKeys
from iii_cluster.modules.queue.config import DEFAULT_QUEUE, Config, QueueConfig, all_queues, queue_of
from iii_cluster.modules.queue.names import group_of, group_queue, named_queue
from iii_cluster.modules.queue.putting import message_group
from iii_cluster.modules.queue.subscribers import DURABLE, SHARED, by_group, read
from iii_cluster.modules.queue.trace import baggage_for
from iii_cluster.protocol.errors import EngineError

AWKWARD = st.text(alphabet="ab:@#%*?[\\]{}\x00/ é", max_size=6)

# -- names -------------------------------------------------------------------------------------------


@given(st.lists(st.tuples(AWKWARD, AWKWARD, AWKWARD), min_size=2, max_size=8, unique=True))
def test_groups_of_different_topics_functions_and_namespaces_never_share_a_queue(
    parts: list[tuple[str, str, str]],
) -> None:
    ids = [group_queue(Group(topic, f"f{function}", namespace)) for topic, function, namespace in parts]
    assert len(set(ids)) == len(ids)


@given(AWKWARD, AWKWARD, AWKWARD)
def test_the_id_of_a_groups_queue_says_which_group_it_is(topic: str, function: str, namespace: str) -> None:
    for group in (Group(topic, f"f{function}", namespace), Group(topic)):
        assert group_of(group_queue(group)) == group
    assert group_of(partitions.parted(partitions.backlog_lane(topic))[0]).topic == topic


@given(AWKWARD, AWKWARD)
def test_named_queues_topics_and_backlogs_never_share_a_lane(one: str, other: str) -> None:
    lanes = [
        partitions.lane_id(named_queue(one)),
        partitions.lane_id(named_queue(one, fifo=True)),
        partitions.group_lane(Group(other)),
        partitions.group_lane(Group(other, f"f{one}", one)),
        partitions.backlog_lane(other),
    ]
    assert len(set(lanes)) == len(lanes)
    assert [partitions.parted(lane)[1] for lane in lanes] == [0] * len(lanes)


@given(st.sets(st.tuples(AWKWARD, st.integers(0, 12)), min_size=2), AWKWARD)
def test_keys_of_different_lanes_never_meet_whatever_message_groups_are_called(
    lanes: set[tuple[str, int]], group: str
) -> None:
    keys: list[str] = []
    for name, number in lanes:
        of = LaneKeys("{c}", partitions.lane_id(named_queue(name, fifo=True), number))
        keys += [of.jobs, of.waiting, of.groups, of.group + group, of.group + f"x#{number}:waiting"]
    assert len(set(keys)) == len(keys)


def test_lanes_of_a_topic_are_told_from_those_of_topics_with_similar_names() -> None:
    groups = [Group("a"), Group("a", "f", "default"), Group("a", "g", "n@s"), Group("a@default"), Group("ab", "f", "x")]
    lanes = [partitions.group_lane(group) for group in groups] + [partitions.backlog_lane("a")]
    expected = sorted([*lanes[:3], partitions.backlog_lane("a")])
    assert partitions.topic_lanes("a", lanes) == expected


# -- lanes -------------------------------------------------------------------------------------------


@given(st.integers(1, 64), st.integers(0, 200))
def test_the_lanes_of_a_queue_share_its_concurrency(parts: int, concurrency: int) -> None:
    queue = Queue(id=named_queue("q"), name="q", partitions=parts, concurrency=concurrency)
    shares = [partitions.share(queue, lane) for lane in partitions.lanes_of(queue, {})]
    assert sum(shares) == concurrency
    assert max(shares) - min(shares) <= 1


def test_jobs_of_a_message_group_have_one_lane() -> None:
    queue = Queue(id=named_queue("q", fifo=True), name="q", fifo=True, partitions=8)
    jobs = [Job(str(number), b"{}", 0, group=f"g{number % 3}") for number in range(60)]
    lanes = {(job.group, partitions.lane_of(queue, job)) for job in jobs}
    assert len(lanes) == 3
    standard = Queue(id=named_queue("q"), name="q", partitions=8)
    assert len({partitions.lane_of(standard, job) for job in jobs}) == 8


def test_lanes_of_an_earlier_configuration_are_served_until_they_are_empty() -> None:
    queue = Queue(id=named_queue("q", fifo=True), name="q", fifo=True, partitions=1, concurrency=4)
    known = ["fn:q#0", "fifo:q#0", "fifo:q#3", "fn:other#0", "topic:q#0", "fn:q"]
    assert partitions.lanes_of(queue, partitions.by_queue(known)) == ["fifo:q#0", "fifo:q#3", "fn:q#0"]
    assert [partitions.share(queue, lane) for lane in ("fifo:q#0", "fifo:q#3", "fn:q#0")] == [4, 1, 1]


# -- retries -----------------------------------------------------------------------------------------


def named(max_retries: int | None, backoff_ms: int = 1000) -> Queue:
    return Queue(id="fn:q", name="q", max_retries=max_retries, backoff_ms=backoff_ms)


def subscribed(max_retries: int | None) -> Queue:
    return Queue(id="topic:q", name="q", group=Group("q"), max_retries=max_retries)


def test_named_queues_count_all_attempts_and_subscribers_count_repetitions() -> None:
    assert [retries.total_attempts(named(count)) for count in (0, 1, 2, 4)] == [1, 1, 2, 4]
    assert [retries.total_attempts(subscribed(count)) for count in (0, 1, 3)] == [1, 2, 4]
    assert retries.total_attempts(named(None)) == retries.total_attempts(subscribed(None)) == 3


def test_the_wait_doubles_with_every_failure() -> None:
    delays = [retries.retry_delay(named(5, 50), failures) for failures in range(1, 6)]
    assert delays == [50, 100, 200, 400, None]


def test_waiting_times_saturate_instead_of_overflowing() -> None:
    assert retries.backoff(1000, 0) == 1000
    assert retries.backoff(1000, 10**9) == retries.MAX_DELAY_MS
    assert retries.backoff(retries.MAX_DELAY_MS, 2) == retries.MAX_DELAY_MS
    assert retries.backoff(0, 10**9) == 0
    growing = [retries.backoff(7, failures) for failures in range(200)]
    assert all(before <= after for before, after in itertools.pairwise(growing))


# -- configuration -----------------------------------------------------------------------------------


def test_the_default_queue_is_always_there_and_can_be_configured() -> None:
    assert all_queues(Config()) == {DEFAULT_QUEUE: QueueConfig()}
    assert all_queues(Config(queue_configs={DEFAULT_QUEUE: {"concurrency": 1}}))[DEFAULT_QUEUE].concurrency == 1
    assert all_queues(Config(queue_configs={"q": None}))["q"] == QueueConfig()


@pytest.mark.parametrize(
    ("queue", "said"),
    [
        ({"type": "fifo"}, "message_group_field"),
        ({"type": "lifo"}, "lifo"),
        ({"concurrency": 0}, "concurrency"),
        ({"concurency": 1}, "concurency"),
        ({"max_retries": -1}, "max_retries"),
        ({"max_priority": 256}, "max_priority"),
        ({"backoff_ms": 1.5}, "backoff_ms"),
        ({"partitions": 11}, "partitions"),
        ({"timeout_ms": 0}, "timeout_ms"),
    ],
)
def test_queues_that_make_no_sense_are_refused(queue: dict[str, object], said: str) -> None:
    with pytest.raises(BadConfig, match=said) as refused:
        all_queues(Config(queue_configs={"q": queue}))
    assert refused.value.place[:2] == ("queue_configs", "q")


@pytest.mark.parametrize("name", ["", "x" * 1025])
def test_queues_need_a_name_that_can_be_stored(name: str) -> None:
    with pytest.raises(BadConfig, match="name of a queue"):
        all_queues(Config(queue_configs={name: {}}))


def test_every_documented_key_of_a_queue_is_known() -> None:
    everything = {
        "type": "fifo",
        "max_retries": 5,
        "concurrency": 4,
        "message_group_field": "user",
        "backoff_ms": 10,
        "poll_interval_ms": 20,
        "max_priority": 9,
        "priority_field": "p",
        "partitions": 2,
        "timeout_ms": 1500,
        "delay_ms": 30,
    }
    config = all_queues(Config(queue_configs={"q": everything}))["q"]
    queue = queue_of("q", config, 300.0)
    assert (queue.fifo, queue.max_retries, queue.concurrency, queue.partitions) == (True, 5, 4, 2)
    assert (queue.timeout, queue.backoff_ms, queue.max_priority, queue.priority_field) == (1.5, 10, 9, "p")
    assert queue_of("q", QueueConfig(), 300.0).timeout == 300.0


# -- message groups ----------------------------------------------------------------------------------

FIFO = QueueConfig(type="fifo", message_group_field="user")


@pytest.mark.parametrize(
    ("data", "group"),
    [(b'{"user":"ana","n":1}', "ana"), (b'{"user":7}', "7"), (b'{"user":{"a":1}}', '{"a":1}'), (b'{"user":""}', "")],
)
def test_the_message_group_is_the_value_of_the_field(data: bytes, group: str) -> None:
    assert message_group(FIFO, data) == group
    assert message_group(QueueConfig(), data) == ""


@pytest.mark.parametrize(
    ("data", "said"), [(b"{}", "user"), (b"[1]", "user"), (b"5", "user"), (b'{"user":null}', "null")]
)
def test_data_without_a_message_group_is_refused(data: bytes, said: str) -> None:
    with pytest.raises(EngineError, match=said) as refused:
        message_group(FIFO, data)
    assert refused.value.code == "enqueue_error"


def test_an_overlong_message_group_is_refused() -> None:
    with pytest.raises(EngineError, match="bytes"):
        message_group(FIFO, msgspec.json.encode({"user": "x" * 2000}))


# -- trace context -----------------------------------------------------------------------------------


def test_baggage_names_the_target_and_loses_what_was_about_the_sender() -> None:
    sent = b'"iii.function.id=a::caller,user=ana;p=1, iii.tag.kind=x,iii.tag.display_name=y,iii.tag.hidden=1"'
    assert baggage_for("mail::send", sent) == b'"iii.function.id=mail::send,user=ana;p=1"'
    assert baggage_for("", b'"iii.function.id=a,iii.tag.kind=x"') == b'"iii.function.id=a"'
    assert baggage_for("f", b"") == b""
    assert baggage_for("f", b'"iii.tag.kind=x"') == b""
    assert baggage_for("f", b'{"user":"ana"}') == baggage_for("f", b'"\xff"') == b""


# -- triggers ----------------------------------------------------------------------------------------


def trigger(config: object, *, type: str = DURABLE, function: str = "f", namespace: str = "default") -> Trigger:
    return Trigger("t", type, function, msgspec.json.encode(config), namespace=namespace)


@pytest.mark.parametrize("config", [{}, {"topic": ""}, {"topic": 5}, {"topic": "x" * 1025}, [], None, "topic"])
def test_a_trigger_without_a_topic_consumes_nothing(config: object) -> None:
    assert read(trigger(config), 300.0) is None


def test_a_durable_trigger_without_a_function_consumes_nothing() -> None:
    assert read(trigger({"topic": "a"}, function=""), 300.0) is None


def test_queue_triggers_share_a_group_and_durable_ones_have_one_for_each_function() -> None:
    shared = [read(trigger({"topic": "a"}, type=SHARED, function=f), 1.0) for f in ("f", "g")]
    durable = [
        read(trigger({"topic": "a"}, function=f, namespace=n), 1.0) for f, n in (("f", "x"), ("g", "x"), ("f", "y"))
    ]
    ids = [found.queue.id for found in (*shared, *durable) if found]
    assert ids[0] == ids[1]
    assert len(set(ids)) == 4
    assert (aliased := read(trigger({"queue": "a"}, type=SHARED), 1.0))
    assert aliased.queue.id == ids[0]


def test_camel_case_settings_of_subscribers_are_read_and_others_ignored() -> None:
    how = {
        "maxRetries": 3,
        "backoffDelayMs": 5,
        "concurrency": 4,
        "visibilityTimeout": 9,
        "max_retries": 8,
        "type": "standard",
    }
    found = read(trigger({"topic": "a", "queue_config": how}), 2.0)
    assert found
    assert (found.queue.max_retries, found.queue.backoff_ms, found.queue.concurrency) == (3, 5, 4)
    assert not found.queue.fifo
    fifo = read(trigger({"topic": "a", "queue_config": {"type": "fifo", "concurrency": 9}}), 2.0)
    assert fifo
    assert (fifo.queue.fifo, fifo.queue.concurrency, fifo.queue.max_retries) == (True, 1, None)


@pytest.mark.parametrize("how", [5, {"concurrency": "many"}, {"concurrency": -1}, {"concurrency": True}, None])
def test_settings_that_make_no_sense_count_as_not_said(how: object) -> None:
    found = read(trigger({"topic": "a", "queue_config": how}), 2.0)
    assert found
    assert found.queue.concurrency == 10


def test_the_last_subscriber_that_says_how_is_heard() -> None:
    configs = [
        {"topic": "a", "queue_config": {"maxRetries": 1}},
        {"topic": "a", "queue_config": {"maxRetries": 2}},
        {"topic": "a"},
    ]
    found = [read(trigger(config), 1.0) for config in configs]
    ((queue, triggers),) = by_group(one for one in found if one).values()
    assert queue.max_retries == 2
    assert len(triggers) == 3
