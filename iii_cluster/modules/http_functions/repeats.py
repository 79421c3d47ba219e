"""Whether a request is sent again, and when. Pure."""

import random
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

from iii_cluster.outgoing.answer import Answer
from iii_cluster.outgoing.failures import ExchangeFailed, Reached

from .definition import IDEMPOTENT

FIRST_PAUSE = 0.1  # seconds, doubled every time; half of it is chance
MAX_PAUSE = 2.0
BUSY = frozenset({502, 503, 504})  # whoever answered did nothing


def after_failure(method: str, failed: ExchangeFailed) -> bool:
    """What was surely not sent may be sent again, and what does no more the second time."""
    if failed.final or failed.reached is Reached.HEAD:
        return False
    return failed.reached is Reached.NOTHING or method in IDEMPOTENT


def after_answer(method: str, answer: Answer) -> bool:
    return method in IDEMPOTENT and answer.status in BUSY


def pause(number: int, wanted: float = 0.0, chance: float | None = None) -> float:
    """Seconds before repetition `number`, which is 1 for the first; `wanted` is what the other side asked for."""
    longest = min(FIRST_PAUSE * 2.0 ** (number - 1), MAX_PAUSE)
    return max(wanted, longest / 2 * (1 + (random.random() if chance is None else chance)))


def retry_after(text: str, now: float) -> float:
    """Seconds from `now` (Unix time) that the header asks for; 0 for none."""
    text = text.strip()
    if text.isascii() and text.isdigit():
        return float(text[:10])
    try:
        date = parsedate_to_datetime(text)
    except (TypeError, ValueError, IndexError, OverflowError):
        return 0.0
    if date.tzinfo is None:
        date = date.replace(tzinfo=UTC)
    return max((date - datetime.fromtimestamp(now, UTC)).total_seconds(), 0.0)
