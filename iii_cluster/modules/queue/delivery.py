"""One attempt at a job: the condition, the call, the time limit. The same for all adapters."""

import asyncio
from collections.abc import Sequence

from iii_cluster.bus.envelopes import Trigger
from iii_cluster.modules.conditions import condition_of
from iii_cluster.modules.engine import Engine, Invocation
from iii_cluster.protocol import errors

from . import spans
from .adapter import Ended, Job, Queue


class Attempt:
    """Under way from the moment it is made. `condition` "" is none; `metadata` is the trigger's."""

    __slots__ = ("_arguments", "_ended", "_engine", "_function", "_invocation", "_span", "_timer")

    def __init__(
        self,
        engine: Engine,
        queue: Queue,
        job: Job,
        name: str,
        ended: Ended,
        *,
        function: str,
        namespace: str,
        metadata: bytes = b"",
        condition: str = "",
    ) -> None:
        self._engine = engine
        self._ended = ended
        self._function = function
        self._arguments: tuple[Job, str, str, bytes] | None = (job, name, namespace, metadata)  # of the call to come
        self._timer = asyncio.get_running_loop().call_later(queue.timeout, self._late, queue.timeout)
        self._span = spans.attempt(engine, queue, job, name, function)
        if condition:
            traceparent, baggage = self._span.trace
            self._invocation: Invocation = engine.invoke(
                condition, job.data, self._decided, namespace=namespace, traceparent=traceparent, baggage=baggage
            )
        else:
            self._call()

    def forget(self) -> None:
        self._timer.cancel()
        self._span.left()
        self._invocation.forget()

    def _call(self) -> None:
        assert self._arguments is not None
        job, name, namespace, metadata = self._arguments
        self._arguments = None
        traceparent, baggage = self._span.trace
        self._invocation = self._engine.invoke(
            self._function,
            job.data,
            self._done,
            namespace=namespace,
            metadata=metadata,
            traceparent=traceparent,
            baggage=baggage,
            once=name,
            sent=self._span.sent,
        )

    def _decided(self, result: bytes, error: bytes) -> None:
        """What the condition said; one that fails is a failed attempt."""
        if error:
            self._done(b"", error)
        elif result == b"false":
            self._span.refused()
            self._done(b"", b"")
        else:
            self._call()

    def _done(self, _result: bytes, error: bytes) -> None:
        self._timer.cancel()
        self._end(error)

    def _late(self, timeout: float) -> None:
        self._invocation.forget()
        self._end(errors.error_body(errors.TIMEOUT, f"{self._function} did not answer within {timeout:g} s"))

    def _end(self, error: bytes) -> None:
        self._span.end(error)
        self._ended(error)


class NamedDelivery:
    """Deliveries of a named queue: each job says which function it is for."""

    def __init__(self, engine: Engine, queue: Queue) -> None:
        self._engine = engine
        self._queue = queue

    def __call__(self, job: Job, name: str, ended: Ended) -> Attempt:
        return Attempt(self._engine, self._queue, job, name, ended, function=job.function, namespace=job.namespace)


class GroupDelivery:
    """Deliveries of a topic's group, to its triggers in turn. There must be one at least."""

    def __init__(self, engine: Engine, queue: Queue, triggers: Sequence[Trigger]) -> None:
        self._engine = engine
        self._queue = queue
        self._next = 0
        self.subscribe(triggers)

    def subscribe(self, triggers: Sequence[Trigger]) -> None:
        """Those that are live now. The last ones stay when none are left: a job may be on its way to them."""
        if triggers:
            self._triggers = [(trigger, condition_of(trigger)) for trigger in triggers]

    def __call__(self, job: Job, name: str, ended: Ended) -> Attempt:
        self._next = (self._next + 1) % len(self._triggers)
        trigger, condition = self._triggers[self._next]
        return Attempt(
            self._engine,
            self._queue,
            job,
            name,
            ended,
            function=trigger.function,
            namespace=trigger.namespace,
            metadata=trigger.metadata,
            condition=condition,
        )
