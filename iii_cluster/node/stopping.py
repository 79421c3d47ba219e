"""Why and how a process ends: a signal, a request to drain, or the death of its supervisor."""

import asyncio
import logging
import os
import signal
from typing import Annotated

from msgspec import Meta, Struct

EXIT_OK = 0
EXIT_FAILED = 1
MAX_GRACE = 24 * 3600  # s

Seconds = Annotated[float, Meta(ge=0, le=MAX_GRACE)]

logger = logging.getLogger(__name__)


class Grace(Struct):
    """What one node asks another for with "node.drain"; `timeout` in seconds, None for the other's own setting."""

    timeout: Seconds | None = None


class StopRequest:
    """The first request starts a graceful stop; a second signal ends the process at once.

    The first signal during a drain does not: a supervisor that stops or replaces the process sends it.
    """

    def __init__(self, grace: float) -> None:
        self.exit_code = EXIT_OK
        self.grace = grace  # s the role has to drain; a request may say otherwise
        self._requested = asyncio.Event()
        self._was_signalled = False

    def listen(self) -> None:
        """Take SIGTERM and SIGINT on the running loop."""
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._signalled, number)

    def request(self, reason: str, exit_code: int = EXIT_OK, grace: float | None = None) -> None:
        if not self._requested.is_set():
            self.exit_code = exit_code
            self.grace = self.grace if grace is None else grace
            logger.info("action=stopping reason=%s grace_s=%.1f", reason, self.grace)
            self._requested.set()

    async def wait(self) -> None:
        await self._requested.wait()

    def _signalled(self, number: signal.Signals) -> None:
        if self._was_signalled:
            os._exit(128 + number)
        self._was_signalled = True
        self.request(number.name)
