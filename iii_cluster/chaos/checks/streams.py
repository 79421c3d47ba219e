"""Stream clients are shown changes in their order, with growing timestamps, and end with what is stored."""

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence

from iii_cluster.chaos.effects import Change, Shown, View, Viewing

from .evidence import Evidence
from .reach import Reach
from .violation import Violation

STORED = "a stream client ends with what is stored"
STAMPS = "timestamps of an item grow"
ORDER = "changes of an item are shown in their order"
ALL = "no change of an item is left out"

SYNC = "sync"
DELETE = "delete"
EXAMPLES = 3  # items named in a text

Acknowledged = dict[str, list[int]]  # numbers an item was set to, in their order


def check(evidence: Evidence, reach: Reach) -> Iterator[Violation]:
    viewings = {viewing.id: viewing for viewing in evidence.history.viewings}
    numbers: Acknowledged = defaultdict(list)
    for change in evidence.history.changes:
        if evidence.acknowledged(change.call) and not change.deleted:
            numbers[change.item].append(change.v)
    by_viewer: dict[tuple[str, str], list[Shown]] = defaultdict(list)
    for shown in evidence.history.shown:
        by_viewer[viewings[shown.viewing].viewer, shown.item].append(shown)
    for (viewer, item), messages in by_viewer.items():
        yield from _stamps(viewer, item, messages)
        yield from _changes(evidence, reach, viewings, numbers[item], messages)
    for view in evidence.history.views:
        yield from _stored(evidence, view)


def _stamps(viewer: str, item: str, messages: Sequence[Shown]) -> Iterator[Violation]:
    """Also across connections: the published clients drop what is not newer than what they had."""
    newest = 0
    for shown in messages:
        if shown.event == SYNC:
            continue
        if shown.timestamp <= newest:
            text = f"{viewer} was shown a change of {item} of {shown.timestamp} after one of {newest}"
            yield Violation(check=STAMPS, at=shown.at, text=text)
        newest = max(newest, shown.timestamp)


def _changes(
    evidence: Evidence,
    reach: Reach,
    viewings: Mapping[int, Viewing],
    numbers: Sequence[int],
    messages: Sequence[Shown],
) -> Iterator[Violation]:
    """Of one item, between two messages on one connection: none older, and none left out that was acknowledged."""
    before: Shown | None = None
    place = {v: index for index, v in enumerate(numbers)}
    for shown in messages:
        if shown.event == DELETE or (shown.event != SYNC and shown.v not in place):
            continue  # one of an unknown end may come late
        last, before = before, None if shown.event == SYNC else shown
        if last is None or before is None or last.viewing != shown.viewing:
            continue
        viewing = viewings[shown.viewing]
        assert last.v is not None
        assert shown.v is not None
        skipped = numbers[place[last.v] + 1 : place[shown.v]]
        if place[shown.v] <= place[last.v]:
            text = f"{viewing.viewer} was shown {shown.item} = {shown.v} after {last.v}"
            yield Violation(check=ORDER, at=shown.at, text=text)
        elif skipped and not evidence.forgot(last.at, shown.at) and not reach.hit(viewing.gateway, last.at, shown.at):
            text = f"{viewing.viewer} was shown {shown.item} = {shown.v} after {last.v}, and not {skipped[0]}"
            yield Violation(check=ALL, at=shown.at, text=text)


def _stored(evidence: Evidence, view: View) -> Iterator[Violation]:
    wrong = [
        f"{item} = {view.items.get(item, 'nothing')} where {view.stored.get(item, 'nothing')} is stored"
        for item in sorted(view.items.keys() | view.stored.keys())
        if view.items.get(item) != view.stored.get(item) and not _forgotten(evidence, item)
    ]
    if wrong:
        more = f" and {len(wrong) - EXAMPLES} more" if len(wrong) > EXAMPLES else ""
        text = f"{view.viewer} has {', '.join(wrong[:EXAMPLES])}{more}"
        yield Violation(check=STORED, at=view.at, text=text)


def _forgotten(evidence: Evidence, item: str) -> bool:
    """Redis lost it, and nobody wrote it since: no client is told of that."""
    written = [one for one in evidence.history.changes if one.item == item and evidence.acknowledged(one.call)]
    return evidence.forgot(_last(evidence, written), evidence.history.ended)


def _last(evidence: Evidence, changes: Sequence[Change]) -> float:
    return max((evidence.calls[one.call].began for one in changes), default=0.0)
