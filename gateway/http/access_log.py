"""The access log: a line per request, as `access_log` of the configuration says."""

import logging
import re
from typing import Literal, NamedTuple

from iii_cluster.node.logs import NOT_KEPT, OWN_QUOTA

from .quota import Quota

log = logging.getLogger(__name__)

LINES_PER_SECOND = 1000
ACCESS = OWN_QUOTA | NOT_KEPT
_LONGEST = 512  # characters of a path

# What could end a field, a line or a quotation, and what is not visible.
_UNSAFE = re.compile(rb"[^\x21-\x7e]|[\\\"']")
_TRACEPARENT = re.compile(rb"[0-9a-f]{2}-([0-9a-f]{32})-[0-9a-f]{16}-[0-9a-f]{2}.*", re.DOTALL)


class Entry(NamedTuple):
    method: str
    path: bytes  # as it came, without the query
    status: int  # 499: the client was gone before the response began
    sent: int  # bytes of the response's body
    seconds: float
    client: str
    request_id: str
    traceparent: bytes  # b"": none


class AccessLog:
    def __init__(self, which: Literal["off", "errors", "all"]) -> None:
        self._least = {"off": 1000, "errors": 500, "all": 0}[which]
        self._quota = Quota(LINES_PER_SECOND)

    def wants(self, status: int) -> bool:
        """Whether a response with this status makes a line."""
        return status >= self._least

    def write(self, entry: Entry) -> None:
        if self._quota.take():
            log.log(logging.WARNING if entry.status >= 500 else logging.INFO, "%s", line(entry), extra=ACCESS)

    def tick(self) -> None:
        """Once a second."""
        kept_back = self._quota.renew()
        if kept_back:
            log.warning("action=http_requests_not_logged count=%d", kept_back)


def line(entry: Entry) -> str:
    """key=value, without anything of the headers but ids."""
    found = _TRACEPARENT.fullmatch(entry.traceparent)
    return (
        f"action=http_request method={entry.method} path={escaped(entry.path)} status={entry.status} "
        f"bytes={entry.sent} ms={entry.seconds * 1000:.1f} client={entry.client} request={entry.request_id} "
        f"trace={found[1].decode() if found else '-'}"
    )


def escaped(path: bytes) -> str:
    r"""One word of visible ASCII: everything else, quotes and backslashes are written \xNN."""
    text = _UNSAFE.sub(lambda match: b"\\x%02x" % match[0][0], path[:_LONGEST]).decode("ascii")
    return text + "..." if len(path) > _LONGEST else text or "-"
