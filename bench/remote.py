"""Load processes: a `Load` answers requests inside the process, a `LoadProcess` is the parent's handle of it.

Requests and answers are JSON, one per line, on the standard input and output of the child; it ends with its input.
"""

import asyncio
import os
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from time import perf_counter
from typing import Any, Self, TypeVar

import msgspec
import uvloop
from msgspec import Struct

from .figures import percentile
from .load import DATA, Caller, EchoWorker, call_each, function_names, until_callable
from .usage import cpu_seconds, raise_open_files
from .wire import Endpoint, WireError, connect

CROWD_PARALLEL = 100  # connections of a crowd that are opened at the same time
EXIT_TIMEOUT = 10.0  # seconds a load process may take to end

OPEN_FILES = 16_384  # connections of the largest crowd, with room

T = TypeVar("T")


class Request(Struct, frozen=True):
    method: str  # of Load
    arguments: dict[str, Any]


class Answer(Struct, frozen=True):
    result: Any = None
    error: str | None = None


class CallReport(Struct, frozen=True):
    """What a caller saw in its window; latencies from the moment a call is written to its result being read."""

    calls: int
    seconds: float
    errors: int
    unanswered: int  # calls still without result a while after the window
    p50_ms: float
    p90_ms: float
    p99_ms: float
    max_ms: float
    cpu_seconds: dict[str, float]  # by name of the process watched, the caller itself included

    @property
    def calls_per_s(self) -> float:
        return self.calls / self.seconds

    def cpu_us(self, name: str) -> float:
        """CPU microseconds per call of one watched process."""
        return self.cpu_seconds[name] / self.calls * 1e6


class RegisterReport(Struct, frozen=True):
    count: int
    sent_s: float  # all registrations written and accepted by the server's socket
    last_callable_s: float  # the last one answers through the other connection
    all_called_s: float  # each of them was called once
    missing: int  # of those calls, how many failed


class Load:
    """What a load process does on request; every public method is one request."""

    def __init__(self) -> None:
        self._endpoints: list[Endpoint] = []

    async def worker(self, url: str, prefix: str, count: int) -> None:
        """An echo worker with `count` functions that stays connected until `close`."""
        self._endpoints.append(await EchoWorker(function_names(prefix, count)).join(url, f"bench-{prefix}"))

    async def crowd(self, url: str, count: int, prefix: str) -> None:
        """Many workers with one function each, `<prefix>000000` and so on, that stay connected until `close`."""
        gate = asyncio.Semaphore(CROWD_PARALLEL)

        async def one(function: str) -> None:
            async with gate:
                self._endpoints.append(await EchoWorker([function]).join(url, f"bench-{function}"))

        await asyncio.gather(*map(one, function_names(prefix, count)))

    async def call(
        self,
        url: str,
        functions: Sequence[str],
        in_flight: int,
        seconds: float,
        warm_up: float,
        watch: Mapping[str, int],
        inputs: Sequence[str] = (),
    ) -> CallReport:
        """Calls for `warm_up` + `seconds` and measures the latter, with the CPU time of the processes in `watch`."""
        caller = Caller(functions, [data.encode() for data in inputs] or [DATA])
        pids = {**watch, "caller": os.getpid()}
        endpoint = await connect(url, caller.receive)
        try:
            caller.start(endpoint, in_flight)
            await asyncio.sleep(warm_up)
            caller.latencies, caller.errors = [], 0
            cpu = {name: cpu_seconds(pid) for name, pid in pids.items()}
            begin = perf_counter()
            await asyncio.sleep(seconds)
            elapsed = perf_counter() - begin
            cpu = {name: cpu_seconds(pid) - cpu[name] for name, pid in pids.items()}
            measured, errors = sorted(caller.latencies), caller.errors
            unanswered = await caller.stop()
            if endpoint.closed.done():
                raise WireError(f"connection to {url} lost during the measurement")
        finally:
            endpoint.close()
        if not measured:
            raise RuntimeError(f"no call to {functions[0]} was answered within {seconds} s through {url}")
        p50, p90, p99 = (percentile(measured, percent) * 1000 for percent in (50, 90, 99))
        return CallReport(len(measured), elapsed, errors, unanswered, p50, p90, p99, measured[-1] * 1000, cpu)

    async def wait_callable(self, url: str, function: str) -> float:
        """Seconds until a call of `function` succeeds through `url`."""
        begin = perf_counter()
        await until_callable(url, function)
        return perf_counter() - begin

    async def register(self, url: str, other: str, prefix: str, count: int) -> RegisterReport:
        """Registers functions through `url` and times when they can be called through `other`."""
        functions = function_names(prefix, count)
        begin = perf_counter()
        worker = await EchoWorker(functions).join(url, "bench-registrar")
        sent = perf_counter() - begin
        try:
            await until_callable(other, functions[-1])
            last = perf_counter() - begin
            missing = await call_each(other, functions)
        finally:
            worker.close()
        return RegisterReport(count, sent, last, perf_counter() - begin, missing)

    async def close(self) -> None:
        """Ends every connection that `worker` and `crowd` opened."""
        endpoints, self._endpoints = self._endpoints, []
        for endpoint in endpoints:
            endpoint.close()
        await asyncio.gather(*(endpoint.closed for endpoint in endpoints))


class LoadProcess:
    """A child process with a `Load`; one request at a time. Use as a context manager.

    `module` is run there, and calls `main` with the load it has.
    """

    def __init__(self, module: str = __name__) -> None:
        self._child = subprocess.Popen([sys.executable, "-m", module], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        self.pid = self._child.pid

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        assert self._child.stdin is not None
        assert self._child.stdout is not None
        self._child.stdin.close()
        try:
            self._child.wait(EXIT_TIMEOUT)
        except subprocess.TimeoutExpired:
            self._child.kill()
            self._child.wait()
        self._child.stdout.close()

    def begin(self, method: str, **arguments: Any) -> None:
        """Sends a request; `end` waits for its answer."""
        assert self._child.stdin is not None
        self._child.stdin.write(msgspec.json.encode(Request(method, arguments)) + b"\n")
        self._child.stdin.flush()

    def end(self, kind: type[T]) -> T:
        """Answer of the request begun; raises LoadError with what went wrong in the child."""
        assert self._child.stdout is not None
        line = self._child.stdout.readline()
        if not line:
            raise LoadError("load process ended unexpectedly")
        answer = msgspec.json.decode(line, type=Answer)
        if answer.error is not None:
            raise LoadError(answer.error)
        return msgspec.convert(answer.result, kind)

    def ask(self, kind: type[T], method: str, **arguments: Any) -> T:
        self.begin(method, **arguments)
        return self.end(kind)

    def run(self, method: str, **arguments: Any) -> None:
        """A request without result."""
        self.begin(method, **arguments)
        self.end(object)


class LoadError(Exception):
    """A request to a load process failed; the text says how."""


async def serve(make: Callable[[], Load]) -> None:
    loop = asyncio.get_running_loop()
    requests = asyncio.StreamReader()
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(requests), sys.stdin)
    load = make()
    while line := await requests.readline():
        request = msgspec.json.decode(line, type=Request)
        try:
            answer = Answer(await getattr(load, request.method)(**request.arguments))
        except Exception as error:  # any failure is the parent's to report
            answer = Answer(error=f"{request.method}: {type(error).__name__}: {error}")
        sys.stdout.buffer.write(msgspec.json.encode(answer) + b"\n")
        sys.stdout.buffer.flush()


def main(make: Callable[[], Load]) -> None:
    raise_open_files(OPEN_FILES)
    uvloop.run(serve(make))


if __name__ == "__main__":
    main(Load)
