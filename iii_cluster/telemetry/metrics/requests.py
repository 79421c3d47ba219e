"""HTTP requests by method and route: how they ended and how long they took."""

from bisect import bisect_left

from .durations import BOUNDS, BUCKETS
from .snapshot import HttpNumbers

MAX_ROUTES = 1_000  # methods and routes counted by themselves
METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})
OTHER_METHOD = "_OTHER"  # as OpenTelemetry has it
OTHER_ROUTE = "other"  # those beyond MAX_ROUTES
UNROUTED = ""  # the route of requests that found none


class Requests:
    """Statuses come from workers, but have three digits."""

    def __init__(self) -> None:
        self._numbers: dict[tuple[str, str], HttpNumbers] = {}

    def ended(self, method: str, route: str, status: int, seconds: float) -> None:
        """`route` is the template that matched."""
        numbers = self._numbers.get((method, route))
        if numbers is None:
            numbers = self._enter(method if method in METHODS else OTHER_METHOD, route)
        numbers.statuses[status] = numbers.statuses.get(status, 0) + 1
        numbers.seconds += seconds
        numbers.buckets[bisect_left(BOUNDS, seconds)] += 1

    def numbers(self) -> dict[str, HttpNumbers]:
        """A copy, by "METHOD route"."""
        return {
            f"{method} {route}": HttpNumbers(dict(own.statuses), own.seconds, list(own.buckets))
            for (method, route), own in self._numbers.items()
        }

    def _enter(self, method: str, route: str) -> HttpNumbers:
        key = method, route
        if key not in self._numbers and len(self._numbers) >= MAX_ROUTES:
            key = OTHER_METHOD, OTHER_ROUTE
        return self._numbers.setdefault(key, HttpNumbers(buckets=[0] * BUCKETS))
