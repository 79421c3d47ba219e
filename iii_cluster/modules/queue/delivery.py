"""One attempt at a job: the condition, the call, the time limit. The same for all adapters."""

import asyncio
from collections.abc import Sequence

from iii_cluster.bus.envelopes import Trigger
from iii_cluster.modules.conditions import condition_of
from iii_cluster.modules.engine import Engine, Invocation
from iii_cluster.protocol import errors

from .adapter import Ended, Job


class Attempt:
    """Under way from the moment it is made. `condition` "" is none; `metadata` is the trigger's."""

    __slots__ = ("_arguments", "_ended", "_engine", "_function", "_invocation", "_timer")

    def __init__(
        self,
        engine: Engine,
        job: Job,
        name: str,
        ended: Ended,
        *,
        function: str,
        namespace: str,
        timeout: float,
        metadata: bytes = b"",
        condition: str = "",
    ) -> None:
        self._engine = engine
        self._ended = ended
        self._function = function
        self._arguments: tuple[Job, str, str, bytes] | None = (job, name, namespace, metadata)  # of the call to come
        self._timer = asyncio.get_running_loop().call_later(timeout, self._late, timeout)
        if condition:
            self._invocation: Invocation = engine.invoke(condition, job.data, self._decided, namespace=namespace)
        else:
            self._call()

    def forget(self) -> None:
        self._timer.cancel()
        self._invocation.forget()

    def _call(self) -> None:
        assert self._arguments is not None
        job, name, namespace, metadata = self._arguments
        self._arguments = None
        self._invocation = self._engine.invoke(
            self._function,
            job.data,
            self._done,
            namespace=namespace,
            metadata=metadata,
            traceparent=job.traceparent,
            baggage=job.baggage,
            once=name,
        )

    def _decided(self, result: bytes, error: bytes) -> None:
        """What the condition said; one that fails is a failed attempt."""
        if error or result == b"false":
            self._done(b"", error)
        else:
            self._call()

    def _done(self, _result: bytes, error: bytes) -> None:
        self._timer.cancel()
        self._ended(error)

    def _late(self, timeout: float) -> None:
        self._invocation.forget()
        self._ended(errors.error_body(errors.TIMEOUT, f"{self._function} did not answer within {timeout:g} s"))


class NamedDelivery:
    """Deliveries of a named queue: each job says which function it is for."""

    def __init__(self, engine: Engine, timeout: float) -> None:
        self._engine = engine
        self.timeout = timeout  # seconds

    def __call__(self, job: Job, name: str, ended: Ended) -> Attempt:
        return Attempt(
            self._engine, job, name, ended, function=job.function, namespace=job.namespace, timeout=self.timeout
        )


class GroupDelivery:
    """Deliveries of a topic's group, to its triggers in turn. There must be one at least."""

    def __init__(self, engine: Engine, triggers: Sequence[Trigger], timeout: float) -> None:
        self._engine = engine
        self._next = 0
        self.timeout = timeout  # seconds
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
            job,
            name,
            ended,
            function=trigger.function,
            namespace=trigger.namespace,
            timeout=self.timeout,
            metadata=trigger.metadata,
            condition=condition,
        )
