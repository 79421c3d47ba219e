"""How requests to addresses that users name fail."""

from enum import Enum, auto

from iii_cluster.protocol.errors import EngineError

URL_REFUSED = "url_validation_failed"
REQUEST_FAILED = "http_request_failed"
RESPONSE_FAILED = "http_response_failed"

# Messages of URL_REFUSED.
INVALID_URL = "Invalid URL"
HTTPS_REQUIRED = "HTTPS is required"
NOT_ALLOWED = "URL not in allowlist"
PRIVATE_IP = "Private IP blocked"
DNS_FAILED = "DNS lookup failed"


def url_refused(reason: str) -> EngineError:
    return EngineError(URL_REFUSED, reason)


class Reached(Enum):
    """How far an exchange came."""

    NOTHING = auto()  # there was no connection
    REQUEST = auto()  # some of the request may have been sent
    HEAD = auto()  # the answer had begun


class ExchangeFailed(Exception):
    """One request came to nothing. With `final` another one would, too."""

    def __init__(self, reached: Reached, reason: str, *, final: bool = False) -> None:
        super().__init__(reason)
        self.reached = reached
        self.reason = reason
        self.final = final

    def as_error(self) -> EngineError:
        return EngineError(RESPONSE_FAILED if self.reached is Reached.HEAD else REQUEST_FAILED, self.reason)
