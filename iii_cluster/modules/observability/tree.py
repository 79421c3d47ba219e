"""The spans of one trace as a tree. Pure.

Spans are known by their place in the order of their starts: objects for each of them, and for what is between them,
would have the garbage collector look at all of them at once.
"""

from collections.abc import Callable, Iterable, Sequence

from iii_cluster.telemetry.config import CollapseRule
from iii_cluster.telemetry.records import Span

from .shown import Branch, branch
from .turns import STEP, Steps, page, portions

# Say nothing when nothing was called from them.
WRAPPERS = frozenset({"state_triggers", "stream_triggers", "configuration_triggers"})
# Readers of JSON give up somewhere. What is deeper is shown one beside the other at this depth.
MAX_DEPTH = 100

NOBODY = -1  # as a parent
Parents = list[int]  # by place
Gone = bytearray  # likewise: 1 if it is not shown
Hidden = Callable[[Branch], bool]


def tree(spans: Sequence[Span], rules: Iterable[CollapseRule] = ()) -> Steps[list[Branch]]:
    """Roots with their children, all by start. Spans whose parent is unknown are roots, so nothing is lost."""
    nodes: list[Branch] = []
    for portion in portions(spans):
        nodes += map(branch, portion)
        yield
    nodes = yield from page(nodes, lambda node: node.start_time_unix_nano, 0, len(nodes), descending=False)
    parents = yield from _parents(nodes)
    yield from _open_circles(parents)
    gone = yield from _collapse(nodes, parents, _hidden(rules))
    yield from _prune(nodes, parents, gone)
    return (yield from _nest(nodes, parents, gone))


def _hidden(rules: Iterable[CollapseRule]) -> Hidden:
    chosen = tuple(rules)

    def hidden(node: Branch) -> bool:
        return any(node.name == rule.name and rule.service in (None, node.service_name) for rule in chosen)

    return hidden


def _parents(nodes: Sequence[Branch]) -> Steps[Parents]:
    by_id: dict[str, int] = {}
    for portion in portions(range(len(nodes))):
        for at in portion:
            by_id.setdefault(nodes[at].span_id, at)
        yield
    parents: Parents = []
    for some in portions(nodes):
        parents += [by_id.get(node.parent_span_id or "", NOBODY) for node in some]
        yield
    return parents


def _open_circles(parents: Parents) -> Steps[None]:
    """Whoever sends spans may say that a span is below itself; the first of such a circle becomes a root."""
    on_path, safe = 1, 2
    known = bytearray(len(parents))
    for portion in portions(range(len(parents))):
        for start in portion:
            path: list[int] = []
            at = start
            while at != NOBODY and not known[at]:
                known[at] = on_path
                path.append(at)
                at = parents[at]
                if len(path) % STEP == 0:
                    yield
            if at != NOBODY and known[at] == on_path:
                parents[min(path[path.index(at) :])] = NOBODY
            for count, each in enumerate(path, 1):
                known[each] = safe
                if count % STEP == 0:
                    yield
        yield


def _collapse(nodes: Sequence[Branch], parents: Parents, hidden: Hidden) -> Steps[Gone]:
    """Without hidden ones; their children go to the next one above that is shown."""
    gone = Gone()
    for some in portions(nodes):
        gone += bytes(map(hidden, some))
        yield
    resolved: dict[int, int] = {}  # of those that are gone: who is shown in their place
    for portion in portions(range(len(nodes) if any(gone) else 0)):
        for at in portion:
            path: list[int] = []
            above = parents[at]
            while above != NOBODY and gone[above] and above not in resolved:
                path.append(above)
                above = parents[above]
                if len(path) % STEP == 0:
                    yield
            above = resolved.get(above, above)
            for count, each in enumerate(path, 1):
                resolved[each] = above
                if count % STEP == 0:
                    yield
            if not gone[at]:
                parents[at] = above
        yield
    return gone


def _prune(nodes: Sequence[Branch], parents: Parents, gone: Gone) -> Steps[None]:
    """Without wrappers that have nothing below them, or only others of that kind."""
    children = [0] * len(nodes)
    for portion in portions(range(len(nodes))):
        for at in portion:
            if not gone[at] and parents[at] != NOBODY:
                children[parents[at]] += 1
        yield
    for portion in portions(range(len(nodes))):
        for start in portion:
            at, count = start, 0
            while at != NOBODY and not gone[at] and nodes[at].name in WRAPPERS and not children[at]:
                gone[at] = 1
                at = parents[at]
                if at != NOBODY:
                    children[at] -= 1
                count += 1
                if count % STEP == 0:
                    yield
        yield


def _nest(nodes: Sequence[Branch], parents: Parents, gone: Gone) -> Steps[list[Branch]]:
    holders = yield from _holders(parents)
    roots: list[Branch] = []
    for portion in portions(range(len(nodes))):
        for at in portion:
            if gone[at]:
                continue
            above = parents[at]
            if above == NOBODY:
                roots.append(nodes[at])
                continue
            holder = nodes[holders[above]]
            if holder.children:
                holder.children.append(nodes[at])
            else:
                holder.children = [nodes[at]]
        yield
    return roots


def _holders(parents: Parents) -> Steps[list[int]]:
    """Of each span the one that holds its children: itself, or what is above it when it is too deep."""
    depths = [0] * len(parents)
    holders = list(range(len(parents)))
    for portion in portions(range(len(parents))):
        for start in portion:
            path: list[int] = []
            at = start
            while at != NOBODY and not depths[at]:
                path.append(at)
                at = parents[at]
                if len(path) % STEP == 0:
                    yield
            for count, each in enumerate(reversed(path), 1):
                above = parents[each]
                depths[each] = 1 if above == NOBODY else depths[above] + 1
                if depths[each] >= MAX_DEPTH:
                    depths[each], holders[each] = MAX_DEPTH, holders[above]
                if count % STEP == 0:
                    yield
        yield
    return holders
