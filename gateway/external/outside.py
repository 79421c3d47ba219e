"""Functions that are not called at their worker, as the core sees them."""

import logging
from typing import TYPE_CHECKING, Protocol

from gateway.worker import Worker
from iii_cluster.bus.envelopes import Invoke
from iii_cluster.protocol import messages

if TYPE_CHECKING:
    from iii_cluster.modules.http_functions.definition import HttpFunction

log = logging.getLogger(__name__)

# Refusals of one worker that are logged one by one; of more, ever fewer are.
MAX_LOGGED = 100


class Outside(Protocol):
    @property
    def in_flight(self) -> int:
        """Calls that have not ended, of callers here and elsewhere."""

    def admit(self, worker: Worker, message: messages.RegisterFunction) -> "HttpFunction | None":
        """A registration with an `invocation`. None: refused, and logged."""

    def take(self, worker: Worker, invoke: Invoke, origin: str, feeder: Worker | None) -> bool:
        """Whether the call is for such a function; then it will end. `origin` is the caller's node, "" for this one.

        `feeder` is the worker to pause while too many calls wait.
        """


class NotConfigured:
    """Without the module."""

    in_flight = 0

    def admit(self, worker: Worker, message: messages.RegisterFunction) -> None:
        log_refusal(worker, message.id, "HTTP functions need `- name: iii-http-functions` in the configuration")

    def take(self, worker: Worker, invoke: Invoke, origin: str, feeder: Worker | None) -> bool:
        return False


def log_refusal(worker: Worker, function: str, reason: str) -> None:
    """The worker is not told: old clients know no answer to a registration."""
    worker.dropped += 1
    if worker.dropped <= MAX_LOGGED or worker.dropped.bit_count() == 1:
        log.error("action=http_function_refused worker=%s function=%.200r reason=%.400r", worker.id, function, reason)
