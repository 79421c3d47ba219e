"""Questions to other nodes, with a deadline: request and answer over the bus."""

import asyncio
import inspect
import logging
from asyncio import Future, Task
from collections.abc import Awaitable, Callable, Iterable
from itertools import count
from typing import Any

import msgspec

from iii_cluster.bus.envelopes import Answer, Ask
from iii_cluster.bus.service import Bus

log = logging.getLogger(__name__)

CLOSED = "node closed"  # text of the error of what is asked of a closed Asker


class AskError(Exception):
    """The other node answered with an error."""


class NodeLost(AskError):
    """The other node died, or lost what it was asked."""


Responder = Callable[[str, Any], Any | Awaitable[Any]]


class Asker:
    """Asks and answers for one process. Bodies are whatever msgpack can carry."""

    def __init__(self, bus: Bus) -> None:
        self._bus = bus
        self._ids = count(1)
        self._waiting: dict[int, tuple[str, Future[Any]]] = {}  # by id: the node asked
        self._responders: dict[str, Responder] = {}
        self._tasks: set[Task[None]] = set()
        self._closed = False
        bus.on(Ask, self._asked)
        bus.on(Answer, self._answered)

    async def ask(self, node: str, op: str, body: object = None, timeout: float = 5.0) -> Any:  # noqa: ASYNC109
        """The answer of `node`; raises AskError, or TimeoutError after `timeout` seconds."""
        if self._closed:
            raise AskError(CLOSED)
        if self._bus.expelled(node):
            raise NodeLost(f"{node} is lost")
        id = next(self._ids)
        future: Future[Any] = asyncio.get_running_loop().create_future()
        self._waiting[id] = node, future
        try:
            self._bus.send(node, Ask(id, op, msgspec.msgpack.encode(body)))
            async with asyncio.timeout(timeout):
                return await future
        finally:
            del self._waiting[id]

    async def ask_all(
        self,
        nodes: Iterable[str],
        op: str,
        body: object = None,
        timeout: float = 2.0,  # noqa: ASYNC109
    ) -> tuple[dict[str, Any], set[str]]:
        """Answers by node, and the nodes that failed or did not answer within `timeout` seconds."""
        asked = list(dict.fromkeys(nodes))
        results = await asyncio.gather(*(self._ask_softly(node, op, body, timeout) for node in asked))
        answers = {node: result[0] for node, result in zip(asked, results, strict=True) if result}
        return answers, {node for node in asked if node not in answers}

    async def _ask_softly(self, node: str, op: str, body: object, seconds: float) -> tuple[Any] | None:
        try:
            return (await self.ask(node, op, body, seconds),)
        except (AskError, TimeoutError) as error:
            log.info("action=answer_missing node=%s op=%s error=%r", node, op, error)
            return None

    def answer(self, op: str, fn: Responder) -> None:
        """Answer questions called `op` with `fn(asking node, body)`, plain or async. What it raises is sent back as
        the text of an AskError."""
        if op in self._responders:
            raise ValueError(f"{op} has a responder already")
        self._responders[op] = fn

    def node_lost(self, node: str) -> None:
        """Fail everything that waits for this node: it died, or the link to it was reset."""
        for asked, future in self._waiting.values():
            if asked == node and not future.done():
                future.set_exception(NodeLost(f"{node} is lost"))

    def close(self) -> None:
        """Fail everything that waits, and whatever is asked from now on: the bus is closing."""
        self._closed = True
        for _, future in self._waiting.values():
            if not future.done():
                future.set_exception(AskError(CLOSED))

    async def stop(self) -> None:
        """Give up answers that are still being made."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def _answered(self, src: str, answer: Answer) -> None:
        node, future = self._waiting.get(answer.id, ("", None))
        if future is None or node != src or future.done():
            return
        if answer.error:
            future.set_exception(AskError(answer.error))
            return
        try:
            future.set_result(msgspec.msgpack.decode(answer.body))
        except msgspec.DecodeError as error:
            future.set_exception(AskError(f"undecodable answer: {error}"))

    def _asked(self, src: str, question: Ask) -> None:
        try:
            fn = self._responders.get(question.op)
            if fn is None:
                raise AskError(f"nobody answers {question.op} here")
            result = fn(src, msgspec.msgpack.decode(question.body))
            if inspect.isawaitable(result):
                task = asyncio.ensure_future(self._answer_later(src, question, result))
                self._tasks.add(task)
                task.add_done_callback(self._tasks.discard)
            else:
                self._answer(src, question, result)
        except Exception as error:
            self._fail(src, question, error)

    async def _answer_later(self, src: str, question: Ask, result: Awaitable[Any]) -> None:
        try:
            self._answer(src, question, await result)
        except Exception as error:
            self._fail(src, question, error)

    def _answer(self, src: str, question: Ask, result: object) -> None:
        self._bus.send(src, Answer(question.id, msgspec.msgpack.encode(result)))

    def _fail(self, src: str, question: Ask, error: Exception) -> None:
        if not isinstance(error, AskError):
            log.warning("action=answer_failed source=%s op=%s", src, question.op, exc_info=error)
        self._bus.send(src, Answer(question.id, error=str(error) or type(error).__name__))
