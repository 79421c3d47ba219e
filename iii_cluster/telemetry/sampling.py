"""Which traces are recorded. Pure: time and randomness are arguments.

A decision about a trace that has an id follows from the id alone, as in OpenTelemetry's TraceIdRatioBased: every node,
and every SDK with the same ratio, comes to the same one. Of traces that begin here the decision comes first, and the
id is made so that the others agree.
"""

import re
import time
from collections.abc import Callable
from math import log1p
from random import Random

from .config import Observability, Sampling, SamplingRule
from .context import Parent

_ALL = 2**64
# A token that is all there but for this much is there.
_ROUNDING = 1e-7
# What one process begins at most when the file says nothing about sampling, traces per second.
ROOTS_PER_SECOND = 100.0


def bound(ratio: float) -> int:
    """Traces are recorded whose ids end with a number, of 64 bits, below this."""
    return round(ratio * _ALL)


def tail_of(trace_id: str) -> int:
    """What a ratio looks at: the last 64 bits."""
    return int(trace_id[16:], 16)


def pattern(glob: str) -> re.Pattern[str]:
    """Of a whole text: `*` stands for anything, `?` for one character."""
    pieces = re.split(r"(\*+|\?)", glob)
    return re.compile("".join({"*": ".*", "?": "."}.get(one[:1], re.escape(one)) for one in pieces), re.DOTALL)


class TokenBucket:
    """Lets `rate` per second through, and up to one second's worth (at least one) at once."""

    __slots__ = ("_burst", "_due", "_interval")

    def __init__(self, rate: float) -> None:
        self._interval = 1 / rate
        self._burst = (max(1.0, rate) - 1 + _ROUNDING) * self._interval
        self._due = float("-inf")  # when all tokens are there again, but for the one that comes then

    def ready(self, now: float) -> bool:
        """Whether there is a token."""
        return now >= self._due - self._burst

    def take(self, now: float) -> None:
        """One that was there."""
        self._due = max(self._due, now) + self._interval


class _Rule:
    __slots__ = ("_operation", "_service", "bound", "of_service")

    def __init__(self, rule: SamplingRule) -> None:
        self.of_service = rule.service is not None
        self._operation = None if rule.operation is None else pattern(rule.operation)
        self._service = None if rule.service is None else pattern(rule.service)
        self.bound = bound(rule.rate)

    def fits(self, operation: str, service: str) -> bool:
        return (self._operation is None or self._operation.fullmatch(operation) is not None) and (
            self._service is None or self._service.fullmatch(service) is not None
        )


class Sampler:
    """Of one process."""

    def __init__(
        self,
        ratio: float = 1.0,
        rules: tuple[SamplingRule, ...] = (),
        *,
        parent_based: bool = False,
        roots_per_second: float | None = None,
        clock: Callable[[], float] = time.monotonic,
        random: Random | None = None,
    ) -> None:
        """`parent_based`: what the parent says counts, not the ratio. `clock` gives seconds."""
        self._bound = bound(ratio)
        self._rules = tuple(_Rule(rule) for rule in rules)
        self._parent_based = parent_based
        self._bucket = None if roots_per_second is None else TokenBucket(roots_per_second)
        self._clock = clock
        self._random = random or Random()
        self._pace = 0.0 if self._rules or not self._bound or ratio >= 1 else log1p(-ratio)
        self._skipped = self._skip()  # traces that begin next and are not recorded
        self.ever = parent_based or self._bound > 0 or any(rule.bound for rule in self._rules)  # anything is recorded

    def _skip(self) -> int:
        """How many in a row are not recorded: as many as if each were decided by itself."""
        return int(min(log1p(-self._random.random()) / self._pace, _ALL)) if self._pace else 0

    def declines(self) -> bool:
        """Whether a trace that begins now is surely not recorded, whatever it is about; then it counts as one that
        began. Quick; of others, `begin` decides."""
        if self._skipped:
            self._skipped -= 1
            return True
        return self._bucket is not None and not self._bucket.ready(self._clock())

    def begin(self, operation: str, service: str) -> int:
        """Whether a trace that begins with this span is recorded: the tail of its id, or -1."""
        if self.declines():
            return -1
        bound = self._bound_of(operation, service) if self._rules else self._bound
        tail = self._random.getrandbits(64)
        if self._pace:
            self._skipped = self._skip()
            tail = tail * bound // _ALL
        elif tail >= bound:
            return -1
        if self._bucket is not None:
            self._bucket.take(self._clock())
        return tail

    def follow(self, parent: Parent, operation: str, service: str) -> bool:
        """Whether a span of a trace that began elsewhere is recorded."""
        if not parent.sampled:
            return False
        if self._parent_based or (self._bound >= _ALL and not self._rules):
            return True
        return tail_of(parent.trace_id) < self._bound_of(operation, service)

    def keep(self, trace_id: str, operation: str, service: str) -> bool:
        """Whether a span that somebody else has recorded is kept. Where parents count, whoever began the trace has
        decided for all of it, but for what a rule says of a whole service: to drop only the first span would leave a
        trace without its head."""
        if self._parent_based:
            bound = next(
                (rule.bound for rule in self._rules if rule.of_service and rule.fits(operation, service)), _ALL
            )
        elif self._rules or self._bound < _ALL:
            bound = self._bound_of(operation, service)
        else:
            return True
        return bound >= _ALL or tail_of(trace_id) < bound

    def _bound_of(self, operation: str, service: str) -> int:
        for rule in self._rules:
            if rule.fits(operation, service):
                return rule.bound
        return self._bound


def sampler_of(
    config: Observability, clock: Callable[[], float] = time.monotonic, random: Random | None = None
) -> Sampler:
    """As the file says. Rules or a rate limit make what the parent says count, unless `parent_based` is false."""
    said = config.sampling or Sampling()
    ratio = said.default if said.default is not None else config.sampling_ratio
    limit = None if said.rate_limit is None else said.rate_limit.max_traces_per_second
    advanced = bool(said.rules) or limit is not None
    if ratio is None and not advanced:
        limit = ROOTS_PER_SECOND
    return Sampler(
        1.0 if ratio is None else ratio,
        said.rules,
        parent_based=advanced and said.parent_based,
        roots_per_second=limit,
        clock=clock,
        random=random,
    )
