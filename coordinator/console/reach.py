"""The cluster as the console reaches it: functions are called by way of gateways, processes are asked for numbers."""

import asyncio
import time
from collections.abc import Callable, Collection

from msgspec import Struct

from iii_cluster.cluster.map import ClusterMap
from iii_cluster.node.node import Node
from iii_cluster.protocol import errors
from iii_cluster.routing.firing import Firing
from iii_cluster.telemetry.metrics.gather import gather
from iii_cluster.telemetry.metrics.snapshot import Snapshot
from iii_cluster.telemetry.tracing import NO_TRACE, Trace

from .failure import Failure, too_many, unavailable

TIMEOUT = 5.0  # s a function may take
MAX_CALLS = 64  # at once
MAX_RESULT = 8 * 2**20  # bytes
LARGE = 32 * 2**10  # bytes of a result
TICK = 0.25  # s between looks at calls that could not be sent yet
OUTAGE = 1.0  # s without Redis that count as an outage: a node that joins anew is away for less


class Redis(Struct):
    """Whether this node hears the cluster through it, and since when."""

    up: bool
    since_ms: int


class Reach:
    """Goes on with another node when its own was declared dead."""

    def __init__(self) -> None:
        self.redis = Redis(False, int(time.time() * 1000))
        self.on_redis: Callable[[bool, int], None] | None = None  # told of changes of it
        self._node: Node | None = None
        self._firing: Firing | None = None
        self._waiting: set[asyncio.Future[tuple[bytes, bytes]]] = set()
        self._timer: asyncio.TimerHandle | None = None
        self._turn = asyncio.Lock()
        self._heard_ms = self.redis.since_ms  # when the cluster could be reached last

    def attach(self, node: Node, firing: Firing) -> None:
        """From now on; what was asked by way of another node has no answer any more."""
        self._node = node
        self._firing = firing
        for waiting in self._waiting:
            if not waiting.done():
                waiting.set_exception(unavailable("this coordinator joined the cluster anew; try again"))
        if self._timer is None:
            self._tick()

    def close(self) -> None:
        if self._timer is not None:
            self._timer.cancel()

    @property
    def node(self) -> Node:
        assert self._node is not None, "attached before anybody asks"
        return self._node

    @property
    def map(self) -> ClusterMap:
        return self.node.membership.map

    @property
    def reachable(self) -> bool:
        """Whether anybody can be asked anything now."""
        return self.node.bus.ready and not self.node.membership.expelled

    async def snapshots(self) -> tuple[dict[str, Snapshot], set[str]]:
        """Of all processes, and who did not answer."""
        nodes: Collection[str] = self.map.nodes.keys()
        if not self.reachable:
            return {}, set(nodes)
        return await gather(self.node.asker, nodes)

    async def call(
        self,
        function: str,
        data: bytes = b"{}",
        *,
        namespace: str = "default",
        trace: Trace = NO_TRACE,
        counted: bool = False,
        timeout: float = TIMEOUT,  # noqa: ASYNC109
    ) -> bytes:
        """The result, JSON, b"" for none. Raises Failure: 502 for what the function answered, 503 and 504.

        Not `counted`: looks of the page would be most of what an idle cluster does.
        """
        if not self.reachable:
            raise unavailable("this coordinator cannot reach the cluster through Redis now; it goes on when it can")
        if len(self._waiting) >= MAX_CALLS:
            raise too_many("the console waits for too many answers already")
        assert self._firing is not None, "attached before anybody asks"
        ended: asyncio.Future[tuple[bytes, bytes]] = asyncio.get_running_loop().create_future()

        def done(result: bytes, error: bytes) -> None:
            if not ended.done():
                ended.set_result((result, error))

        self._waiting.add(ended)
        traceparent, baggage = trace
        calling = self._firing.caller.call(
            function,
            data,
            done,
            namespace=namespace,
            traceparent=traceparent,
            baggage=baggage,
            counted=counted,
        )
        try:
            async with asyncio.timeout(timeout):
                result, error = await ended
        except TimeoutError:
            raise Failure(504, "timeout", f"{function} did not answer within {timeout:g} s") from None
        finally:
            self._waiting.discard(ended)
            calling.forget()
        if error:
            body = errors.read(errors.regular(error))
            raise Failure(502, body.code, body.message)
        if len(result) > MAX_RESULT:
            raise Failure(502, "too_large", f"the answer of {function} has more than {MAX_RESULT} bytes")
        if len(result) > LARGE:
            # What is made of it holds up all else, so there is one at a time; a lease is renewed in between.
            async with self._turn:
                await asyncio.sleep(0)
        return result

    def _tell(self, redis: Redis) -> None:
        self.redis = redis
        if self.on_redis is not None:
            self.on_redis(redis.up, redis.since_ms)

    def _tick(self) -> None:
        now = int(time.time() * 1000)
        if self.reachable:
            self._heard_ms = now
            if not self.redis.up:
                self._tell(Redis(True, now))
        elif self.redis.up and now - self._heard_ms > OUTAGE * 1000:
            self._tell(Redis(False, self._heard_ms))
        if self._firing is not None:
            self._firing.expire(time.monotonic())
        self._timer = asyncio.get_running_loop().call_later(TICK, self._tick)
