"""Whether a process can use the files its ports need, looked at before anything is started."""

from collections.abc import Iterator

import msgspec

from iii_cluster.config.modules import HTTP, STREAM
from iii_cluster.config.settings import Settings, Tls

from .certificates import TlsError, server_context
from .tokens import TokensError, check_token_file, check_tokens


def unusable_files(settings: Settings, *, gateway: bool = True) -> list[str]:
    """One line for each that is missing or unfit, with the setting or the port that names it.

    Who is no gateway has an admin port only.
    """
    found = []
    certificates = [("admin_tls_cert_file", settings.admin_tls)] if settings.admin_tls is not None else []
    tokens_of_ports = [("tokens_file", settings.admin_tokens)]
    if gateway:
        certificates += _certificates(settings)
        tokens_of_ports = list(_tokens(settings))
    for where, tls in certificates:
        try:
            server_context(tls)
        except TlsError as error:
            found.append(f"{where}: {error}")
    for where, (tokens, file) in tokens_of_ports:
        try:
            check_tokens(tokens)
            if file:
                check_token_file(file)
        except TokensError as error:
            found.append(f"{where}: {error}")
    return found


def _certificates(settings: Settings) -> Iterator[tuple[str, Tls]]:
    if settings.tls is not None:
        yield "tls_cert_file", settings.tls
    for number, listener in enumerate(settings.listeners, 1):
        if listener.tls is not None:
            yield f"iii-worker-manager {number}", listener.tls
    for module in settings.modules:
        if module.name in (HTTP, STREAM) and module.config.get("tls"):
            yield module.name, msgspec.convert(module.config["tls"], Tls)


def _tokens(settings: Settings) -> Iterator[tuple[str, tuple[tuple[str, ...], str]]]:
    yield "tokens_file", (settings.tokens, settings.tokens_file)
    for number, listener in enumerate(settings.listeners, 1):
        if listener.tokens is not None or listener.tokens_file:
            yield f"iii-worker-manager {number}", settings.tokens_of(listener)
