"""Tasks that run until they are told to end."""

import asyncio
import logging
from collections.abc import Sequence

logger = logging.getLogger(__name__)


async def end(tasks: Sequence[asyncio.Task[None]]) -> None:
    """One that had failed before is told of: less load than there seems to be proves less than it seems to."""
    for task in tasks:
        task.cancel()
    for result in await asyncio.gather(*tasks, return_exceptions=True):
        if isinstance(result, Exception):
            logger.error("action=load_failed", exc_info=result)
