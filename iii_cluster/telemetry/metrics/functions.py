"""How often functions were called, how that ended and how long it took. On the path of every call."""

import time
from bisect import bisect_left
from typing import NamedTuple

import msgspec
from msgspec import Struct

from iii_cluster.protocol import errors

from .durations import BOUNDS, BUCKETS

MAX_FUNCTIONS = 2_000  # ids counted by themselves
MAX_ENQUEUED = 1_000  # of those, ids that were put into a queue before they were ever called here
MAX_CODES = 20  # of one function, likewise
MAX_CODE = 64  # characters
OTHER = "other"  # what is beyond these limits
UNKNOWN = "unknown"  # code of an error without one; id of functions that nobody was found for
# Calls that reached nobody. Whoever calls makes up their ids, so these get no numbers of their own by it.
UNSERVED = frozenset({errors.FUNCTION_NOT_FOUND, errors.FORBIDDEN, errors.LIMIT_EXCEEDED, errors.INVALID_NAMESPACE})

# Of a function's numbers, behind its buckets.
_SECONDS, _ERRORS, _DEFERRED = BUCKETS, BUCKETS + 1, BUCKETS + 2


class FunctionNumbers(Struct, array_like=True):
    """Since the process began. What was put into a queue is in `deferred` only; its job counts when it has run."""

    count: int = 0  # ended, errors among them
    errors: int = 0
    deferred: int = 0
    seconds: float = 0.0  # of all that ended
    buckets: list[int] = []  # as many as BUCKETS
    error_seconds: float = 0.0  # of the errors among them
    error_buckets: list[int] = []  # likewise; empty without any


class Exemplar(NamedTuple):
    """A recorded call that fell into a bucket: where to look when the bucket is looked at."""

    trace_id: str
    seconds: float
    timestamp: float  # s since the epoch


class _Error(Struct):
    code: str = UNKNOWN


_decode_error = msgspec.json.Decoder(_Error).decode


class Functions:
    """Ids are those of functions; of another namespace than "default", "namespace/id"."""

    def __init__(self) -> None:
        self._numbers: dict[str, list[float]] = {}  # by id: buckets, seconds, errors, deferred
        self._failures: dict[str, list[float]] = {}  # by id, if there were any: buckets, seconds
        self._codes: dict[str, dict[str, int]] = {}  # by id
        self._exemplars: dict[str, dict[int, Exemplar]] = {}  # by id and bucket
        self._enqueued = 0  # ids that came by a queue

    def ended(self, function: str, seconds: float, error: bytes) -> None:
        """A call has ended; `error` is its body, JSON, b"" for success."""
        try:
            numbers = self._numbers[function]
        except KeyError:
            function = self._place(UNKNOWN if error and _code(error) in UNSERVED else function)
            numbers = self._numbers[function]
        numbers[bisect_left(BOUNDS, seconds)] += 1
        numbers[_SECONDS] += seconds
        if error:
            self._failed(function, numbers, seconds, _code(error))

    def deferred(self, function: str) -> None:
        """A call was accepted for a queue, whether there is such a function or not."""
        if function not in self._numbers:
            function = self._place(function if self._enqueued < MAX_ENQUEUED else OTHER)
            self._enqueued += 1
        self._numbers[function][_DEFERRED] += 1

    def exemplar(self, function: str, seconds: float, trace_id: str) -> None:
        """The call that has just ended was recorded in this trace."""
        exemplar = Exemplar(trace_id, seconds, time.time())
        self._exemplars.setdefault(self._known(function), {})[bisect_left(BOUNDS, seconds)] = exemplar

    def numbers(self) -> dict[str, FunctionNumbers]:
        """A copy of everything."""
        return {id: _copy(own, self._failures.get(id)) for id, own in self._numbers.items()}

    def error_codes(self) -> dict[str, dict[str, int]]:
        """Errors by function and code; a copy."""
        return {id: dict(codes) for id, codes in self._codes.items()}

    def exemplars(self, function: str) -> dict[int, Exemplar]:
        """The latest by bucket."""
        return self._exemplars.get(function, {})

    def _known(self, function: str) -> str:
        return function if function in self._numbers else OTHER

    def _place(self, function: str) -> str:
        """Where an id is counted that has no numbers yet: with all others when there are too many."""
        if len(self._numbers) >= MAX_FUNCTIONS and function != UNKNOWN:
            function = OTHER
        self._numbers.setdefault(function, [0] * BUCKETS + [0.0, 0, 0])
        return function

    def _failed(self, function: str, numbers: list[float], seconds: float, code: str) -> None:
        numbers[_ERRORS] += 1
        failures = self._failures.setdefault(function, [0] * BUCKETS + [0.0])
        failures[bisect_left(BOUNDS, seconds)] += 1
        failures[_SECONDS] += seconds
        codes = self._codes.setdefault(function, {})
        if code not in codes and len(codes) >= MAX_CODES:
            code = OTHER
        codes[code] = codes.get(code, 0) + 1


def _code(error: bytes) -> str:
    try:
        return _decode_error(error).code[:MAX_CODE]
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return UNKNOWN


def _copy(own: list[float], failures: list[float] | None) -> FunctionNumbers:
    buckets: list[int] = own[:BUCKETS]  # type: ignore[assignment]  # nothing else is ever added to them
    numbers = FunctionNumbers(sum(buckets), int(own[_ERRORS]), int(own[_DEFERRED]), own[_SECONDS], buckets)
    if failures is not None:
        numbers.error_seconds = failures[_SECONDS]
        numbers.error_buckets = failures[:BUCKETS]  # type: ignore[assignment]
    return numbers
