"""Asking the admin ports of processes that were started here: their settings are known."""

from typing import Any

from iii_cluster.access.certificates import TlsError
from iii_cluster.access.files import Unreadable, content_of
from iii_cluster.access.tokens import TokensError, some_tokens_in
from iii_cluster.access.trust import own
from iii_cluster.config.settings import Settings

from .admin import Way, ask_admin
from .gateway import Unreachable

WILDCARDS = {"0.0.0.0": "127.0.0.1", "::": "[::1]", "": "127.0.0.1"}


def ask_own(settings: Settings, port: int, path: str, *, ready: bool = False) -> tuple[int, Any]:
    """As `ask_admin`, of the process with this port. It has the port for sure once it is ready; before, somebody else
    may listen there."""
    tls = settings.admin_tls
    try:
        way = Way(own(tls) if tls is not None else None, _token(settings), ready)
    except TlsError as error:
        raise Unreachable(str(error)) from None
    return ask_admin(own_url(settings, port), path, way=way)


def own_url(settings: Settings, port: int) -> str:
    return f"http{'s' if settings.admin_tls else ''}://{reachable(settings.admin_host)}:{port}"


def _token(settings: Settings) -> str:
    """Any that counts; "" if there is none, or it cannot be read any more."""
    tokens, file = settings.admin_tokens
    if tokens:
        return tokens[0]
    if not file:
        return ""
    try:
        return some_tokens_in(content_of(file), file)[0]
    except (Unreadable, TokensError):
        return ""


def reachable(host: str) -> str:
    """A host to connect to for one that is listened on, as it stands in a URL."""
    host = WILDCARDS.get(host, host)
    return f"[{host}]" if ":" in host and not host.startswith("[") else host
