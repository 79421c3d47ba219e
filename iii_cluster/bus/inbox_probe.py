"""Does the subscription to one's own inbox hear? A node publishes to itself and expects the message back. Pure."""

from enum import Enum

PROBE_INTERVAL = 1.0  # seconds between probes of a subscription that is heard
DEAF = 1.5  # seconds of silence after a probe until the subscription counts as deaf
DEAF_TICKS = 4  # ticks that must have passed as well: a process that was stopped first reads what had arrived


class Advice(Enum):
    NOTHING = "nothing"
    PROBE = "probe"  # publish to oneself
    RECONNECT = "reconnect"  # the subscription is deaf


class InboxProbe:
    """Call `tick` several times a second while the connections are up. Times are seconds of any one clock."""

    def __init__(self) -> None:
        self.healthy = False
        self._probed_at: float | None = None
        self._waiting = False
        self._ticks = 0

    def lost(self) -> None:
        """A connection went down: unhealthy until something is heard again."""
        self.healthy = False
        self._waiting = False
        self._probed_at = None

    def heard(self) -> bool:
        """Something arrived; True if that made it healthy."""
        self._waiting = False
        restored = not self.healthy
        self.healthy = True
        return restored

    def tick(self, now: float) -> Advice:
        if not self._waiting:
            if self._probed_at is not None and now - self._probed_at < PROBE_INTERVAL:
                return Advice.NOTHING
            self._probed_at = now
            self._waiting = True
            self._ticks = 0
            return Advice.PROBE
        self._ticks += 1
        if self._ticks < DEAF_TICKS or self._probed_at is None or now - self._probed_at < DEAF:
            return Advice.NOTHING
        self.lost()
        return Advice.RECONNECT
