"""Jobs as messages of RabbitMQ."""

from typing import Any

import aio_pika
import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from iii_cluster.modules.queue.adapter import Dead, Job
from iii_cluster.modules.queue.adapters.rabbitmq.messages import (
    MAX_HEADERS,
    IncomingMessage,
    Tried,
    message_of,
    priority_of,
    read,
    read_dead,
)
from iii_cluster.protocol.errors import EngineError, error_body

TEXT = st.text(max_size=30)
JSON_STRING = st.text(min_size=1, max_size=30).map(msgspec.json.encode) | st.just(b"")
JOBS = st.builds(
    Job,
    id=st.text(min_size=1, max_size=60),
    data=st.binary(),
    created_at=st.integers(0, 2**50),
    function=TEXT,
    namespace=st.text(min_size=1, max_size=30),
    group=TEXT,
    traceparent=JSON_STRING,
    baggage=JSON_STRING,
)


def came(message: aio_pika.Message) -> IncomingMessage:
    return IncomingMessage(message.body, message.message_id, message.headers)


@given(JOBS, st.integers(0, 99), st.integers(0, 99))
def test_a_job_comes_back_as_it_was(job: Job, failures: int, redriven: int) -> None:
    tried = Tried(job, failures, redriven)
    assert read(came(message_of(tried, topic=False))) == tried


@given(JOBS, st.integers(1, 99))
def test_a_dead_job_tells_why_and_when(job: Job, failures: int) -> None:
    dead = Dead(job, error_body("broken", "it is"), 1_700_000_000_000, failures)
    message = message_of(Tried(job, failures, 2), topic=False, dead=dead)
    assert message.body == job.data
    assert read_dead(came(message)) == (dead, 2)


@given(
    st.binary(),
    st.none() | st.text(),
    st.dictionaries(
        st.sampled_from(["function_id", "x-attempt", "x-iii-group", "baggage", "x-iii-created-at", "x-iii-error"]),
        st.none() | st.booleans() | st.integers() | st.text() | st.binary() | st.lists(st.integers()),
    ),
)
def test_a_message_of_anybody_can_be_read(body: bytes, id: str | None, headers: dict[str, Any]) -> None:
    dead, redriven = read_dead(IncomingMessage(body, id, headers))
    assert dead.job.data == body
    assert dead.job.id
    assert redriven == 0


def test_long_message_groups_stay_different() -> None:
    groups = ["g" * 2000, "g" * 2001]
    jobs = [read(came(message_of(Tried(Job("1", b"", 0, group=group)), topic=False))).job for group in groups]
    assert len({job.group for job in jobs}) == 2
    assert all(len(job.group) < 100 for job in jobs)


def test_what_would_cost_the_connection_is_refused() -> None:
    with pytest.raises(EngineError, match="at most 255 bytes"):
        message_of(Tried(Job("ü" * 200, b"", 0)), topic=False)
    with pytest.raises(EngineError, match="exceed"):
        message_of(Tried(Job("1", b"", 0, function="f" * MAX_HEADERS)), topic=False)
    with pytest.raises(EngineError, match="exceed"):
        message_of(Tried(Job("1", b"", 0, baggage=b'"%s"' % (b"k" * MAX_HEADERS))), topic=False)


def test_a_long_error_is_shortened() -> None:
    dead = Dead(Job("1", b"", 0), error_body("broken", "é" * 100_000), 1, 1)
    error = read_dead(came(message_of(Tried(dead.job), topic=False, dead=dead)))[0].error
    assert msgspec.json.decode(error)["code"] == "broken"
    assert len(error) < 10_000


@pytest.mark.parametrize(
    ("data", "priority"),
    [
        (b'{"p":3}', 3),
        (b'{"p":-3}', 0),
        (b'{"p":99}', 9),
        (b'{"p":2.5}', None),
        (b'{"p":true}', None),
        (b"{}", None),
        (b"[1]", None),
        (b"", None),
    ],
)
def test_a_field_of_the_data_is_the_priority(data: bytes, priority: int | None) -> None:
    assert priority_of(data, "p", 9) == priority
    assert priority_of(data, None, 9) is None
    assert priority_of(data, "p", None) is None
