"""Whether a process can use the files its ports need, looked at before anything is started."""

from collections.abc import Iterator

import msgspec
from msgspec import Struct

from iii_cluster.config.hosts import is_loopback
from iii_cluster.config.modules import HTTP, STREAM
from iii_cluster.config.settings import Settings, Tls

from .certificates import CERT_FILE, TlsError, server_context
from .tokens import TokensError, check_token_file, check_tokens


class Unusable(Struct, frozen=True):
    """A file that is missing or unfit. `where` are the settings at fault, as errors of the configuration name them:
    the first of them that was given."""

    text: str
    where: tuple[str, ...]


class _Place(Struct, frozen=True):
    """Where certificates or tokens are set: what comes before the name of each setting, for people and in `where`."""

    said: str
    known: str


def unusable_files(settings: Settings, *, gateway: bool = True, coordinator: bool = False) -> list[Unusable]:
    """Who is no gateway has the ports for admins and metrics only, and a `coordinator` the console's."""
    found = []
    admin = _Place("admin_tls_", "admin_tls_")
    certificates = [(admin, settings.admin_tls)] if settings.admin_tls is not None else []
    own = settings.admin_tokens if any(settings.admin_tokens) else settings.metrics_tokens
    tokens_of_ports = [(_Place("", ""), own)]
    if gateway:
        certificates += _certificates(settings)
        tokens_of_ports = list(_tokens(settings))
    if coordinator and settings.console == "on":
        console = settings.console_tokens, settings.console_tokens_file
        tokens_of_ports.append((_Place("console_", "console_"), console))
        readers = _Place("", ""), (settings.tokens, settings.tokens_file)
        if not is_loopback(settings.console_host) and readers not in tokens_of_ports:
            tokens_of_ports.append(readers)
    for place, tls in certificates:
        try:
            server_context(tls)
        except TlsError as error:
            where = (f"{place.known}{error.part}", f"{place.known}{CERT_FILE}")
            found.append(Unusable(f"{place.said}{error.part}: {error}", where))
    for place, (tokens, file) in tokens_of_ports:
        try:
            check_tokens(tokens)
            if file:
                check_token_file(file)
        except TokensError as error:
            found.append(Unusable(f"{place.said}tokens_file: {error}", (f"{place.known}tokens_file",)))
    return found


def _certificates(settings: Settings) -> Iterator[tuple[_Place, Tls]]:
    if settings.tls is not None:
        yield _Place("tls_", "tls_"), settings.tls
    for number, listener in enumerate(settings.listeners, 1):
        if listener.tls is not None:
            yield _Place(f"iii-worker-manager {number}, tls.", f"worker-{number}.tls."), listener.tls
    for module in settings.modules:
        if module.name in (HTTP, STREAM) and module.config.get("tls"):
            yield _Place(f"{module.name}, tls.", f"{module.name}.tls."), msgspec.convert(module.config["tls"], Tls)


def _tokens(settings: Settings) -> Iterator[tuple[_Place, tuple[tuple[str, ...], str]]]:
    yield _Place("", ""), (settings.tokens, settings.tokens_file)
    for number, listener in enumerate(settings.listeners, 1):
        if listener.tokens is not None or listener.tokens_file:
            place = _Place(f"iii-worker-manager {number}, ", f"worker-{number}.")
            yield place, settings.tokens_of(listener)
