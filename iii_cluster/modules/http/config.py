"""Settings of the HTTP module."""

from typing import Annotated, Literal

from msgspec import Meta, Struct

from iii_cluster.config.settings import Count, Limit, Port, Tls


class Cors(Struct, frozen=True, forbid_unknown_fields=True):
    """Who may call from a browser's page. An empty list, or one with "*", means anybody, or any method."""

    allowed_origins: tuple[str, ...] = ()
    allowed_methods: tuple[str, ...] = ()


class GlobalMiddleware(Struct, frozen=True, forbid_unknown_fields=True):
    """A function that is asked before every route's own, lowest `priority` first."""

    function_id: str
    phase: str = "preHandler"  # of others nothing is called
    priority: int = 0


class HttpConfig(Struct, frozen=True, forbid_unknown_fields=True):
    """Limits are those of one gateway."""

    port: Port | None = None  # None: as in the settings
    host: str | None = None
    default_timeout: Limit = 30_000  # ms until the head of the response, also of each middleware
    concurrency_request_limit: Count = 1024  # requests in progress; more are answered 503. 0 counts as 1
    cors: Cors | None = None  # None: anybody
    middleware: tuple[GlobalMiddleware, ...] = ()
    body_limit: Limit = 16 * 2**20  # bytes of a JSON body, which is read whole
    upload_limit: Count = 0  # bytes of any other body, which is streamed; 0: no limit
    max_header_bytes: Annotated[int, Meta(ge=1024)] = 64 * 2**10  # request line and headers
    max_connections: Limit = 20_000
    header_timeout: Annotated[float, Meta(gt=0)] = 10.0  # s from the first byte of a request to the end of its headers
    body_timeout: Annotated[float, Meta(gt=0)] = 30.0  # s a client may send nothing of a body that is waited for
    keep_alive_timeout: Annotated[float, Meta(gt=0)] = 75.0  # s between requests
    access_log: Literal["off", "errors", "all"] = "errors"  # errors: 5xx
    query_lists: bool = False  # true: a key that is repeated in the query gives a list, not the last value
    tls: Tls | None = None  # None: as in the settings
