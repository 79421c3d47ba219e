"""Ending tasks for certain."""

import asyncio

REPEAT_INTERVAL = 0.1  # s


async def end(task: "asyncio.Task[None]") -> None:
    """Cancel a task and wait until it is over, whatever it raises.

    Once is not enough: on Python 3.11 `asyncio.wait_for`, which redis-py sends commands with, drops a cancellation
    that meets the end of what it waits for.
    """
    while not task.done():
        task.cancel()
        await asyncio.wait([task], timeout=REPEAT_INTERVAL)
