"""A running program on a published client, and what a test may ask of it."""

import asyncio
import itertools
import json
import subprocess
import threading
import weakref
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future
from pathlib import Path
from typing import Any

from tests.support.eventually import eventually
from tests.support.process import LOG_TAIL, STOP_TIMEOUT
from tests.support.sdks import ROOT, Generation, program, worker_environment

TIMEOUT = 60.0  # seconds for an answer of the program, the first of which waits for its start

Json = dict[str, Any]

# Reconnects after moments instead of seconds: tests wait for it.
FAST_RECONNECTION = {"initial_delay_ms": 50, "max_delay_ms": 200}

# What a failed test shows the output of.
running: "weakref.WeakSet[DrivenProgram]" = weakref.WeakSet()


class SdkError(Exception):
    """What a client's own call raised, as its user sees it."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(f"{code}: {message}")
        self.code = code
        self.message = message


class DrivenProgram:
    """A program that takes commands and tells events, as JSON lines; usable from any event loop."""

    def __init__(self, name: str, log: Path, argv: Sequence[str], env: Mapping[str, str]) -> None:
        self.name = name
        self.log = log
        self._ids = itertools.count(1)
        self._lock = threading.Lock()
        self._answers: dict[int, Future[Any]] = {}
        self._events: list[Json] = []
        self._waiting: list[tuple[Callable[[Json], bool], Future[Json]]] = []
        pipe = subprocess.PIPE
        with self.log.open("ab") as output:
            self._process = subprocess.Popen(argv, stdin=pipe, stdout=pipe, stderr=output, env=env, cwd=ROOT)
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()
        running.add(self)

    # Commands

    async def ask(self, op: str, **arguments: Any) -> Any:
        """The program's answer to a command; raises SdkError."""
        answer: Future[Any] = Future()
        command = next(self._ids)
        with self._lock:
            self._answers[command] = answer
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps({"id": command, "op": op, **arguments}).encode() + b"\n")
        self._process.stdin.flush()
        try:
            async with asyncio.timeout(TIMEOUT):
                return await asyncio.wrap_future(answer)
        except TimeoutError:
            raise AssertionError(f"{self.name} did not answer {op} {arguments}\n{self.tail()}") from None

    # Events

    async def event(self, event: str, *, within: float = TIMEOUT, **members: Any) -> Json:
        """Takes the oldest event with these members, waiting for it if need be."""

        def match(line: Json) -> bool:
            return line["event"] == event and all(line.get(key) == value for key, value in members.items())

        arrived: Future[Json] = Future()
        with self._lock:
            found = next((line for line in self._events if match(line)), None)
            if found is not None:
                self._events.remove(found)
                return found
            self._waiting.append((match, arrived))
        try:
            async with asyncio.timeout(within):
                return await asyncio.wrap_future(arrived)
        except TimeoutError:
            raise AssertionError(f"{self.name}: no {event} {members}, but {self._events}\n{self.tail()}") from None

    def events(self, event: str, **members: Any) -> list[Json]:
        """The events with these members that arrived and were not taken yet."""
        with self._lock:
            lines = [line for line in self._events if line["event"] == event]
        return [line for line in lines if all(line.get(key) == value for key, value in members.items())]

    # The end

    def kill(self) -> None:
        """SIGKILL; returns when the process is gone. Events it wrote before can still be taken."""
        self._process.kill()
        self._process.wait(STOP_TIMEOUT)
        self._reader.join(STOP_TIMEOUT)

    def close(self) -> None:
        """Ends the program whatever it is doing and releases its pipes."""
        self.kill()
        for pipe in (self._process.stdin, self._process.stdout):
            assert pipe is not None
            pipe.close()
        running.discard(self)

    def tail(self) -> str:
        return f"----- {self.name}\n{self.log.read_text(errors='replace')[-LOG_TAIL:]}"

    def _read(self) -> None:
        assert self._process.stdout is not None
        for text in self._process.stdout:
            line = json.loads(text)
            with self._lock:
                if "event" in line:
                    self._deliver(line)
                else:
                    self._resolve(line)
        with self._lock:
            unanswered = [answer for answer in self._answers.values() if not answer.cancelled()]
            self._answers.clear()
        for answer in unanswered:
            answer.set_exception(AssertionError(f"{self.name} ended\n{self.tail()}"))

    def _resolve(self, line: Json) -> None:
        answer = self._answers.pop(line["id"])
        if answer.cancelled():
            return
        if "error" in line:
            answer.set_exception(SdkError(line["error"]["code"], line["error"]["message"]))
        else:
            answer.set_result(line["value"])

    def _deliver(self, line: Json) -> None:
        for waiting in self._waiting:
            match, arrived = waiting
            if not arrived.cancelled() and match(line):
                self._waiting.remove(waiting)
                arrived.set_result(line)
                return
        self._events.append(line)


class SdkWorker(DrivenProgram):
    """A worker on a published client, in a process of its own."""

    def __init__(
        self,
        generation: Generation,
        directory: Path,
        name: str,
        url: str,
        telemetry: bool = False,
        env: Mapping[str, str] | None = None,
    ) -> None:
        """`env` is added to its environment."""
        self.generation = generation
        self.url = url
        runnable = program(generation)
        environment = {**worker_environment(runnable, directory, url, telemetry=telemetry), **(env or {})}
        super().__init__(name, directory / f"{name}.log", runnable.argv, environment)

    async def connect(self, **options: Any) -> "SdkWorker":
        """Returns when the gateway has given the worker its id."""
        options = {"reconnection": FAST_RECONNECTION, **options}
        await self.ask("connect", url=self.url, name=self.name, **options)
        await eventually(self._identified)
        return self

    async def register(self, function: str, kind: str = "echo", **options: Any) -> None:
        """Kinds: echo; fail (raises `message`); record (tells `called`); hold (as record, then until `release`)."""
        await self.ask("register", function=function, kind=kind, **options)

    async def call(self, function: str, data: Any = None, **options: Any) -> Any:
        return await self.ask("call", function=function, data=data, **options)

    async def worker_id(self) -> str:
        state = await self.ask("state")
        return str(state["worker_id"])

    async def _identified(self) -> bool:
        state = await self.ask("state")
        return state["state"] == "connected" and bool(state["worker_id"])

    async def shutdown(self) -> None:
        """The client library's own clean shutdown, then the end of the program."""
        await self.ask("shutdown")
        await asyncio.to_thread(self._process.wait, STOP_TIMEOUT)
