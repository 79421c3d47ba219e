"""Jobs made of triggers."""

import json
from typing import Any

import pytest

from iii_cluster.bus.envelopes import Trigger
from iii_cluster.modules.cron.jobs import Jobs, check, payload
from iii_cluster.protocol.errors import EngineError


def cron(
    id: str, expression: Any = "0 0 2 * * *", function: str = "f", namespace: str = "default", **more: Any
) -> Trigger:
    metadata = more.pop("metadata", b"")
    config = json.dumps({"expression": expression, **more}).encode()
    return Trigger(id, "cron", function, config, metadata, namespace=namespace)


def test_identical_triggers_are_one_job_named_by_the_smallest_id() -> None:
    jobs = Jobs()
    made = jobs.update([cron("b"), cron("a"), cron("c", "0 0  2 * * *")])
    assert [job.trigger.id for job in made.values()] == ["a"]
    assert [job.trigger.id for job in jobs.update([cron("b"), cron("c")]).values()] == ["b"]
    assert made.keys() == jobs.update([cron("z")]).keys()


def test_whatever_differs_makes_another_job() -> None:
    triggers = [
        cron("1"),
        cron("2", "0 0 3 * * *"),
        cron("3", function="g"),
        cron("4", namespace="blue"),
        cron("5", condition_function_id="check"),
        cron("6", _condition_path="other"),
        cron("7", metadata=b'{"tenant":"a"}'),
    ]
    made = Jobs().update(triggers)
    assert {job.trigger.id for job in made.values()} == {"1", "2", "3", "4", "5", "6", "7"}
    assert {job.trigger.id for job in made.values() if job.conditional} == {"5", "6"}


def test_metadata_inside_the_config_is_not_interpreted() -> None:
    assert len(Jobs().update([cron("1"), cron("2", metadata_={"step": "a"})])) == 1


def test_a_trigger_that_changed_is_read_again() -> None:
    jobs = Jobs()
    first = jobs.update([cron("1")])
    assert jobs.update([cron("1", "0 0 5 * * *")]).keys() != first.keys()


def test_a_trigger_that_no_gateway_should_have_let_pass_is_ignored(caplog: pytest.LogCaptureFixture) -> None:
    assert Jobs().update([cron("1", "nonsense")]) == {}
    assert "cron_trigger_ignored trigger=1" in caplog.text


@pytest.mark.parametrize(
    ("config", "said"),
    [
        (b"null", "must be an object"),
        (b"[]", "must be an object"),
        (b"{}", "expression is required"),
        (b'{"expression":null}', "expression is required"),
        (b'{"expression":""}', "expression is required"),
        (b'{"expression":"  "}', "expression is required"),
        (b'{"expression":5}', "must be an object whose expression is text"),
        (b'{"expression":"every day"}', "'every day' is not valid: 2 fields"),
        (b'{"expression":"* * * * * 9"}', "'* * * * * 9' is not valid: 9 in the day of week"),
    ],
)
def test_bad_registrations_are_refused(config: bytes, said: str) -> None:
    with pytest.raises(EngineError, match="trigger_registration_failed") as caught:
        check(Trigger("1", "cron", "f", config))
    assert said in caught.value.message


def test_what_is_too_long_is_not_repeated() -> None:
    with pytest.raises(EngineError) as caught:
        check(Trigger("1", "cron", "f", b'{"expression":"%b"}' % (b"5" * 1001)))
    assert caught.value.message == "the cron expression is not valid: longer than 1000 characters"


def test_good_registrations_pass() -> None:
    check(cron("1"))
    check(cron("1", "@daily", metadata={"any": 1}))


def test_the_payload_has_four_keys_in_order() -> None:
    job = next(iter(Jobs().update([cron('a"b')]).values()))
    tick = 1767232800
    assert payload(job, tick, tick * 1_000_000 + 4211) == (
        b'{"trigger":"cron","job_id":"a\\"b","scheduled_time":"2026-01-01T02:00:00+00:00",'
        b'"actual_time":"2026-01-01T02:00:00.004211+00:00"}'
    )
