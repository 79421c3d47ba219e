"""Cron jobs, made of triggers: those that say the same thing are one job. Pure."""

import logging
from collections.abc import Iterable
from hashlib import blake2b
from typing import Any, NamedTuple

import msgspec
from msgspec import Struct

from iii_cluster.bus.envelopes import Trigger
from iii_cluster.modules.conditions import condition_of
from iii_cluster.protocol import errors
from iii_cluster.protocol.errors import EngineError

from .expression import MAX_LENGTH, BadExpression, Expression, normal, parse
from .instants import rfc3339, rfc3339_micros

TYPE = "cron"  # of triggers, and the first part of the keys of jobs

logger = logging.getLogger(__name__)


class Job(NamedTuple):
    """`key` names it in the whole cluster; `trigger` is the one with the smallest id."""

    key: str
    trigger: Trigger
    expression: Expression
    conditional: bool


class _Config(Struct):
    expression: str | None = None


_decode = msgspec.json.Decoder(_Config).decode


def check(trigger: Trigger) -> None:
    """Raises EngineError for a trigger that can be no job."""
    text = expression_of(trigger)
    try:
        parse(text)
    except BadExpression as error:
        named = "the cron expression" if len(text) > MAX_LENGTH else f"cron expression {text!r}"
        message = f"{named} is not valid: {error}"
        raise EngineError(errors.TRIGGER_REGISTRATION_FAILED, message) from None


def expression_of(trigger: Trigger) -> str:
    """Raises EngineError when there is none."""
    try:
        text = _decode(trigger.config).expression
    except msgspec.MsgspecError as error:
        message = f"a cron trigger's config must be an object whose expression is text: {error}"
        raise EngineError(errors.TRIGGER_REGISTRATION_FAILED, message) from None
    if text is None or not text.strip():
        raise EngineError(errors.TRIGGER_REGISTRATION_FAILED, "a cron expression is required")
    return text


class Jobs:
    """Follows the live triggers; remembers what it made of each."""

    def __init__(self) -> None:
        self._known: dict[str, tuple[Trigger, Job | None]] = {}  # by trigger id

    def update(self, triggers: Iterable[Trigger]) -> dict[str, Job]:
        """All jobs by key, given all triggers there are."""
        known, self._known = self._known, {}
        jobs: dict[str, Job] = {}
        for trigger in triggers:
            before = known.get(trigger.id)
            job = before[1] if before is not None and before[0] is trigger else _job(trigger)
            self._known[trigger.id] = trigger, job
            if job is not None and (job.key not in jobs or trigger.id < jobs[job.key].trigger.id):
                jobs[job.key] = job
        return jobs


def _job(trigger: Trigger) -> Job | None:
    try:
        text = expression_of(trigger)
        expression = parse(text)
    except (EngineError, BadExpression) as error:  # a gateway of another version let it pass
        logger.warning("action=cron_trigger_ignored trigger=%s error=%s", trigger.id, error)
        return None
    condition = condition_of(trigger)
    same = msgspec.json.encode([trigger.namespace, trigger.function, normal(text), condition])
    digest = blake2b(same + trigger.metadata, digest_size=16).hexdigest()
    return Job(f"{TYPE}:{digest}", trigger, expression, bool(condition))


def payload(job: Job, tick: int, actual: int) -> bytes:
    """What the handler gets: `tick` in seconds, `actual` in microseconds since 1970."""
    event: dict[str, Any] = {
        "trigger": TYPE,
        "job_id": job.trigger.id,
        "scheduled_time": rfc3339(tick),
        "actual_time": rfc3339_micros(actual),
    }
    return msgspec.json.encode(event)
