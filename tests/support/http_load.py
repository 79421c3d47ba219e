"""Keep-alive clients that ask again and again, and may repeat a request only when HTTP says so."""

import asyncio
from asyncio import IncompleteReadError

from tests.support.http_peer import TIMEOUT, HttpPeer, http_peer, request


class HttpLoad:
    """`clients` of one port. Fails are what a user would see."""

    def __init__(self, port: int, clients: int, path: str = "/", pause: float = 0.0) -> None:
        self.answered = 0
        self.repeated = 0  # on a connection that was closed when it had served all that was asked on it
        self.failures: list[str] = []
        self._port = port
        self._path = path
        self._pause = pause  # s between the requests of one client
        self._ending = False
        self._tasks = [asyncio.create_task(self._ask_on_and_on()) for _ in range(clients)]

    async def some_more(self, count: int = 500) -> None:
        """Returns when so many more requests have been answered."""
        goal = self.answered + count
        async with asyncio.timeout(4 * TIMEOUT):
            while self.answered < goal:
                assert not all(task.done() for task in self._tasks), self.failures
                await asyncio.sleep(0.01)

    async def end(self) -> None:
        self._ending = True
        await asyncio.gather(*self._tasks)

    async def _ask_on_and_on(self) -> None:
        while not self._ending:
            try:
                await self._one_connection()
            except (OSError, AssertionError, IncompleteReadError, TimeoutError) as error:
                self.failures.append(repr(error))
                return

    async def _one_connection(self) -> None:
        served = 0
        async with http_peer(self._port) as peer:
            while not self._ending:
                try:
                    await peer.send(request("GET", self._path))
                    first = await asyncio.wait_for(peer.reader.read(1), TIMEOUT)
                except ConnectionError:
                    first = b""
                if not first and served:
                    self.repeated += 1
                    return
                assert first, "a new connection was closed without an answer"
                if not await self._answer(peer):
                    return
                served += 1
                await asyncio.sleep(self._pause)

    async def _answer(self, peer: HttpPeer) -> bool:
        """Whether the connection may be used again."""
        answer = await peer.answer(begun=b"H")
        assert answer.status == 200, answer
        self.answered += 1
        return answer.headers.get("connection") != "close"
