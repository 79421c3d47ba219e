"""What the bus tells others, whatever they make of it."""

import logging
from collections.abc import Callable

log = logging.getLogger(__name__)


def guarded(name: str, callback: Callable[..., None], *args: object) -> None:
    try:
        callback(*args)
    except Exception:
        log.exception("action=callback_failed callback=%s", name)
