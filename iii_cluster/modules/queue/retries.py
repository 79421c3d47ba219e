"""How often a job is tried, and how long it waits in between. Pure."""

from .adapter import Queue

DEFAULT_ATTEMPTS = 3
MAX_DELAY_MS = 2**52  # stays exact where it is added to the time of day


def total_attempts(queue: Queue) -> int:
    """`max_retries` counts all attempts of a named queue, and only the repetitions for a topic's subscriber."""
    if queue.max_retries is None:
        return DEFAULT_ATTEMPTS
    return queue.max_retries + 1 if queue.group is not None else max(1, queue.max_retries)


def backoff(base_ms: int, failures: int) -> int:
    """ms to wait after the attempt that made it `failures`: doubles each time."""
    doublings = max(0, failures - 1)
    return min(base_ms << min(doublings, 64), MAX_DELAY_MS)


def retry_delay(queue: Queue, failures: int) -> int | None:
    """ms until the next attempt, None when there is none."""
    return None if failures >= total_attempts(queue) else backoff(queue.backoff_ms, failures)
