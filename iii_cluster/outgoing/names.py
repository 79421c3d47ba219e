"""Addresses of host names: asked for once, judged, and only then connected to."""

import asyncio
import socket
import threading
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress

from .addresses import Address, read_address
from .failures import DNS_FAILED, PRIVATE_IP, url_refused

# How long an answer is good for (s). Connections are made to the very addresses that were judged, so this only says how
# soon a host that moved is found.
LIFETIME = 10.0
MAX_NAMES = 1000  # remembered
MAX_LOOKUPS = 32  # at once; each is a thread

Lookup = Callable[[str], Awaitable[Sequence[str]]]


class Names:
    """`allows` judges an address. `lookup` raises OSError."""

    def __init__(self, allows: Callable[[Address], bool], lookup: Lookup | None = None) -> None:
        self._allows = allows
        self._lookup = lookup or SystemLookup()
        self._clock = asyncio.get_running_loop().time
        self._known: dict[str, tuple[float, Sequence[str]]] = {}  # until when; the oldest first
        self._asking: dict[str, asyncio.Task[Sequence[str]]] = {}

    async def addresses(self, host: str) -> Sequence[str]:
        """All of them, if every single one is allowed. Raises EngineError `url_validation_failed`."""
        until, found = self._known.get(host, (0.0, ()))
        if self._clock() >= until:
            found = await self._ask(host)
        try:
            allowed = all(self._allows(read_address(text)) for text in found)
        except ValueError:
            raise url_refused(DNS_FAILED) from None
        if not allowed:
            raise url_refused(PRIVATE_IP)
        return found

    async def _ask(self, host: str) -> Sequence[str]:
        """Those who want to know the same ask once, and one that gives up does not stop the others."""
        task = self._asking.get(host)
        if task is None:
            task = self._asking[host] = asyncio.create_task(self._find(host))
            task.add_done_callback(_looked_at)
        try:
            found = await asyncio.shield(task)
        except OSError:
            raise url_refused(DNS_FAILED) from None
        if not found:
            raise url_refused(DNS_FAILED)
        return found

    async def _find(self, host: str) -> Sequence[str]:
        try:
            found = await self._lookup(host)
        finally:
            del self._asking[host]
        self._known.pop(host, None)
        self._known[host] = self._clock() + LIFETIME, found
        if len(self._known) > MAX_NAMES:
            del self._known[next(iter(self._known))]
        return found

    async def close(self) -> None:
        tasks = list(self._asking.values())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


class SystemLookup:
    """Asks as the system is set up to. In threads of its own: the loop's are few, and a name server may be slow."""

    def __init__(self) -> None:
        self._turn = asyncio.Semaphore(MAX_LOOKUPS)

    async def __call__(self, host: str) -> Sequence[str]:
        loop = asyncio.get_running_loop()
        answer: asyncio.Future[Sequence[str]] = loop.create_future()

        def ask() -> None:
            try:
                rows = socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)
            except (OSError, UnicodeError) as error:
                tell(None, OSError(str(error)))
            else:
                tell(list(dict.fromkeys(str(row[4][0]) for row in rows)), None)

        def tell(found: Sequence[str] | None, error: OSError | None) -> None:
            with suppress(RuntimeError):  # the loop is closed, nobody waits any more
                loop.call_soon_threadsafe(_settle, answer, found, error)

        async with self._turn:
            threading.Thread(target=ask, name="dns", daemon=True).start()  # a daemon: nobody waits for it at the end
            return await answer


def _looked_at(task: asyncio.Task[Sequence[str]]) -> None:
    """All who wanted to know may be gone."""
    if not task.cancelled():
        task.exception()


def _settle(answer: asyncio.Future[Sequence[str]], found: Sequence[str] | None, error: OSError | None) -> None:
    if answer.done():
        return
    if found is not None:
        answer.set_result(found)
    else:
        answer.set_exception(error or OSError())
