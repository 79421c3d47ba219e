"""Headers for pages of other origins."""

from iii_cluster.modules.http.config import Cors

from .response import Header, Response

Headers = tuple[Header, ...]

_ORIGIN = b"access-control-allow-origin"
_VARY: Header = (b"vary", b"origin, access-control-request-method, access-control-request-headers")


class CorsPolicy:
    """What browsers are told; everything is prepared but the choice among listed origins."""

    __slots__ = ("_any", "_listed", "_preflight", "owned")

    def __init__(self, cors: Cors | None) -> None:
        """None: anybody."""
        origins, methods = (cors.allowed_origins, cors.allowed_methods) if cors is not None else ((), ())
        exposed: Headers = ((b"access-control-expose-headers", b"*"),) if cors is None else ()
        allowed = b"*" if not methods or "*" in methods else ", ".join(methods).upper().encode()
        everybody = not origins or "*" in origins
        self._any: Headers = ((_ORIGIN, b"*"), *exposed) if everybody else ()
        self._listed: dict[str, Headers] = {origin: ((_ORIGIN, origin.encode()), _VARY) for origin in origins}
        preflight: Headers = ((b"access-control-allow-methods", allowed), (b"access-control-allow-headers", b"*"))
        self._preflight = Response(200, (*preflight, _VARY) if everybody else preflight, b"")
        # Left out of what handlers say: browsers refuse two of one name.
        self.owned = frozenset(name for name, _ in (*exposed, (_ORIGIN, b"")))

    def headers(self, origin: str) -> Headers:
        """For any response to a request of this origin, "" when it names none."""
        return self._any or self._listed.get(origin, (_VARY,))

    def preflight(self) -> Response:
        """The same for everybody, with the headers for the origin to come."""
        return self._preflight
