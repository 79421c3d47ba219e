"""How long a function that has returned nothing may take to open its response channel.

Node connects only after the handler has returned; nothing is lost as long as that takes less than this. Of 1000
requests, 64 at a time, to published clients 999 took 0.12 s, on a host with four times the work it can do 0.4 s with 16
at a time.
"""

# Seconds.
GRACE = 0.5  # when nothing is known of it; half of it for each time that it returned nothing and never wrote ...
GRACE_QUIET = 0.1  # ... but at least this
GRACE_STREAMS = 5.0  # it has written to a channel before, or reads the body right now


class Patience:
    """With the function of one route, by what it has done before."""

    __slots__ = ("_quiet", "_streams")

    def __init__(self) -> None:
        self._streams = False
        self._quiet = 0

    def wrote(self) -> None:
        """It has written to a response channel."""
        self._streams = True

    def was_quiet(self) -> None:
        """It has returned nothing, and not written to a channel."""
        self._quiet += 1

    def grace(self, *, reads: bool) -> float:
        """Seconds from its return on. `reads`: it reads the body right now."""
        return GRACE_STREAMS if self._streams or reads else max(GRACE_QUIET, GRACE * 0.5**self._quiet)
