"""One leader per term, one map per term and epoch, one owner per slot and epoch; nobody goes back to an older map."""

from collections.abc import Iterator

from iii_cluster.chaos.history import History, MapSeen

from .violation import Violation

ONE_LEADER = "a term has one leader"
ONE_MAP = "a term and epoch have one map"
ONE_OWNER = "a slot has one owner per epoch"
FORWARD = "a node never goes back to an older map"

SLOTS = 1024


def check(history: History) -> Iterator[Violation]:
    yield from _leaders(history)
    first: dict[tuple[int, int], MapSeen] = {}
    newest: dict[str, MapSeen] = {}
    for seen in history.maps:
        other = first.setdefault((seen.term, seen.epoch), seen)
        yield from _same(seen, other)
        before = newest.get(seen.node)
        if before is not None and (seen.term, seen.epoch) < (before.term, before.epoch):
            text = f"{seen.process} went from {_version(before)} to {_version(seen)}"
            yield Violation(check=FORWARD, at=seen.at, text=text)
        newest[seen.node] = seen


def _leaders(history: History) -> Iterator[Violation]:
    claims = [(one.at, one.term, one.node) for one in history.elected]
    claims += [(seen.at, seen.term, seen.leader) for seen in history.maps if seen.leader]
    leaders: dict[int, str] = {}
    told: set[tuple[int, str]] = set()
    for at, term, node in sorted(claims):
        first = leaders.setdefault(term, node)
        if node != first and (term, node) not in told:
            told.add((term, node))
            yield Violation(check=ONE_LEADER, at=at, text=f"both {first} and {node} led in term {term}")


def _same(seen: MapSeen, other: MapSeen) -> Iterator[Violation]:
    where = f"{_version(seen)} at {seen.process} and at {other.process}"
    if (seen.leader, sorted(seen.nodes)) != (other.leader, sorted(other.nodes)):
        yield Violation(check=ONE_MAP, at=seen.at, text=f"{where} differ in their nodes or leader")
    mine, theirs = owners(seen), owners(other)
    differing = [slot for slot in range(SLOTS) if mine[slot] != theirs[slot]]
    if differing:
        slot = differing[0]
        text = f"{where} differ in {len(differing)} slots, such as {slot}: {mine[slot]} and {theirs[slot]}"
        yield Violation(check=ONE_OWNER, at=seen.at, text=text)


def owners(seen: MapSeen) -> list[frozenset[str]]:
    """Who owns each slot: at most one node in a sound map."""
    table: list[frozenset[str]] = [frozenset()] * SLOTS
    for node, ranges in seen.slots.items():
        for first, last in ranges:
            for slot in range(first, last + 1):
                table[slot] |= {node}
    return table


def _version(seen: MapSeen) -> str:
    return f"term {seen.term} epoch {seen.epoch}"
