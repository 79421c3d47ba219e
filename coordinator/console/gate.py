"""Who may read at the console and who may write: tokens, and what browsers say of where a request comes from."""

from iii_cluster.access.tokens import Tokens
from iii_cluster.config.hosts import is_loopback
from iii_cluster.config.settings import Settings
from iii_cluster.node.requests import Scope, header, host_name, is_json

from .failure import Failure, too_many
from .rates import Rate

READ_ONLY = "this console is read-only: set console_tokens (III_CLUSTER_CONSOLE_TOKENS) to allow changes"
TOO_MANY_WRONG = "too many wrong tokens; try again in a second"
WRONG_TOKENS_PER_SECOND = 5.0
WRONG_TOKENS_AT_ONCE = 20
DEFAULT_PORTS = (":80", ":443")


class Gate:
    """On loopback everybody reads; elsewhere whoever shows a token, if any are set. To write always takes one of the
    console's own. Raises TokensError when their files cannot be used."""

    def __init__(self, settings: Settings) -> None:
        self.writers = Tokens(settings.console_tokens, settings.console_tokens_file)
        self._loopback = is_loopback(settings.console_host)
        self.workers = Tokens() if self._loopback else Tokens(settings.tokens, settings.tokens_file)
        self._wrong = Rate(WRONG_TOKENS_PER_SECOND, WRONG_TOKENS_AT_ONCE)

    @property
    def reading_needs_token(self) -> bool:
        return not self._loopback and (self.writers.required or self.workers.required)

    @property
    def open_to_network(self) -> bool:
        """Whoever reaches the port may read."""
        return not self._loopback and not self.reading_needs_token

    def check_place(self, scope: Scope) -> None:
        """The request is for this host, and no other page's. Raises Failure.

        A page elsewhere can have its name lead to this host; then the Host header names it.
        """
        hosts = header(scope, b"host")
        if len(hosts) != 1 or not host_name(hosts[0]):
            raise Failure(400, "bad_request", "one Host header is needed")
        if self._loopback and not is_loopback(host_name(hosts[0])):
            raise Failure(403, "forbidden", "the Host header must name localhost, where this console listens")
        origins = header(scope, b"origin")
        if origins and (len(origins) > 1 or not same_place(origins[0], hosts[0])):
            raise Failure(403, "forbidden", "the request comes from another page (Origin)")

    def check_content(self, scope: Scope) -> None:
        """Raises Failure."""
        if not is_json(scope):
            raise Failure(415, "unsupported", "the content type must be application/json")

    def may_write(self, authorizations: list[str]) -> bool:
        return self.writers.required and self.writers.accepts_any(authorizations)

    def may_read(self, authorizations: list[str]) -> bool:
        return not self.reading_needs_token or self._is_known(authorizations)

    def _is_known(self, authorizations: list[str]) -> bool:
        """One of either kind."""
        return self.may_write(authorizations) or (self.workers.required and self.workers.accepts_any(authorizations))

    def check_reader(self, authorizations: list[str], now: float) -> None:
        """Raises Failure."""
        if not self.may_read(authorizations):
            raise self._unknown(authorizations, now)

    def check_shown(self, authorizations: list[str], now: float) -> None:
        """For answers that tell whether a token is right: as often as it may be tried elsewhere. Raises Failure."""
        if (
            authorizations
            and self.writers.required
            and not self._is_known(authorizations)
            and not self._wrong.take(now)
        ):
            raise too_many(TOO_MANY_WRONG)

    def check_writer(self, authorizations: list[str], now: float) -> None:
        """Raises Failure."""
        if not self.writers.required:
            raise Failure(403, "read_only", READ_ONLY)
        if not self.may_write(authorizations):
            raise self._unknown(authorizations, now)

    def _unknown(self, authorizations: list[str], now: float) -> Failure:
        if not authorizations:
            return Failure(401, "token_required", "this takes a token: Authorization: Bearer ...")
        if not self._wrong.take(now):
            return too_many(TOO_MANY_WRONG)
        return Failure(401, "token_wrong", "the token is none of this console's")


def same_place(origin: str, host: str) -> bool:
    """Whether a page of `origin` was served where `host` leads. What encrypts on the way may hide the scheme."""
    scheme, separator, place = origin.lower().partition("://")
    return bool(separator) and scheme in ("http", "https") and _bare(place) == _bare(host.lower())


def _bare(place: str) -> str:
    return next((place.removesuffix(port) for port in DEFAULT_PORTS if place.endswith(port)), place)
