"""A steady pace."""

import asyncio
from collections.abc import AsyncIterator

MADE_UP = 0.1  # s of delay that are made up for


async def beats(rate: float) -> AsyncIterator[None]:
    """`rate` times a second for ever. A moment it was late is made up for, an outage not."""
    loop = asyncio.get_running_loop()
    due = loop.time()
    while True:
        due = max(due + 1 / rate, loop.time() - MADE_UP)
        await asyncio.sleep(max(0.0, due - loop.time()))
        yield
