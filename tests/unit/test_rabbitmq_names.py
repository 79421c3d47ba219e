"""What exchanges and queues in RabbitMQ are called."""

from hypothesis import given
from hypothesis import strategies as st
from pamqp import commands

from iii_cluster.modules.queue.adapter import Group
from iii_cluster.modules.queue.adapters.rabbitmq.names import (
    Names,
    backlog,
    names_of_group,
    names_of_named,
    topic_exchange,
)

PARTS = ("a", ".", "::", "@", "\\", "#", "/", "é", "\0", "-", "_", "retry", "dlq", "delay", "queue", "exchange", "%")
NAME = st.lists(st.sampled_from([*PARTS, "__fn_queue", "x" * 90]), min_size=1, max_size=6).map("".join)
GROUP = st.builds(Group, NAME, NAME, NAME) | st.builds(Group, NAME)


def queues_of(names: Names) -> set[str]:
    return {names.queue, names.retry_queue, names.dead_queue, names.delay_queue(100)}


def test_a_named_queue_is_called_as_ever() -> None:
    assert names_of_named("mail") == Names(
        exchange="iii.__fn_queue::mail",
        key="mail",
        queue="iii.__fn_queue::mail.queue",
        retry_exchange="iii.__fn_queue::mail::retry",
        retry_key="mail",
        retry_queue="iii.__fn_queue::mail::retry.queue",
        dead_exchange="iii.__fn_queue::mail::dlq",
        dead_key="mail",
        dead_queue="iii.__fn_queue::mail::dlq.queue",
        delay="iii.__fn_queue::mail::delay",
    )


def test_a_topic_and_its_groups_are_called_as_ever() -> None:
    assert topic_exchange("orders.created") == "iii.orders.created.exchange"
    group = names_of_group(Group("orders.created", "mail::send", "default"))
    assert group.queue == "iii.orders.created.mail::send@default.queue"
    assert group.dead_queue == "iii.orders.created.mail::send@default.dlq"
    shared = names_of_group(Group("orders"))
    assert (shared.queue, shared.dead_queue) == ("iii.orders.queue", "iii.orders.dlq")


@given(st.sets(NAME, min_size=2, max_size=5), st.sets(GROUP, min_size=2, max_size=5))
def test_no_two_queues_share_a_name(named: set[str], groups: set[Group]) -> None:
    found = [queues_of(names_of_named(name)) for name in named]
    found += [queues_of(names_of_group(group)) for group in groups]
    found += [{names.queue, names.delay_queue(100)} for names in map(backlog, {group.topic for group in groups})]
    assert len(set().union(*found)) == sum(map(len, found))


@given(st.sets(NAME, min_size=2, max_size=5), st.sets(NAME, min_size=2, max_size=5))
def test_no_two_exchanges_share_a_name(named: set[str], topics: set[str]) -> None:
    found = [{names.exchange, names.retry_exchange, names.dead_exchange} for names in map(names_of_named, named)]
    found.append({topic_exchange(topic) for topic in topics})
    assert len(set().union(*found)) == 3 * len(named) + len(topics)


@given(NAME, GROUP)
def test_the_client_library_accepts_all_names(name: str, group: Group) -> None:
    names = names_of_named(name)
    for exchange in (names.exchange, names.retry_exchange, names.dead_exchange, topic_exchange(group.topic)):
        commands.Exchange.Declare(exchange=exchange)
    for queue in queues_of(names) | queues_of(names_of_group(group)) | queues_of(backlog(group.topic)):
        commands.Queue.Declare(queue=queue)
        assert len(queue) <= 255
