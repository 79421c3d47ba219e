"""Settings of the HTTP functions module."""

from typing import Annotated

from msgspec import Meta, Struct

from iii_cluster.config.settings import Count, Limit


class Security(Struct, frozen=True, forbid_unknown_fields=True):
    """Which addresses may be called, and which variables of the gateway's environment may hold credentials.

    Patterns are globs: of host names, of variable names. An empty `url_allowlist` allows every host.
    """

    url_allowlist: tuple[str, ...] = ("*",)
    block_private_ips: bool = True
    require_https: bool = True
    env_allowlist: tuple[str, ...] = ("*",)  # variables that begin with III_ never are
    max_redirects: Annotated[int, Meta(ge=0, le=10)] = 0  # followed, and checked like the first address


class HttpFunctionsConfig(Struct, frozen=True, forbid_unknown_fields=True):
    """Limits are those of one gateway."""

    security: Security = Security()
    max_concurrent: Limit = 1000  # calls in progress
    max_per_host: Limit = 50
    max_response_bytes: Limit = 16 * 2**20
    retries: Count = 2  # of what surely did not reach the other side, or may be repeated
