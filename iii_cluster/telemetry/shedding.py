"""What is kept when there is more than may be: whole traces, the same ones in every process if possible. Pure."""

from .records import Span

RECOVERY = 1.2  # times as much is tried per second while there is room
LEAST = 1 / 256  # of traces: what is tried in any case, so that it does not take long to recover
_DIGITS = 8  # of a trace id, its last ones: samplers look at others
_ALL = 16**_DIGITS
_AIM = 0.9  # part of what is allowed: traces differ in size


class Shedder:
    """A budget of spans per second. Traces whose ids end above a threshold are shed; it falls at once when there is too
    much, and rises slowly, so that most traces are kept or shed from their first span to their last."""

    def __init__(self, per_second: float) -> None:
        """As much as comes in one second may come at once."""
        self._rate = per_second
        self._allowance = per_second
        self._threshold = 1.0
        self._at: float | None = None

    @property
    def part(self) -> float:
        """Of traces, that is kept."""
        return self._threshold

    def shed(self, spans: list[Span], now: float, room: int) -> list[Span]:
        """What is kept of `spans`: within the budget, and no more than `room`. `now`: seconds of any clock."""
        elapsed = 0.0 if self._at is None else max(0.0, now - self._at)
        self._at = now
        self._allowance = min(self._rate, self._allowance + elapsed * self._rate)
        self._threshold = min(1.0, self._threshold * RECOVERY**elapsed)
        allowed = min(int(self._allowance), room)
        if allowed <= 0:
            return []
        kept = self._below(spans) if self._threshold < 1.0 else spans
        if len(kept) > allowed:
            self._threshold = max(self._threshold * _AIM * allowed / len(kept), LEAST)
            kept = self._below(kept)[:allowed]  # a trace may be larger than all that is allowed
        self._allowance -= len(kept)
        return kept

    def _below(self, spans: list[Span]) -> list[Span]:
        limit = f"{min(int(self._threshold * _ALL), _ALL - 1):0{_DIGITS}x}"
        return [span for span in spans if span.trace_id[-_DIGITS:] <= limit]
