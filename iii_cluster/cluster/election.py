"""Who leads: coordinators compete for a lease in Redis, and each leadership has a higher term than all before."""

import asyncio
import logging
import time
from collections.abc import Callable

from iii_cluster.config.settings import Settings

from .membership import REDIS_ERRORS
from .outage import Outage
from .scripts import ANY_SERVER, NO_SERVER, Leadership, Scripts
from .tasks import end

RELEASE_TIMEOUT = 1.0  # s

logger = logging.getLogger(__name__)


class Candidate:
    """Whether one node leads, from the answers to its attempts. `term` is 0 while it does not.

    A lease counts from the moment the attempt was started, so that it ends here before it ends in Redis.
    A term that was given up does not come back, even if a late answer extends it.
    """

    def __init__(self, ttl: float) -> None:
        self.term = 0
        self.until = 0.0
        self.newest = 0  # of the terms it led in
        self._ttl = ttl
        self._given_up = 0

    def answered(self, started: float, answer: Leadership) -> None:
        self.term = answer.term if answer.term > self._given_up else 0
        self.until = started + self._ttl
        self.newest = max(self.newest, answer.term)

    def expire(self, now: float) -> None:
        """Step down if the lease could not be renewed in time."""
        if self.term and now >= self.until:
            self._given_up = self.term
            self.term = 0


class Witness:
    """Whether the answering server knows the newest term and map.

    One that took over may lag behind, or have nothing at all: whoever does not lead then waits for as long as a lease
    lasts, in which every living node tells it what it knows.
    """

    def __init__(self, patience: float) -> None:
        self._patience = patience
        self._server: str | None = None
        self._since = float("-inf")
        self._away = False

    def answered(self, now: float, server: str) -> None:
        if self._away or self._server not in (None, server):
            self._since = now
        self._server = server
        self._away = False

    def failed(self) -> None:
        self._away = True

    def trusted(self, now: float) -> str:
        """Run id of the server whose lease may be taken; ANY_SERVER before the first answer, or NO_SERVER."""
        if self._away or now - self._since < self._patience:
            return NO_SERVER
        return ANY_SERVER if self._server is None else self._server


class Election:
    """Keeps trying to take or renew the leader lease, every lease interval.

    `on_elected(term)` and `on_deposed()` alternate. `on_contact(now, server)` tells of every answer of Redis and
    `on_contact(now, None)` of every failure to get one. `highest_term()` is the highest term this node knows of.
    """

    def __init__(self, scripts: Scripts, node: str, settings: Settings, highest_term: Callable[[], int]) -> None:
        self.on_elected: Callable[[int], None] | None = None
        self.on_deposed: Callable[[], None] | None = None
        self.on_contact: Callable[[float, str | None], None] | None = None
        self._scripts = scripts
        self._node = node
        self._ttl = settings.lease_ttl
        self._interval = settings.lease_interval
        self._highest_term = highest_term
        self._candidate = Candidate(settings.lease_ttl)
        self._witness = Witness(settings.lease_ttl)
        self._announced = 0
        self._outage = Outage(logger, "election")
        self._expiry: asyncio.TimerHandle | None = None
        self._task: asyncio.Task[None] | None = None

    @property
    def term(self) -> int:
        """The term this node leads in, 0 when it does not lead."""
        self._candidate.expire(time.monotonic())
        return self._candidate.term

    def start(self) -> None:
        self._task = asyncio.create_task(self._compete(), name="election")

    async def stop(self) -> None:
        """Stop competing; a leader gives its lease up, so that a standby need not wait for it to expire."""
        if self._task is not None:
            await end(self._task)
        led = self._candidate.term
        self._candidate.term = 0
        self._settle()
        if led:
            try:
                async with asyncio.timeout(RELEASE_TIMEOUT):
                    await self._scripts.release_leadership(self._node)
            except REDIS_ERRORS as error:
                logger.warning("action=leader_release_failed node=%s error=%s", self._node, type(error).__name__)

    async def _compete(self) -> None:
        while True:
            await self._attempt()
            await asyncio.sleep(self._interval)

    async def _attempt(self) -> None:
        candidate = self._candidate
        started = time.monotonic()
        seen = max(candidate.newest, self._highest_term())
        try:
            async with asyncio.timeout(self._ttl / 2):
                answer = await self._scripts.acquire_leadership(
                    self._node, round(self._ttl * 1000), candidate.term, seen, self._witness.trusted(started)
                )
        except REDIS_ERRORS as error:
            self._outage.failed(started, error)
            self._witness.failed()
            self._contact(None)
        else:
            self._outage.worked(time.monotonic())
            self._witness.answered(time.monotonic(), answer.server)
            self._contact(answer.server)
            candidate.answered(started, answer)
        self._settle()

    def _contact(self, server: str | None) -> None:
        if self.on_contact is not None:
            self.on_contact(time.monotonic(), server)

    def _settle(self) -> None:
        """Announce a change of leadership and set the alarm for the end of the lease."""
        term = self.term
        if self._expiry is not None:
            self._expiry.cancel()
            self._expiry = None
        if term:
            delay = self._candidate.until - time.monotonic()
            self._expiry = asyncio.get_running_loop().call_later(max(0.0, delay), self._settle)
        if term == self._announced:
            return
        if self._announced:
            logger.info("action=deposed node=%s term=%d", self._node, self._announced)
            if self.on_deposed is not None:
                self.on_deposed()
        self._announced = term
        if term:
            logger.info("action=elected node=%s term=%d", self._node, term)
            if self.on_elected is not None:
                self.on_elected(term)
