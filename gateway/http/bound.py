"""One bound `http` trigger, prepared for requests."""

import msgspec

from iii_cluster.bus.envelopes import Trigger
from iii_cluster.modules.conditions import condition_of
from iii_cluster.modules.http.paths import Route
from iii_cluster.modules.http.triggers import middleware_of

from .patience import Patience


class Leaf:
    """One route with all its triggers."""

    __slots__ = ("all", "serving")

    def __init__(self, bound: "Bound") -> None:
        self.serving = bound
        self.all: set[Bound] = set()

    def add(self, bound: "Bound") -> None:
        bound.leaf = self
        self.all.add(bound)

    def leave(self, bound: "Bound") -> bool:
        """True when that was the last one. Another serves then, not necessarily the one before."""
        self.all.discard(bound)
        if self.serving is bound and self.all:
            self.serving = next(iter(self.all))
        return not self.all


class Bound:
    """What is called for requests of a route. Target, condition and middleware are in the namespace of the trigger."""

    __slots__ = (
        "condition",
        "leaf",
        "middleware",
        "order",
        "path_json",
        "patience",
        "places",
        "route",
        "template",
        "trigger",
        "trigger_json",
        "wildcard",
    )

    def __init__(self, trigger: Trigger, route: Route) -> None:
        """Raises EngineError when the config is not what the check of triggers lets pass."""
        self.trigger = trigger
        self.route = route
        self.condition = condition_of(trigger)
        self.middleware = middleware_of(trigger)
        path = route.path
        places = [at for at, segment in enumerate(path.segments) if segment in (":", "*")]
        self.places = tuple(zip(path.names, places, strict=True))  # of parameters in a path
        self.wildcard = path.wildcard
        self.template = "/" + path.text.lstrip("/")
        self.path_json = msgspec.Raw(msgspec.json.encode(path.text))
        told = {"type": "http", "path": path.text, "method": route.method}
        self.trigger_json = msgspec.Raw(msgspec.json.encode(told))
        self.order = 0  # among the triggers of one route, the highest serves
        self.leaf = Leaf(self)  # its place among the routes
        self.patience = Patience()

    def parameters(self, segments: list[str]) -> dict[str, str]:
        """Of a path that matches, as they are in the URL."""
        parameters = {name: segments[at] for name, at in self.places}
        if self.wildcard:
            name, at = self.places[-1]
            parameters[name] = "/".join(segments[at:])
        return parameters
