"""Waiting for something that no event announces."""

import asyncio
import inspect
import time
from collections.abc import Callable
from typing import Any

INTERVAL = 0.02  # seconds between two looks
WITHIN = 30.0  # seconds: a starved machine takes 15 for what takes an idle one a moment


async def eventually(check: Callable[[], Any], within: float = WITHIN) -> Any:
    """Polls `check`, a plain or a coroutine function, until its value is true, and returns that.

    An AssertionError inside `check` counts as "not yet"; at the deadline the last one is raised.
    """
    deadline = time.monotonic() + within
    while True:
        failure: AssertionError | None = None
        try:
            value = check()
            if inspect.isawaitable(value):
                value = await value
            if value:
                return value
        except AssertionError as error:
            failure = error
        if time.monotonic() >= deadline:
            raise failure or AssertionError(f"{inspect.getsource(check).strip()} did not come true in {within} s")
        await asyncio.sleep(INTERVAL)
