"""The spans of one trace as a tree. Pure."""

import itertools
from collections import deque
from collections.abc import Callable, Iterable, Sequence

from iii_cluster.telemetry.config import CollapseRule
from iii_cluster.telemetry.records import Span

from .shown import Branch, branch
from .turns import STEP, Steps, portions

# Say nothing when nothing was called from them.
WRAPPERS = frozenset({"state_triggers", "stream_triggers", "configuration_triggers"})
# Readers of JSON give up somewhere. What is deeper is shown one beside the other at this depth.
MAX_DEPTH = 100

Hidden = Callable[[Branch], bool]


def tree(spans: Sequence[Span], rules: Iterable[CollapseRule] = ()) -> Steps[list[Branch]]:
    """Roots with their children, all by start. Spans whose parent is unknown are roots, so nothing is lost."""
    nodes: list[Branch] = []
    for portion in portions(spans):
        nodes += map(branch, portion)
        yield
    nodes.sort(key=lambda node: node.start_time_unix_nano)
    yield
    parents = yield from _without_circles(nodes)
    shown = yield from _collapse(nodes, parents, _hidden(rules))
    kept = yield from _prune(shown, parents)
    return (yield from _nest(kept, parents))


Parents = dict[int, Branch | None]  # by id() of the child


def _hidden(rules: Iterable[CollapseRule]) -> Hidden:
    chosen = tuple(rules)

    def hidden(node: Branch) -> bool:
        return any(node.name == rule.name and rule.service in (None, node.service_name) for rule in chosen)

    return hidden


def _without_circles(nodes: Sequence[Branch]) -> Steps[Parents]:
    """Whoever sends spans may say that a span is below itself; the first of such a circle becomes a root."""
    by_id = {node.span_id: node for node in reversed(nodes)}
    parents: Parents = {id(node): by_id.get(node.parent_span_id or "") for node in nodes}
    place = {id(node): at for at, node in enumerate(nodes)}
    yield
    safe: set[int] = set()
    for node in nodes:
        path: list[int] = []
        on_path: set[int] = set()
        at: Branch | None = node
        while at is not None and id(at) not in safe:
            if id(at) in on_path:
                parents[min(path[path.index(id(at)) :], key=place.__getitem__)] = None
                break
            path.append(id(at))
            on_path.add(id(at))
            at = parents[id(at)]
            if len(path) % STEP == 0:
                yield
        safe |= on_path
        if place[id(node)] % STEP == 0:
            yield
    return parents


def _collapse(nodes: Sequence[Branch], parents: Parents, hidden: Hidden) -> Steps[Sequence[Branch]]:
    """Without hidden ones; their children go to the next one above that is shown."""
    gone: set[int] = set()
    for portion in portions(nodes):
        gone.update(id(node) for node in portion if hidden(node))
        yield
    if not gone:
        return nodes
    resolved: Parents = {}
    for count, node in enumerate(nodes):
        if count % STEP == 0:
            yield
        path: list[int] = []
        above = parents[id(node)]
        while above is not None and id(above) in gone and id(above) not in resolved:
            path.append(id(above))
            above = parents[id(above)]
        if above is not None and id(above) in gone:
            above = resolved[id(above)]
        resolved.update(dict.fromkeys(path, above))
        if id(node) not in gone:
            parents[id(node)] = above
    return [node for node in nodes if id(node) not in gone]


def _prune(nodes: Sequence[Branch], parents: Parents) -> Steps[Sequence[Branch]]:
    """Without wrappers that have nothing below them, or only others of that kind."""
    children: dict[int, int] = {}
    for node in nodes:
        above = parents[id(node)]
        if above is not None:
            children[id(above)] = children.get(id(above), 0) + 1
    yield
    gone: set[int] = set()
    for count, node in enumerate(nodes):
        if count % STEP == 0:
            yield
        at: Branch | None = node
        while at is not None and id(at) not in gone and at.name in WRAPPERS and not children.get(id(at)):
            gone.add(id(at))
            at = parents[id(at)]
            if at is not None:
                children[id(at)] -= 1
    return [node for node in nodes if id(node) not in gone]


def _nest(nodes: Sequence[Branch], parents: Parents) -> Steps[list[Branch]]:
    below: dict[int, list[Branch]] = {}
    roots: list[Branch] = []
    for node in nodes:
        above = parents[id(node)]
        (roots if above is None else below.setdefault(id(above), [])).append(node)
    yield
    waiting = deque((root, root, 1) for root in roots)
    for count in itertools.count():
        if not waiting:
            break
        if count % STEP == 0:
            yield
        node, holder, depth = waiting.popleft()
        for child in below.get(id(node), ()):
            holder.children.append(child)
            deeper = depth + 1 < MAX_DEPTH
            waiting.append((child, child if deeper else holder, depth + 1 if deeper else depth))
    return roots
