"""Handshakes with wrong credentials: their answers take ever longer, and of a stream of them ever fewer are logged.

Only failures wait: an address may be shared, and who shows the right token must get in.
"""

import ipaddress
import logging
from collections import OrderedDict
from collections.abc import Callable

log = logging.getLogger(__name__)

_FIRST = 0.1  # s until the answer to the second failure; then twice as much each time
_LONGEST = 3.0  # s
_FORGET = 300.0  # s without a failure until an address begins anew
_REMEMBERED = 4096  # addresses


class Failures:
    """Counts per address; of IPv6 per /64, which is what one host has. Pure: time is an argument."""

    def __init__(self, log_line: Callable[[str, int], None] | None = None) -> None:
        """`log_line(address, count)` is called for the 1st, 2nd, 4th, 8th … failure of an address."""
        self._known: OrderedDict[str, tuple[int, float]] = OrderedDict()  # -> count, time of the last; oldest first
        self._log_line = log_line or _log
        self.count = 0

    def __len__(self) -> int:
        """How many addresses are remembered."""
        return len(self._known)

    def failed(self, address: str, now: float) -> float:
        """Seconds to wait with the answer."""
        self.count += 1
        key = _network(address)
        count, last = self._known.pop(key, (0, now))
        count = 1 if now - last > _FORGET else count + 1
        self._known[key] = count, now
        if len(self._known) > _REMEMBERED:
            self._known.popitem(last=False)
        if count.bit_count() == 1:
            self._log_line(key, count)
        return 0.0 if count == 1 else min(_LONGEST, _FIRST * 2 ** min(count - 2, 16))


def _network(address: str) -> str:
    if ":" not in address:
        return address
    try:
        return str(ipaddress.ip_network((address.partition("%")[0], 64), strict=False))
    except ValueError:
        return address


def _log(address: str, count: int) -> None:
    log.warning("action=token_refused address=%s count=%d", address, count)
