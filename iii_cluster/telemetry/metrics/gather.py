"""The numbers of all processes of the cluster, and what they come to together."""

import logging
from collections.abc import Collection, Iterable
from typing import Any, Protocol

import msgspec

from .durations import BUCKETS, added
from .functions import FunctionNumbers
from .snapshot import Snapshot, decode_snapshot

SNAPSHOT = "telemetry.snapshot"  # the question; its answer is an encoded Snapshot

log = logging.getLogger(__name__)


class Asks(Protocol):
    """As `iii_cluster.bus.ask.Asker`."""

    async def ask_all(
        self, nodes: Iterable[str], op: str, body: object = None, timeout: float = 2.0  # noqa: ASYNC109
    ) -> tuple[dict[str, Any], set[str]]: ...  # fmt: skip


async def gather(asker: Asks, nodes: Collection[str]) -> tuple[dict[str, Snapshot], set[str]]:
    """Snapshots by node, and who did not answer in time. The asking node may be among `nodes`."""
    answers, missing = await asker.ask_all(nodes, SNAPSHOT)
    return decoded(answers, missing)


def decoded(answers: dict[str, Any], missing: Collection[str] = ()) -> tuple[dict[str, Snapshot], set[str]]:
    """The same out of what was answered; nonsense counts as no answer."""
    snapshots, failed = {}, set(missing)
    for node, body in answers.items():
        try:
            snapshots[node] = decode_snapshot(body)
        except (msgspec.MsgspecError, TypeError) as error:
            log.warning("action=snapshot_unreadable node=%s error=%s", node, error)
            failed.add(node)
    return snapshots, failed


def functions_of(snapshots: Iterable[Snapshot]) -> dict[str, FunctionNumbers]:
    """Of all processes together: every call is counted by one of them."""
    total: dict[str, FunctionNumbers] = {}
    for snapshot in snapshots:
        for id, own in snapshot.functions.items():
            known = total.get(id)
            total[id] = own if known is None else _sum(known, own)
    return total


def all_functions(functions: Iterable[FunctionNumbers]) -> FunctionNumbers:
    """What they come to."""
    total = FunctionNumbers(buckets=[0] * BUCKETS)
    for one in functions:
        total = _sum(total, one)
    return total


def _sum(one: FunctionNumbers, other: FunctionNumbers) -> FunctionNumbers:
    return FunctionNumbers(
        one.count + other.count,
        one.errors + other.errors,
        one.deferred + other.deferred,
        one.seconds + other.seconds,
        added(one.buckets, other.buckets),
        one.error_seconds + other.error_seconds,
        added(one.error_buckets, other.error_buckets)
        if one.error_buckets and other.error_buckets
        else one.error_buckets or other.error_buckets,
    )
