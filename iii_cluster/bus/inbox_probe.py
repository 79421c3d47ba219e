"""Is the subscription to one's own inbox alive? A node publishes to itself and expects to hear it. Pure."""

from enum import Enum

IDLE = 1.0  # seconds of silence before a probe
DEAF = 1.5  # seconds without an echo until the subscription counts as deaf
DEAF_TICKS = 4  # ticks that must have passed as well: a process that was stopped first reads what had arrived


class Advice(Enum):
    NOTHING = "nothing"
    PROBE = "probe"  # publish to oneself
    RECONNECT = "reconnect"  # the subscription is deaf


class InboxProbe:
    """Call `tick` several times a second while the connections are up. Times are seconds of any one clock."""

    def __init__(self) -> None:
        self.healthy = False
        self._heard_at = 0.0
        self._asked_at: float | None = None
        self._ticks = 0

    def lost(self) -> None:
        """A connection went down: unhealthy until something is heard again."""
        self.healthy = False
        self._asked_at = None

    def heard(self, now: float) -> bool:
        """Something arrived in the inbox; True if that made it healthy."""
        self._heard_at = now
        self._asked_at = None
        restored = not self.healthy
        self.healthy = True
        return restored

    def tick(self, now: float) -> Advice:
        if self._asked_at is None:
            if self.healthy and now - self._heard_at < IDLE:
                return Advice.NOTHING
            self._asked_at = now
            self._ticks = 0
            return Advice.PROBE
        self._ticks += 1
        if self._ticks < DEAF_TICKS or now - self._asked_at < DEAF:
            return Advice.NOTHING
        self.lost()
        return Advice.RECONNECT
