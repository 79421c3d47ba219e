"""Load of the modules: raw Redis beside state, stream clients, jobs, subscribers, and a cron handler.

Times cross processes: they are those of `time.monotonic_ns`, which all processes of a machine share.
"""

import asyncio
import itertools
import json
import time
from collections.abc import Callable, Sequence
from datetime import datetime
from time import perf_counter

from msgspec import Struct
from redis.asyncio import Redis

from bench.figures import percentile
from bench.load import ID_MEMBER, UUID_SIZE, announcement, invocation_ids, member, registration
from bench.remote import CROWD_PARALLEL, Load, main
from bench.wire import Endpoint, connect

WARM_UP = 0.5  # seconds before a window
DRAIN = 10.0  # seconds what is under way at the end of a window may take
SUBSCRIBERS_PER_CONNECTION = 100


class Rate(Struct, frozen=True):
    """How often something happened in a window, and how long each took."""

    count: int
    seconds: float
    p50_ms: float = 0.0
    p99_ms: float = 0.0
    max_ms: float = 0.0
    missing: int = 0  # begun and never seen to end

    @property
    def per_s(self) -> float:
        return self.count / self.seconds


def rate(times: list[float], seconds: float, missing: int = 0) -> Rate:
    """From times in milliseconds."""
    if not times:
        raise RuntimeError("nothing happened in the window")
    times.sort()
    return Rate(len(times), seconds, percentile(times, 50), percentile(times, 99), times[-1], missing)


def stamp(message: bytes) -> float:
    """Milliseconds since the `"at"` (monotonic ns) in a message."""
    at = message.find(b'"at":') + 5
    end = at
    while message[end : end + 1].isdigit():
        end += 1
    return (time.monotonic_ns() - int(message[at:end])) / 1e6


def invoke(function: str, data: object, ident: bytes | None = None, **members: object) -> bytes:
    message = {"type": "invokefunction", "function_id": function, "data": data, **members}
    if ident is not None:
        message["invocation_id"] = ident.decode()
    return json.dumps(message, separators=(",", ":")).encode()


def trigger(ident: str, type_: str, function: str, config: dict[str, object]) -> bytes:
    message = {"type": "registertrigger", "id": ident, "trigger_type": type_, "function_id": function}
    return json.dumps(message | {"config": config}).encode()


class ModuleLoad(Load):
    """What a load process of these scenarios does on request."""

    def __init__(self) -> None:
        super().__init__()
        self._seen: list[float] = []  # delays of events, ms
        self._first = self._last = 0.0  # when the first and the last one came

    # -- raw Redis ---------------------------------------------------------------------------------

    async def raw(self, url: str, commands: Sequence[Sequence[str]], in_flight: int, seconds: float) -> Rate:
        """redis-py, `in_flight` coroutines that each await one command after the other."""
        redis: Redis = Redis.from_url(url, max_connections=in_flight)
        times: list[float] = []
        stop = False
        turns = itertools.cycle(commands)

        async def one() -> None:
            while not stop:
                begin = perf_counter()
                await redis.execute_command(*next(turns))  # type: ignore[no-untyped-call]
                times.append((perf_counter() - begin) * 1e3)

        tasks = [asyncio.create_task(one()) for _ in range(in_flight)]
        await asyncio.sleep(WARM_UP)
        times.clear()
        begin = perf_counter()
        await asyncio.sleep(seconds)
        elapsed, measured = perf_counter() - begin, times.copy()
        stop = True
        await asyncio.gather(*tasks)
        await redis.aclose()
        return rate(measured, elapsed)

    # -- streams -----------------------------------------------------------------------------------

    async def stream_clients(self, urls: Sequence[str], count: int, stream: str, group: str) -> None:
        """`count` clients, spread over the urls, each subscribed to one group; returns when all have their sync."""
        gate = asyncio.Semaphore(CROWD_PARALLEL)
        synced = asyncio.Event()
        waiting = count

        def receive(_endpoint: Endpoint, messages: list[bytes]) -> None:
            nonlocal waiting
            for message in messages:
                if b'"sync"' in message:
                    waiting -= 1
                    if not waiting:
                        synced.set()
                else:
                    self._see(message)

        async def one(number: int) -> None:
            async with gate:
                endpoint = await connect(urls[number % len(urls)], receive)
                subscription = {"subscriptionId": f"s{number}", "streamName": stream, "groupId": group}
                endpoint.send(json.dumps({"type": "join", "data": subscription}).encode())
                self._endpoints.append(endpoint)

        await asyncio.gather(*(one(number) for number in range(count)))
        async with asyncio.timeout(DRAIN):
            await synced.wait()

    async def updates(self, url: str, stream: str, group: str, pace: float, seconds: float) -> int:
        """`stream::set` calls, `pace` per second (0: one after the other); returns how many were made."""

        def data(number: int) -> dict[str, object]:
            item = {"id": f"i{number % 100}", "at": time.monotonic_ns()}
            return {"stream_name": stream, "group_id": group, "item_id": f"i{number % 100}", "data": item}

        return await self._one_by_one(url, "stream::set", data, pace, seconds)

    async def _one_by_one(
        self, url: str, function: str, data: Callable[[int], object], pace: float, seconds: float
    ) -> int:
        calls = Calls()
        endpoint = await connect(url, calls.receive)
        made = 0
        begin = perf_counter()
        try:
            while (now := perf_counter() - begin) < seconds:
                if pace and made / pace > now:
                    await asyncio.sleep(made / pace - now)
                await calls.call(endpoint, function, data(made))
                made += 1
            return made
        finally:
            endpoint.close()

    def _see(self, message: bytes) -> None:
        self._last = perf_counter()
        if not self._seen:
            self._first = self._last
        self._seen.append(stamp(message))

    async def seen(self, expected: int) -> Rate:
        """Events seen since the last time, when `expected` have come or a while has passed."""
        deadline = perf_counter() + DRAIN
        while len(self._seen) < expected and perf_counter() < deadline:  # noqa: ASYNC110
            await asyncio.sleep(0.01)
        times, self._seen = self._seen, []
        return rate(times, self._last - self._first, max(0, expected - len(times)))

    # -- queues ------------------------------------------------------------------------------------

    async def jobs(
        self, url: str, worker_url: str, queues: Sequence[str], groups: int, outstanding: int, seconds: float
    ) -> Rate:
        """Jobs from `url` to a handler at `worker_url`: a new one is enqueued for each that is handled."""
        jobs = Jobs(queues, groups)
        worker = await connect(worker_url, jobs.handle)
        await worker.send_many([announcement("bench-jobs"), registration(Jobs.FUNCTION)])
        jobs.caller = await connect(url, jobs.acknowledged)
        try:
            for _ in range(outstanding):
                jobs.enqueue()
            await asyncio.sleep(WARM_UP)
            jobs.times.clear()
            begin = perf_counter()
            await asyncio.sleep(seconds)
            measured, elapsed = jobs.times.copy(), perf_counter() - begin
            jobs.running = False
            deadline = perf_counter() + DRAIN
            while jobs.begun and perf_counter() < deadline:  # noqa: ASYNC110 - nothing tells of the last one
                await asyncio.sleep(0.01)
            if jobs.refused:
                raise RuntimeError(f"{jobs.refused} jobs were refused: {jobs.refusal}")
            return rate(measured, elapsed, len(jobs.begun))
        finally:
            worker.close()
            jobs.caller.close()

    # -- pub/sub -----------------------------------------------------------------------------------

    async def subscribers(self, urls: Sequence[str], count: int, topic: str) -> None:
        """`count` functions subscribed to a topic, on connections spread over the urls."""

        def receive(endpoint: Endpoint, messages: list[bytes]) -> None:
            for message in messages:
                if b'"invokefunction"' in message and b'"at":' in message:
                    self._see(message)
                    answer(endpoint, message)

        for first in range(0, count, SUBSCRIBERS_PER_CONNECTION):
            endpoint = await connect(urls[first // SUBSCRIBERS_PER_CONNECTION % len(urls)], receive)
            names = [f"bench::sub{number}" for number in range(first, min(count, first + SUBSCRIBERS_PER_CONNECTION))]
            subscriptions = [trigger(f"t-{name}", "subscribe", name, {"topic": topic}) for name in names]
            await endpoint.send_many([announcement(f"bench-sub-{first}"), *map(registration, names), *subscriptions])
            self._endpoints.append(endpoint)

    async def publish(self, url: str, topic: str, pace: float, seconds: float) -> int:
        """As `updates`, of messages to a topic."""
        return await self._one_by_one(
            url, "publish", lambda _: {"topic": topic, "data": {"at": time.monotonic_ns()}}, pace, seconds
        )

    async def until_subscribed(self, url: str, topic: str, expected: int) -> None:
        """Publishes until every subscriber gets it."""
        calls = Calls()
        endpoint = await connect(url, calls.receive)
        try:
            async with asyncio.timeout(DRAIN):
                while True:
                    self._seen.clear()
                    await calls.call(endpoint, "publish", {"topic": topic, "data": {"at": time.monotonic_ns()}})
                    await asyncio.sleep(0.2)
                    if len(self._seen) >= expected:
                        break
        finally:
            endpoint.close()
        self._seen.clear()

    # -- cron --------------------------------------------------------------------------------------

    async def cron(self, url: str, seconds: float) -> Rate:
        """A job per second: how long after its time its handler gets it. Times are those of the wall clock."""
        lateness: list[float] = []
        times: set[bytes] = set()
        repeated = 0

        def receive(endpoint: Endpoint, messages: list[bytes]) -> None:
            nonlocal repeated
            for message in messages:
                if b'"scheduled_time"' in message:
                    scheduled = member(message, b'"scheduled_time"', 25)
                    repeated += scheduled in times
                    times.add(scheduled)
                    lateness.append((time.time() - _epoch(scheduled)) * 1e3)
                    answer(endpoint, message)

        endpoint = await connect(url, receive)
        try:
            config: dict[str, object] = {"expression": "* * * * * *"}
            await endpoint.send_many(
                [
                    announcement("bench-cron"),
                    registration("bench::tick"),
                    trigger("bench-cron", "cron", "bench::tick", config),
                ]
            )
            await asyncio.sleep(seconds)
        finally:
            endpoint.close()
        if repeated:
            raise RuntimeError(f"{repeated} ticks came twice")
        return rate(lateness, seconds)


def _epoch(text: bytes) -> float:
    return datetime.fromisoformat(text.decode()).timestamp()


def answer(endpoint: Endpoint, message: bytes) -> None:
    """End an invocation without a value."""
    at = message.find(b'"', message.find(ID_MEMBER) + 15) + 1
    to = message.find(b'"', message.find(b'"function_id"') + 13) + 1
    function = message[to : message.find(b'"', to)]
    endpoint.send(
        b'{"type":"invocationresult","invocation_id":"'
        + message[at : at + UUID_SIZE]
        + b'","function_id":"'
        + function
        + b'"}'
    )


class Calls:
    """Calls over one connection, each of them awaited."""

    def __init__(self) -> None:
        self._ids = invocation_ids()
        self._waiting: dict[bytes, asyncio.Future[bytes]] = {}

    def receive(self, _endpoint: Endpoint, messages: list[bytes]) -> None:
        for message in messages:
            ended = self._waiting.pop(member(message, ID_MEMBER, UUID_SIZE), None)
            if ended is not None and not ended.done():
                if b'"error"' in message:
                    ended.set_exception(RuntimeError(message.decode(errors="replace")))
                else:
                    ended.set_result(message)

    async def call(self, endpoint: Endpoint, function: str, data: object) -> bytes:
        """The message that ended it; raises RuntimeError for an error."""
        ident = next(self._ids)
        ended = self._waiting[ident] = asyncio.get_running_loop().create_future()
        endpoint.send(invoke(function, data, ident))
        message: bytes = await ended
        return message


class Jobs:
    """Enqueues numbered jobs round robin over queues, and handles them."""

    FUNCTION = "bench::job"

    def __init__(self, queues: Sequence[str], groups: int) -> None:
        self.begun: dict[int, float] = {}  # number -> when it was enqueued
        self.times: list[float] = []  # ms from enqueueing to the handler
        self.running = True
        self.refused = 0
        self.refusal = ""
        self.caller: Endpoint
        self._ids = invocation_ids()
        self._queues = queues
        self._groups = groups
        self._number = 0

    def enqueue(self) -> None:
        number = self._number
        self._number += 1
        self.begun[number] = perf_counter()
        data = {"number": number, "group": f"g{number % self._groups}"}
        action = {"type": "enqueue", "queue": self._queues[number % len(self._queues)]}
        self.caller.send(invoke(self.FUNCTION, data, next(self._ids), action=action))

    def acknowledged(self, _endpoint: Endpoint, messages: list[bytes]) -> None:
        for message in messages:
            if b'"error"' in message:
                self.refused += 1
                self.refusal = message.decode(errors="replace")

    def handle(self, endpoint: Endpoint, messages: list[bytes]) -> None:
        now = perf_counter()
        for message in messages:
            at = message.find(b'"number":')
            if at < 0:
                continue
            begun = self.begun.pop(int(message[at + 9 : message.find(b",", at)]), None)
            answer(endpoint, message)
            if begun is None:
                continue  # it came twice
            self.times.append((now - begun) * 1e3)
            if self.running:
                self.enqueue()


if __name__ == "__main__":
    main(ModuleLoad)
