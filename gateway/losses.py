"""Calls whose worker's connection was closed: kept for its next one, or ended. Pure."""

from collections.abc import Callable

from .call import STOPPED, Call
from .handover import Handover
from .kept import MAX_CALLS, LostConnections
from .worker import Worker

Reply = Callable[[str, str, bytes, bytes], None]  # (node, invocation id, result, error)


class Losses:
    """Works on the tables of one gateway's `Invocations`."""

    def __init__(
        self,
        pending: dict[str, Call],
        serving: dict[str, Worker],
        lost: LostConnections,
        handover: Handover,
        served: Reply,
        window: float,
    ) -> None:
        """`served` ends a call that a worker here was serving. `window`: seconds calls are kept."""
        self._pending = pending
        self._serving = serving
        self._lost = lost
        self._handover = handover
        self._served = served
        self._window = window

    def leaving(self, worker: Worker) -> None:
        """Its socket takes no more frames: answers are kept until it is gone, and then for the window."""
        if self._window > 0:
            self._lost.keep(worker)

    def worker_gone(self, worker: Worker, *, back: bool = False, in_order: bool = False, now: float = 0.0) -> None:
        """Its connection is closed. With `back` it is expected on another one: its calls wait for that, for a while."""
        if not back or self._window <= 0:
            self._end_calls_of(worker)
            return
        kept = self._lost.keep(worker)
        kept.until = now + self._window
        kept.in_order = in_order
        for raw_id in list(worker.calling)[: max(0, len(worker.calling) - MAX_CALLS)]:
            self._forget_call(worker, raw_id)

    def forget(self, worker_id: str) -> None:
        """A lost connection is not waited for any longer."""
        kept = self._lost.get(worker_id)
        if kept is not None:
            self._end_calls_of(kept.worker)

    def handed_over(self, worker_id: str, *, accepted: bool) -> None:
        """The other gateway has taken what `adopt` returned, or nobody has."""
        kept = self._lost.moved(worker_id)
        if kept is not None and not accepted:
            self._stop_serving(kept.worker)
        self._handover.handed_over(worker_id)

    def expire(self, now: float) -> None:
        """End the calls of lost connections whose window is over."""
        left, unsure = self._lost.expire(now)
        for worker in left:
            self._end_calls_of(worker)
        for worker in unsure:
            self._stop_serving(worker)

    def _end_calls_of(self, worker: Worker) -> None:
        """End what it was serving, forget what it was calling (its callees are not told)."""
        self._lost.drop(worker)
        self._stop_serving(worker)
        for raw_id in list(worker.calling):
            self._forget_call(worker, raw_id)

    def _stop_serving(self, worker: Worker) -> None:
        for invocation_id, origin in list(worker.serving.items()):
            self._serving.pop(invocation_id, None)
            self._served(origin, invocation_id, b"", STOPPED)
        worker.serving.clear()

    def _forget_call(self, worker: Worker, raw_id: bytes) -> None:
        """Nobody wants the answer; a call that was not sent yet never is."""
        invocation_id = worker.calling.pop(raw_id)
        self._handover.waiting.count -= 1
        call = self._pending[invocation_id]
        call.caller = None
        if call.target is None:
            del self._pending[invocation_id]
            call.finish(b"", STOPPED)
