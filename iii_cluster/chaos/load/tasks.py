"""Tasks that run until they are told to end."""

import asyncio
import logging
from collections.abc import Sequence

logger = logging.getLogger(__name__)


PATIENCE = 3.0  # s for what is cancelled to end, before it is cancelled again
ATTEMPTS = 3


async def end(tasks: Sequence[asyncio.Task[None]]) -> None:
    """One that had failed before is told of: less load than there seems to be proves less than it seems to."""
    pending = set(tasks)
    for _ in range(ATTEMPTS):
        if pending:
            for task in pending:
                task.cancel()
            _, pending = await asyncio.wait(pending, timeout=PATIENCE)
    for task in tasks:
        if task in pending:
            logger.error("action=load_hangs task=%r", task)
        elif not task.cancelled() and (error := task.exception()) is not None:
            logger.error("action=load_failed", exc_info=error)
