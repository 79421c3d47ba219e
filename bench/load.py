"""Roles of the load: echo worker, closed-loop caller, prober.

Everything here runs on the event loop of a load process (see `remote`) and speaks the worker protocol through `wire`.
Messages are searched for the few members that matter instead of being decoded.
"""

import asyncio
import json
import os
import secrets
from collections.abc import Iterator, Sequence
from time import perf_counter

from .wire import CONNECT_TIMEOUT, Endpoint, WireError, connect, header

ID_MEMBER = b'"invocation_id"'
FUNCTION_MEMBER = b'"function_id"'
UUID_SIZE = 36
ANSWER_TIMEOUT = 5.0  # seconds the caller waits for what is still out when the window ends
REGISTER_TIMEOUT = 60.0  # seconds until registered functions must be callable
RETRY_PAUSE = 0.002  # seconds between two calls of a function that is not there yet
LANES = 64  # calls in flight while each function is called once
DATA = b'{"n":12345,"name":"hello"}'


def function_names(prefix: str, count: int) -> list[str]:
    """Ids of equal length, which the roles rely on."""
    return [f"{prefix}{number:06d}" for number in range(count)]


def member(message: bytes, name: bytes, size: int) -> bytes:
    """The first `size` bytes of a string member, wherever it stands; the members searched for are all top-level."""
    quote = message.find(b'"', message.find(name) + len(name)) + 1
    return message[quote : quote + size]


class EchoWorker:
    """Answers every invocation of functions whose ids all have the same length."""

    def __init__(self, functions: Sequence[str]) -> None:
        self.functions = functions
        self.registered: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        id_size = len(functions[0])
        opening = b'{"type":"invocationresult","invocation_id":"'
        middle = b'","function_id":"'
        end = b'","result":{"ok":true}}'
        self._before = header(len(opening) + UUID_SIZE + len(middle) + id_size + len(end)) + opening
        self._middle = middle
        self._end = end
        self._id_size = id_size

    def receive(self, endpoint: Endpoint, messages: list[bytes]) -> None:
        before, middle, end, id_size = self._before, self._middle, self._end, self._id_size
        out: list[bytes] = []
        for message in messages:
            at = message.find(ID_MEMBER)
            if at < 0 or b'"invokefunction"' not in message:
                if b'"workerregistered"' in message and not self.registered.done():
                    self.registered.set_result(None)
                continue
            at = message.find(b'"', at + 15) + 1
            to = message.find(b'"', message.find(FUNCTION_MEMBER) + 13) + 1
            out += (before, message[at : at + 36], middle, message[to : to + id_size], end)
        if out:
            endpoint.write(b"".join(out))

    async def join(self, url: str, name: str) -> Endpoint:
        """Connects, announces the worker and sends its registrations; raises TimeoutError if it is not greeted."""
        endpoint = await connect(url, self.receive)
        await asyncio.wait_for(self.registered, CONNECT_TIMEOUT)
        await endpoint.send_many([announcement(name), *map(registration, self.functions)])
        return endpoint


def announcement(name: str) -> bytes:
    data = {"runtime": "bench", "version": "1", "name": name, "os": os.uname().sysname, "pid": os.getpid()}
    call = {"type": "invokefunction", "function_id": "engine::workers::register", "action": {"type": "void"}}
    return json.dumps(call | {"data": data}).encode()


def registration(function: str) -> bytes:
    return b'{"type":"registerfunction","id":"' + function.encode() + b'"}'


def invocation_ids() -> Iterator[bytes]:
    """UUID texts, unique in this process and, through their random head, across processes."""
    head = f"{secrets.token_hex(4)}-{secrets.token_hex(2)}-4{secrets.token_hex(2)[1:]}-8{secrets.token_hex(2)[1:]}-"
    start = head.encode()
    number = 0
    while True:
        number += 1
        yield start + b"%012x" % number


class Caller:
    """Closed loop: starts a call for every one that ends, so that `in_flight` are out; round robin over functions,
    and for each over the inputs."""

    def __init__(self, functions: Sequence[str], inputs: Sequence[bytes] = (DATA,)) -> None:
        self._ids = invocation_ids()
        self._templates = [self._template(function, data) for function in functions for data in inputs]
        self._turn = 0
        self._started: dict[bytes, float] = {}
        self._running = False
        self._drained: asyncio.Event = asyncio.Event()
        self.latencies: list[float] = []
        self.errors = 0

    @staticmethod
    def _template(function: str, data: bytes) -> tuple[bytes, bytes]:
        """Frame of a call around its invocation id."""
        before = b'{"type":"invokefunction","invocation_id":"'
        after = b'","function_id":"' + function.encode() + b'","data":' + data + b"}"
        return header(len(before) + UUID_SIZE + len(after)) + before, after

    def receive(self, endpoint: Endpoint, messages: list[bytes]) -> None:
        now = perf_counter()
        started, ids, templates, running = self._started, self._ids, self._templates, self._running
        turn, count = self._turn, len(templates)
        out: list[bytes] = []
        for message in messages:
            at = message.find(b'"', message.find(ID_MEMBER) + 15) + 1
            begun = started.pop(message[at : at + 36], None)
            if begun is None:
                continue
            self.latencies.append(now - begun)
            if b'"error"' in message:
                self.errors += 1
            if running:
                turn += 1
                before, after = templates[turn % count]
                ident = next(ids)
                started[ident] = now
                out += (before, ident, after)
        self._turn = turn
        if out:
            endpoint.write(b"".join(out))
        if not started:
            self._drained.set()

    def start(self, endpoint: Endpoint, in_flight: int) -> None:
        self._running = True
        out: list[bytes] = []
        for number in range(in_flight):
            before, after = self._templates[number % len(self._templates)]
            ident = next(self._ids)
            self._started[ident] = perf_counter()
            out += (before, ident, after)
        endpoint.write(b"".join(out))

    async def stop(self) -> int:
        """Starts no more calls and waits for those in flight; returns how many were never answered."""
        self._running = False
        self._drained.clear()
        if self._started:
            try:
                await asyncio.wait_for(self._drained.wait(), ANSWER_TIMEOUT)
            except TimeoutError:
                return len(self._started)
        return 0


class Prober:
    """Single calls, for waiting until functions are callable."""

    def __init__(self) -> None:
        self._ids = invocation_ids()
        self._waiting: dict[bytes, asyncio.Future[bool]] = {}
        self.last_failure = ""

    async def connect(self, url: str) -> Endpoint:
        """A connection whose end fails the calls that wait on it with WireError."""
        endpoint = await connect(url, self.receive)
        endpoint.closed.add_done_callback(self._lost)
        return endpoint

    def _lost(self, _: object) -> None:
        for future in self._waiting.values():
            if not future.done():
                future.set_exception(WireError("connection lost while a call was waiting"))
        self._waiting.clear()

    def receive(self, endpoint: Endpoint, messages: list[bytes]) -> None:
        for message in messages:
            future = self._waiting.pop(member(message, ID_MEMBER, UUID_SIZE), None)
            if future is not None and not future.done():
                failed = b'"error"' in message
                if failed:
                    self.last_failure = message.decode(errors="replace")
                future.set_result(not failed)

    async def call(self, endpoint: Endpoint, function: str) -> bool:
        """True if the call succeeded."""
        ident = next(self._ids)
        future: asyncio.Future[bool] = asyncio.get_running_loop().create_future()
        self._waiting[ident] = future
        endpoint.send(
            b'{"type":"invokefunction","invocation_id":"'
            + ident
            + b'","function_id":"'
            + function.encode()
            + b'","data":null}'
        )
        return await future


async def until_callable(url: str, function: str) -> None:
    """Calls `function` again and again until a call succeeds; raises TimeoutError."""
    prober = Prober()
    endpoint = await prober.connect(url)
    answered = 0
    try:
        async with asyncio.timeout(REGISTER_TIMEOUT):
            while not await prober.call(endpoint, function):
                answered += 1
                await asyncio.sleep(RETRY_PAUSE)
    except TimeoutError:
        story = f"{answered} calls of {function} through {url} failed, the last answer was {prober.last_failure!r}"
        raise TimeoutError(story) from None
    finally:
        endpoint.close()


async def call_each(url: str, functions: Sequence[str]) -> int:
    """Calls every function once; returns how many calls failed."""
    prober = Prober()
    endpoint = await prober.connect(url)
    remaining = iter(functions)
    failed = 0

    async def lane() -> None:
        nonlocal failed
        for function in remaining:
            failed += not await prober.call(endpoint, function)

    try:
        async with asyncio.timeout(REGISTER_TIMEOUT), asyncio.TaskGroup() as lanes:
            for _ in range(LANES):
                lanes.create_task(lane())
    finally:
        endpoint.close()
    return failed
