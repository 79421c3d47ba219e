"""One log line when something starts to fail and one when it works again, instead of one per retry."""

import logging


class Outage:
    """Follows the attempts at one thing, called `action` in the log."""

    def __init__(self, logger: logging.Logger, action: str) -> None:
        self._logger = logger
        self._action = action
        self._since: float | None = None

    def failed(self, now: float, error: BaseException) -> None:
        if self._since is None:
            self._since = now
            self._logger.warning("action=%s_failing error=%s detail=%r", self._action, type(error).__name__, str(error))

    def worked(self, now: float) -> None:
        if self._since is not None:
            self._logger.info("action=%s_recovered outage_s=%.1f", self._action, now - self._since)
            self._since = None
