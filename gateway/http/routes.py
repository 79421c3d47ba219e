"""The routes of the cluster: which trigger serves a request. Pure."""

import logging
from collections.abc import Iterable
from typing import NamedTuple

from iii_cluster.access.triggers import under_rules
from iii_cluster.bus.envelopes import Trigger
from iii_cluster.modules.http.paths import METHODS, literal, read_route
from iii_cluster.protocol.errors import EngineError

from .bound import Bound, Leaf

log = logging.getLogger(__name__)

# Of one route the triggers of workers under rules come behind all others: they must not take their requests.
_BEHIND = 2**32


class Match(NamedTuple):
    bound: Bound
    parameters: dict[str, str]


class _Node:
    """A place in the tree of one method; `here` and `rest`, of the wildcard, are routes that end there."""

    __slots__ = ("here", "parameter", "rest", "static")

    def __init__(self) -> None:
        self.static: dict[str, _Node] = {}
        self.parameter: _Node | None = None
        self.here: Leaf | None = None
        self.rest: Leaf | None = None

    @property
    def empty(self) -> bool:
        return not (self.static or self.parameter or self.here or self.rest)

    def find(self, segments: list[str], at: int) -> "Leaf | None":
        """A literal segment before a parameter before a wildcard. Each node is looked at once at most."""
        if at == len(segments):
            return self.here
        segment = segments[at]
        below = self.static.get(segment)
        found = below.find(segments, at + 1) if below is not None else None
        if found is None and segment and self.parameter is not None:
            found = self.parameter.find(segments, at + 1)
        if found is None and (segment or at + 1 < len(segments)):
            found = self.rest
        return found

    def remove(self, segments: tuple[str, ...], at: int) -> None:
        """Take out a route, and what has become empty with it."""
        if at == len(segments):
            self.here = None
            return
        segment = segments[at]
        if segment == "*":
            self.rest = None
            return
        below = self.parameter if segment == ":" else self.static[segment]
        assert below is not None
        below.remove(segments, at + 1)
        if not below.empty:
            return
        if segment == ":":
            self.parameter = None
        else:
            del self.static[segment]


class _Method:
    """All routes of one method."""

    __slots__ = ("exact", "root")

    def __init__(self) -> None:
        self.root = _Node()
        self.exact: dict[str, Leaf] = {}  # by path, without parameters: these win anyway

    def match(self, path: str) -> Match | None:
        exact = self.exact.get(path)
        if exact is not None:
            return Match(exact.serving, {})
        literals = segments = path.split("/")
        if "%" in path or not path.isascii():
            literals = [literal(segment) for segment in segments]
            exact = self.exact.get("/".join(literals))
            if exact is not None:
                return Match(exact.serving, {})
        leaf = self.root.find(literals, 0)
        return None if leaf is None else Match(leaf.serving, leaf.serving.parameters(segments))

    def bind(self, bound: Bound) -> None:
        segments = bound.route.path.segments
        if not bound.places:
            path = "/".join(segments)
            leaf = self.exact.get(path)
            if leaf is None:
                leaf = self.exact[path] = Leaf(bound)
        else:
            leaf = self._leaf(bound, segments)
        leaf.add(bound)

    def _leaf(self, bound: Bound, segments: tuple[str, ...]) -> Leaf:
        node = self.root
        for segment in segments:
            if segment == "*":
                node.rest = node.rest or Leaf(bound)
                return node.rest
            if segment == ":":
                node.parameter = node.parameter or _Node()
                node = node.parameter
            else:
                node = node.static.setdefault(segment, _Node())
        node.here = node.here or Leaf(bound)
        return node.here

    def unbind(self, bound: Bound) -> None:
        if not bound.leaf.leave(bound):
            return
        segments = bound.route.path.segments
        if bound.places:
            self.root.remove(segments, 0)
        else:
            del self.exact["/".join(segments)]


class Routes:
    """Follows the watched triggers. Paths are given without their leading slash, as they are in the URL."""

    def __init__(self) -> None:
        self._methods = {method: _Method() for method in METHODS}
        self._known: dict[str, tuple[Trigger, Bound | None]] = {}  # by trigger id

    def __len__(self) -> int:
        return sum(bound is not None for _, bound in self._known.values())

    def match(self, method: str, path: str) -> Match | None:
        routes = self._methods.get(method)
        return None if routes is None else routes.match(path)

    def methods(self, path: str) -> list[str]:
        """Those that some route of this path has; HEAD comes with GET."""
        found = [method for method in METHODS if self._methods[method].match(path) is not None]
        if "GET" in found and "HEAD" not in found:
            found.insert(1, "HEAD")
        return found

    def update(self, triggers: Iterable[Trigger]) -> None:
        """All that are bound now, the last bound one last: of several on one route it serves."""
        known, self._known = self._known, {}
        fresh: list[Bound] = []
        for order, trigger in enumerate(triggers):
            was, bound = known.pop(trigger.id, (None, None))
            if was is None or (was is not trigger and was != trigger):
                self._unbind(bound)
                bound = _bound(trigger)
                if bound is not None:
                    fresh.append(bound)
            if bound is not None:
                bound.order = order - _BEHIND if under_rules(trigger.id) else order
            self._known[trigger.id] = (trigger, bound)
        for _, bound in known.values():
            self._unbind(bound)
        for bound in fresh:
            self._methods[bound.route.method].bind(bound)
        for _, bound in self._known.values():
            if bound is not None and bound.order > bound.leaf.serving.order:
                bound.leaf.serving = bound

    def _unbind(self, bound: Bound | None) -> None:
        if bound is not None:
            self._methods[bound.route.method].unbind(bound)


def _bound(trigger: Trigger) -> Bound | None:
    try:
        route = read_route(trigger)
        return Bound(trigger, route) if route.method in METHODS else None
    except EngineError as error:  # from a gateway of another version
        log.warning("action=http_trigger_ignored trigger=%s reason=%s", trigger.id, error.message)
        return None
