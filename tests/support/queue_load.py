"""Numbered jobs through a cluster that is being broken, and what must hold of them."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from tests.support.cluster import Cluster
from tests.support.eventually import eventually
from tests.support.queues import queue_environment
from tests.support.raw import CallFailed, Frame
from tests.support.reconnecting import Reconnecting, reconnecting

USERS = 6  # message groups; each has a sender that waits for its receipts
LIMITS = {"groups": 4, "plain": 5}
WORK = 0.01  # seconds a job takes
WINDOW = 10  # jobs of one sender that are not handled yet
ATTEMPT = 4.0  # seconds a sender waits for a receipt before it asks again
RECOVERY = 60.0  # seconds after which everything must have arrived

# So many retries that no job dies of what a test breaks.
_MANY = {"max_retries": 50, "backoff_ms": 200}
ENVIRONMENT = queue_environment(
    {
        "groups": {**_MANY, "type": "fifo", "message_group_field": "user", "concurrency": 4, "partitions": 2},
        "plain": {**_MANY, "concurrency": 5},
    }
)


class JobLoad:
    """Begins at once; a job that fails the first time is among every twenty."""

    def __init__(self, sender: Reconnecting, handler: Reconnecting) -> None:
        self.handled: dict[tuple[str, int], list[int]] = {}  # (queue, user) -> numbers, as they came
        self._known: dict[tuple[str, int], set[int]] = {}  # the same, in no order
        self.violations: list[str] = []
        self._sender = sender
        self._handler = handler
        self._receipts: dict[tuple[str, int], int] = {}  # how many, by queue and user
        self._running: Counter[str] = Counter()
        self._users: Counter[int] = Counter()
        self._failed: set[tuple[str, int, int]] = set()
        self._stopping = False
        self._senders: list[asyncio.Task[None]] = []

    async def begin(self) -> "JobLoad":
        for queue in LIMITS:
            await self._handler.register(f"handle::{queue}", self._handle)
        for queue in LIMITS:
            for user in range(USERS):
                self._senders.append(asyncio.create_task(self._send(queue, user)))
        await self.more()
        return self

    async def more(self, jobs: int = 20) -> None:
        """Returns when every sender has got so many more of its jobs handled."""
        goal = {who: len(self._numbers(who)) + jobs for who in self._everybody()}
        await eventually(lambda: all(len(self._numbers(who)) >= many for who, many in goal.items()), within=RECOVERY)

    async def end(self) -> None:
        """Everything that got a receipt is handled, and nothing was wrong."""
        self._stopping = True
        async with asyncio.timeout(RECOVERY):
            await asyncio.gather(*self._senders)
        await eventually(lambda: not self._missing(), within=RECOVERY)
        assert not self.violations, self.violations[:10]
        for user in range(USERS):
            numbers = self.handled["groups", user]
            once = [number for at, number in enumerate(numbers) if at == 0 or numbers[at - 1] != number]
            assert once == list(range(len(once))), f"message group {user} is out of order: {once}"

    async def cancel(self) -> None:
        for sender in self._senders:
            sender.cancel()
        await asyncio.gather(*self._senders, return_exceptions=True)

    @property
    def repeated(self) -> int:
        """Jobs whose handler succeeded more than once."""
        return sum(len(numbers) - len(set(numbers)) for numbers in self.handled.values())

    def _everybody(self) -> list[tuple[str, int]]:
        return [(queue, user) for queue in LIMITS for user in range(USERS)]

    def _numbers(self, who: tuple[str, int]) -> set[int]:
        return self._known.get(who, set())

    def _missing(self) -> list[tuple[tuple[str, int], int]]:
        return [
            (who, number) for who, count in self._receipts.items() for number in set(range(count)) - self._numbers(who)
        ]

    async def _send(self, queue: str, user: int) -> None:
        number = 0
        while not self._stopping:
            if number - len(self._numbers((queue, user))) >= WINDOW:
                await asyncio.sleep(WORK)
                continue
            job = {
                "queue": queue,
                "function_id": f"handle::{queue}",
                "data": {"queue": queue, "user": user, "n": number},
                "messageReceiptId": f"{queue}-{user}-{number}",
            }
            try:
                await self._sender.call("engine::queue::enqueue", job, within=ATTEMPT)
            except (CallFailed, TimeoutError):
                continue  # it may have been accepted: the receipt makes sure that it counts once
            number += 1
            self._receipts[queue, user] = number

    async def _handle(self, frame: Frame) -> Any:
        data = frame["data"]
        queue, user, number = data["queue"], data["user"], data["n"]
        self._running[queue] += 1
        if self._running[queue] > LIMITS[queue]:
            self.violations.append(f"{self._running[queue]} jobs of {queue} at once")
        if queue == "groups":
            self._users[user] += 1
            if self._users[user] > 1:
                self.violations.append(f"{self._users[user]} jobs of message group {user} at once")
        await asyncio.sleep(WORK)
        self._running[queue] -= 1
        if queue == "groups":
            self._users[user] -= 1
        key = (queue, user, number)
        if number % 20 == 7 and key not in self._failed:
            self._failed.add(key)
            return CallFailed({"code": "flaky", "message": "the first time"})
        self.handled.setdefault((queue, user), []).append(number)
        self._known.setdefault((queue, user), set()).add(number)
        return None


@asynccontextmanager
async def job_load(cluster: Cluster) -> AsyncIterator[JobLoad]:
    """The sender prefers the first gateway, the handler the second."""
    here, there = [gateway.url for gateway in cluster.gateways]
    async with reconnecting(here, there, name="sender") as sender, reconnecting(there, here, name="handler") as handler:
        load = JobLoad(sender, handler)
        try:
            await load.begin()
            yield load
            await load.end()
        finally:
            await load.cancel()
