"""How much may wait for HTTP functions before callers are paused, and before calls are refused. Pure."""

from gateway.backpressure import MAX_MODULE_BYTES, MAX_MODULE_CALLS, Backpressure
from gateway.worker import Worker

# Modules cannot be paused, and gateways send what is on its way: that much more is taken.
REFUSED_AT = 4


class Congestion:
    """Callers here are paused as for calls of modules, those at other gateways as for workers that do not keep up."""

    def __init__(self, backpressure: Backpressure) -> None:
        self._backpressure = backpressure
        self._calls = 0
        self._bytes = 0
        self._slow: set[Worker] = set()  # whose callers elsewhere were paused

    def add(self, worker: Worker, origin: str, feeder: Worker | None, size: int) -> bool:
        """A call from node `origin`, "" for this one, of a function of `worker`. False: there are far too many."""
        if self._more_than(REFUSED_AT * MAX_MODULE_CALLS, REFUSED_AT * MAX_MODULE_BYTES):
            return False
        self._calls += 1
        self._bytes += size
        self._backpressure.to_module(feeder, size)
        if origin and self._more_than(MAX_MODULE_CALLS, MAX_MODULE_BYTES):
            self._slow.add(worker)
            self._backpressure.from_node(origin, worker, full=True)
        return True

    def remove(self, size: int) -> None:
        self._calls -= 1
        self._bytes -= size
        self._backpressure.module_done(size)
        if self._slow and not self._more_than(MAX_MODULE_CALLS // 2, MAX_MODULE_BYTES // 2):
            for worker in self._slow:
                if not worker.outlet.congested:  # else that resumes them
                    self._backpressure.worker_reads_again(worker)
            self._slow.clear()

    def _more_than(self, calls: int, size: int) -> bool:
        return self._calls > calls or self._bytes > size
