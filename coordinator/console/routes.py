"""Which handler a request is for. Pure."""

from collections.abc import Awaitable, Callable, Mapping
from typing import NamedTuple
from urllib.parse import parse_qsl, unquote

from msgspec import Struct

from .failure import Failure, bad_request

MAX_QUERY_FIELDS = 32


class Request(Struct):
    """`place` are the parts of the path that a route names, `query` what follows it."""

    place: Mapping[str, str]
    query: Mapping[str, str]
    body: bytes = b""
    authorizations: list[str] = []
    address: str = ""

    @property
    def asked(self) -> dict[str, str]:
        """Both of them: what a path names cannot be said otherwise behind it."""
        return {**self.query, **self.place}


Handler = Callable[[Request], Awaitable[bytes]]  # answers JSON


class Route(NamedTuple):
    """`path` has {names} for segments that may be anything. `writes`: it takes a token to write."""

    method: str
    path: str
    handler: Handler
    writes: bool = False


class Routes:
    """Static segments win over named ones: order does not matter."""

    def __init__(self, routes: list[Route]) -> None:
        ordered = sorted(routes, key=lambda route: [part[:1] == "{" for part in route.path.split("/")])
        self._routes = [(route, route.path.split("/")) for route in ordered]

    def find(self, method: str, raw_path: str) -> tuple[Route, dict[str, str]]:
        """`raw_path` as it was sent: segments are decoded one by one. Raises Failure, with the methods in `more`."""
        parts = raw_path.split("/")
        allowed = set()
        for route, wanted in self._routes:
            place = _match(wanted, parts)
            if place is None:
                continue
            if route.method == method:
                return route, place
            allowed.add(route.method)
        if allowed:
            raise Failure(405, "not_allowed", f"this path takes {', '.join(sorted(allowed))}")
        raise Failure(404, "not_found", "there is nothing here")


def _match(wanted: list[str], parts: list[str]) -> dict[str, str] | None:
    if len(wanted) != len(parts):
        return None
    place = {}
    for want, part in zip(wanted, parts, strict=True):
        if want[:1] == "{" and part:
            place[want[1:-1]] = unquote(part)
        elif want != part:
            return None
    return place


def query_of(text: str) -> dict[str, str]:
    """The last of several with one name counts. Raises Failure."""
    try:
        return dict(parse_qsl(text, max_num_fields=MAX_QUERY_FIELDS))
    except ValueError as error:
        raise bad_request(f"the query cannot be read: {error}") from None
