"""Headers for pages of other origins."""

import re

from iii_cluster.modules.http.config import Cors

from .response import Header, Response

Headers = tuple[Header, ...]

_METHODS = b"access-control-allow-methods"
_HEADERS = b"access-control-allow-headers"
_ORIGIN = b"access-control-allow-origin"
_VARY: Header = (b"vary", b"origin, access-control-request-method, access-control-request-headers")
_NAMES = re.compile(r"(?=.{1,4096}$)[!#$%&'*+.^_`|~0-9A-Za-z-]+(?:[ \t]*,[ \t]*[!#$%&'*+.^_`|~0-9A-Za-z-]+)*", re.ASCII)


class CorsPolicy:
    """What browsers are told; everything is prepared but the choice among listed origins, and headers asked for."""

    __slots__ = ("_any", "_listed", "_preflight", "_preflight_end", "owned")

    def __init__(self, cors: Cors | None) -> None:
        """None: anybody."""
        origins, methods = (cors.allowed_origins, cors.allowed_methods) if cors is not None else ((), ())
        exposed: Headers = ((b"access-control-expose-headers", b"*"),) if cors is None else ()
        allowed = b"*" if not methods or "*" in methods else ", ".join(methods).upper().encode()
        everybody = not origins or "*" in origins
        self._any: Headers = ((_ORIGIN, b"*"), *exposed) if everybody else ()
        self._listed: dict[str, Headers] = {origin: ((_ORIGIN, origin.encode()), _VARY) for origin in origins}
        self._preflight: Headers = ((_METHODS, allowed),)
        self._preflight_end: Headers = (_VARY,) if everybody else ()
        # Left out of what handlers say: browsers refuse two of one name.
        self.owned = frozenset(name for name, _ in (*exposed, (_ORIGIN, b"")))

    def headers(self, origin: str) -> Headers:
        """For any response to a request of this origin, "" when it names none."""
        return self._any or self._listed.get(origin, (_VARY,))

    def preflight(self, asked: str = "") -> Response:
        """With the headers for the origin to come. The headers that are `asked` for are allowed by their names: for
        browsers `*` has no Authorization in it."""
        names = asked.encode() if _NAMES.fullmatch(asked) else b"*"
        return Response(200, (*self._preflight, (_HEADERS, names), *self._preflight_end), b"")
