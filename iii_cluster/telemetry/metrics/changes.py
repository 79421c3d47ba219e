"""What happened between two looks at the processes of a cluster. Pure."""

from collections.abc import Iterable, Mapping

from .durations import BUCKETS
from .functions import FunctionNumbers
from .snapshot import Snapshot

_Process = tuple[str, int, int]  # host, pid and start: a process keeps its numbers when its node joins anew


class Change:
    """Calls that ended between two looks, and the time between them."""

    def __init__(self, before: Iterable[Snapshot], after: Iterable[Snapshot]) -> None:
        earlier = {_process(one): one for one in before}
        latest = max((one.time_ms for one in earlier.values()), default=0)
        self.by_node: dict[str, dict[str, FunctionNumbers]] = {}
        spans = []
        for snapshot in after:
            known = earlier.get(_process(snapshot))
            if known is not None:
                spans.append(snapshot.time_ms - known.time_ms)
                self.by_node[snapshot.node] = _since(known.functions, snapshot.functions)
            elif snapshot.started_ms >= latest > 0:
                self.by_node[snapshot.node] = dict(snapshot.functions)
        self.seconds = max(spans, default=0) / 1000

    def per_second(self, count: float) -> float:
        return count / self.seconds if self.seconds else 0.0


def _process(snapshot: Snapshot) -> _Process:
    return snapshot.host, snapshot.pid, snapshot.started_ms


def _since(before: Mapping[str, FunctionNumbers], after: Mapping[str, FunctionNumbers]) -> dict[str, FunctionNumbers]:
    changes = {}
    for id, now in after.items():
        then = before.get(id)
        if then is None:
            changes[id] = now
        elif now.count != then.count or now.deferred != then.deferred:
            changes[id] = FunctionNumbers(
                now.count - then.count,
                now.errors - then.errors,
                now.deferred - then.deferred,
                now.seconds - then.seconds,
                [new - old for new, old in zip(now.buckets, then.buckets or [0] * BUCKETS, strict=True)],
            )
    return changes
