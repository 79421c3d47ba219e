"""Which URLs may be called, as far as that can be told without asking a name server."""

import re

from yarl import URL

from .addresses import Address, is_public, read_host
from .failures import HTTPS_REQUIRED, INVALID_URL, NOT_ALLOWED, PRIVATE_IP, url_refused
from .globs import BadGlob, compile_globs
from .security import Security

MAX_URL = 8192  # characters
_STRANGE = re.compile(r"[\x00-\x20\x7f\\]")  # readers of URLs disagree on these


class Target:
    """A URL that was found good: exactly this one is requested."""

    __slots__ = ("address", "host", "url")

    def __init__(self, url: URL, host: str, address: Address | None) -> None:
        self.url = url
        self.host = host  # as it is connected to
        self.address = address  # of a host that is one; None: a name

    @property
    def place(self) -> str:
        """Host and port, for messages: the rest may hold secrets."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{host}:{self.url.port}"

    @property
    def origin(self) -> tuple[str, str, int | None]:
        return self.url.scheme, self.host, self.url.port


class UrlPolicy:
    """What the configuration says of URLs."""

    def __init__(self, security: Security) -> None:
        self._require_https = security.require_https
        self.block_private = security.block_private_ips
        try:
            self._globs = compile_globs(security.url_allowlist or ("*",), ignore_case=True)
            self.bad_glob = ""
        except BadGlob as error:
            self._globs = ()
            self.bad_glob = str(error)

    def check(self, text: str) -> Target:
        """Raises EngineError `url_validation_failed`."""
        try:
            target = _parse(text)
        except ValueError:
            raise url_refused(INVALID_URL) from None
        return self._check(target)

    def check_redirect(self, target: Target, location: str) -> Target:
        """The URL that an answer points to, held to the same rules; what was encrypted stays so."""
        try:
            if _STRANGE.search(location) or len(location) > MAX_URL:
                raise ValueError("not a URL")
            there = _parse(str(target.url.join(URL(location))))
        except ValueError:
            raise url_refused(INVALID_URL) from None
        if target.url.scheme == "https" and there.url.scheme != "https":
            raise url_refused(HTTPS_REQUIRED)
        return self._check(there)

    def _check(self, target: Target) -> Target:
        if self.bad_glob:
            raise url_refused(INVALID_URL)
        if self._require_https and target.url.scheme != "https":
            raise url_refused(HTTPS_REQUIRED)
        if target.url.scheme not in ("http", "https"):
            raise url_refused(INVALID_URL)
        if not any(glob.fullmatch(target.host) for glob in self._globs):
            raise url_refused(NOT_ALLOWED)
        if target.address is not None and not self.allows(target.address):
            raise url_refused(PRIVATE_IP)
        return target

    def allows(self, address: Address) -> bool:
        return not self.block_private or is_public(address)


def _parse(text: str) -> Target:
    """Raises ValueError. The URL comes back with its host spelled plainly, so that nobody reads another one."""
    if len(text) > MAX_URL or _STRANGE.search(text):
        raise ValueError("not a URL")
    url = URL(text)
    if not url.scheme or not url.raw_host or "@" in url.raw_authority or url.port == 0:
        raise ValueError("no host, or more than a host and a port")
    host, address = read_host(url.raw_host.lower())
    return Target(url.with_host(host).with_fragment(None), host, address)
