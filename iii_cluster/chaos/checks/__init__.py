"""What must hold in every history."""

from collections.abc import Iterator

import msgspec

from iii_cluster.chaos.history import History

from . import calls, counts, cron, events, failures, jobs, maps, messages, requests, rest, streams, transfers
from .evidence import Evidence
from .reach import Reach
from .violation import Violation

__all__ = ["Violation", "check", "expected_failures"]


def check(history: History) -> list[Violation]:
    """All violations by time. A run that goes on (`history.ended` open) is only judged by what can not change."""
    evidence = Evidence(history)
    reach = Reach(evidence)
    found = [_with_faults(violation, reach) for violation in _all(evidence, reach)]
    return sorted(found, key=lambda violation: violation.at)


def expected_failures(history: History) -> set[int]:
    """Numbers of the calls that failed because what they called had gone on purpose, or was not there yet."""
    evidence = Evidence(history)
    reach = Reach(evidence)
    return {call.n for call in history.calls if failures.expected(evidence, reach, call)}


def _all(evidence: Evidence, reach: Reach) -> Iterator[Violation]:
    yield from calls.check(evidence)
    yield from failures.check(evidence, reach)
    yield from maps.check(evidence.history)
    yield from events.check(evidence, reach)
    yield from rest.check(evidence.history)
    yield from jobs.check(evidence, reach)
    yield from cron.check(evidence, reach)
    yield from counts.check(evidence, reach)
    yield from streams.check(evidence, reach)
    yield from messages.check(evidence)
    yield from requests.check(evidence, reach)
    yield from transfers.check(evidence, reach)


def _with_faults(violation: Violation, reach: Reach) -> Violation:
    near = [f"#{window.fault.index} {window.fault.kind}" for window in reach.near(violation.at)]
    return msgspec.structs.replace(violation, faults=near)
