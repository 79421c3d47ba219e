"""What an operator says of addresses that users name."""

from typing import Annotated

from msgspec import Meta, Struct


class Security(Struct, frozen=True, forbid_unknown_fields=True):
    """Which addresses may be called, and which variables of the gateway's environment may hold credentials.

    Patterns are globs: of host names, of variable names. An empty `url_allowlist` allows every host.
    """

    url_allowlist: tuple[str, ...] = ("*",)
    block_private_ips: bool = True
    require_https: bool = True
    env_allowlist: tuple[str, ...] = ("*",)  # variables that begin with III_ never are
    max_redirects: Annotated[int, Meta(ge=0, le=10)] = 0  # followed, and checked like the first address
