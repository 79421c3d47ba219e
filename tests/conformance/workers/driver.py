"""What the Python worker programs have in common: one JSON command a line in, answers and events out.

A command is `{"id", "op", ...}`; its answer `{"id", "value"}` or `{"id", "error": {"code", "message"}}`.
Events are `{"event", ...}`. Commands run concurrently. The end of stdin ends the program.
"""

import json
import os
import sys
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Protocol

from tests.conformance.workers.edge import ChannelHandler, HttpHandler, channel_handler, http_handler

Json = dict[str, Any]
Handler = Callable[[Any], Any]

MAX_COMMANDS = 128  # that may run at the same time


class Client(Protocol):
    """What a program makes of its client library; all methods may block."""

    def connect(self, command: Json) -> None: ...
    def worker_id(self) -> str | None: ...
    def state(self) -> str: ...
    def register(self, command: Json, handler: Handler) -> Callable[[], None]: ...
    def serve(self, function: str, handler: HttpHandler) -> Callable[[], None]: ...
    def pipe(self, function: str, handler: ChannelHandler) -> Callable[[], None]: ...
    def external(self, command: Json) -> Callable[[], None]: ...
    def channel(self, buffer: int | None) -> Json: ...
    def response_type(self) -> Any: ...
    def call(self, command: Json) -> Any: ...
    def void(self, command: Json) -> None: ...
    def enqueue(self, command: Json) -> Any: ...
    def provide(self, command: Json, provider: "Provider") -> None: ...
    def unprovide(self, command: Json) -> None: ...
    def trigger(self, command: Json) -> Callable[[], None]: ...
    def functions(self) -> list[Json]: ...
    def workers(self) -> list[Json]: ...
    def logger(self) -> Any: ...
    def error(self, error: BaseException) -> Json: ...
    def shutdown(self) -> None: ...


class Output:
    """Lines to the test; stdout belongs to it alone, whatever else prints goes to stderr."""

    def __init__(self) -> None:
        self._stream = os.fdopen(os.dup(1), "w", encoding="utf-8")
        os.dup2(2, 1)
        self._lock = threading.Lock()

    def write(self, line: Json) -> None:
        with self._lock:
            self._stream.write(json.dumps(line, default=str) + "\n")  # ends of channels have no JSON
            self._stream.flush()


class Provider:
    """Keeps the triggers of one type; with `unique` it refuses a second one with the same value there."""

    def __init__(self, output: Output, type_id: str, unique: str | None) -> None:
        self.triggers: dict[str, Json] = {}
        self._output = output
        self._type = type_id
        self._unique = unique

    def registered(self, trigger: Json) -> None:
        others = [other for id, other in self.triggers.items() if id != trigger["id"]]
        if self._unique and any(other["config"][self._unique] == trigger["config"][self._unique] for other in others):
            self._output.write({"event": "trigger_refused", "type": self._type, **trigger})
            raise ValueError(f"{self._unique} already taken")
        self.triggers[trigger["id"]] = trigger
        self._output.write({"event": "trigger_registered", "type": self._type, **trigger})

    def unregistered(self, trigger_id: str) -> None:
        self.triggers.pop(trigger_id, None)
        self._output.write({"event": "trigger_unregistered", "type": self._type, "id": trigger_id})


class Driver:
    def __init__(self, client: Client) -> None:
        self.client = client
        self.output = Output()
        self._holds: dict[str, threading.Event] = {}
        self._unregister: dict[str, Callable[[], None]] = {}
        self._untrigger: dict[str, Callable[[], None]] = {}
        self._providers: dict[str, Provider] = {}
        self._name = ""

    def run(self) -> None:
        pool = ThreadPoolExecutor(MAX_COMMANDS)
        for line in sys.stdin:
            pool.submit(self._answer, json.loads(line))
        # The test is gone: so is its worker, at once.
        os._exit(0)

    def _answer(self, command: Json) -> None:
        try:
            value = getattr(self, "op_" + command["op"])(command)
            self.output.write({"id": command["id"], "value": value})
        except BaseException as error:
            self.output.write({"id": command["id"], "error": self.client.error(error)})
        if command["op"] == "shutdown":
            os._exit(0)

    # Commands

    def op_connect(self, command: Json) -> None:
        self._name = command["name"]
        self.client.connect(command)

    def op_state(self, command: Json) -> Json:
        return {"state": self.client.state(), "worker_id": self.client.worker_id()}

    def op_register(self, command: Json) -> None:
        function = command["function"]
        self._unregister[function] = self.client.register(command, self._handler(command))

    def op_serve(self, command: Json) -> None:
        function = command["function"]
        released = self._holds[function] = threading.Event()
        more = {"worker": self._name, "released": released, "response_type": self.client.response_type()}
        handler = http_handler({**command, **more}, self._say)
        self._unregister[function] = self.client.serve(function, handler)

    def op_pipe(self, command: Json) -> None:
        function = command["function"]
        self._unregister[function] = self.client.pipe(function, channel_handler(command["kind"]))

    def op_external(self, command: Json) -> None:
        self._unregister[command["function"]] = self.client.external(command)

    def op_channel(self, command: Json) -> Json:
        return self.client.channel(command.get("buffer"))

    def op_unregister(self, command: Json) -> None:
        self._unregister.pop(command["function"])()

    def op_release(self, command: Json) -> None:
        self._holds[command["function"]].set()

    def op_call(self, command: Json) -> Any:
        return self.client.call(command)

    def op_void(self, command: Json) -> None:
        self.client.void(command)

    def op_enqueue(self, command: Json) -> Any:
        return self.client.enqueue(command)

    def op_provide(self, command: Json) -> None:
        provider = Provider(self.output, command["type"], command.get("unique"))
        self._providers[command["type"]] = provider
        self.client.provide(command, provider)

    def op_unprovide(self, command: Json) -> None:
        self.client.unprovide(command)

    def op_fire(self, command: Json) -> Any:
        """The provider's own call of a trigger's target."""
        trigger = self._providers[command["type"]].triggers[command["trigger"]]
        sidecar = {key: trigger[key] for key in ("metadata", "namespace") if trigger.get(key) is not None}
        return self.client.call({"function": trigger["function_id"], "data": command["data"], **sidecar})

    def op_trigger(self, command: Json) -> None:
        self._untrigger[command["key"]] = self.client.trigger(command)

    def op_untrigger(self, command: Json) -> None:
        self._untrigger.pop(command["key"])()

    def op_functions(self, command: Json) -> list[Json]:
        return self.client.functions()

    def op_workers(self, command: Json) -> list[Json]:
        return self.client.workers()

    def op_shutdown(self, command: Json) -> None:
        self.client.shutdown()

    # Functions

    def _say(self, event: str, **members: Any) -> None:
        self.output.write({"event": event, **members})

    def _handler(self, command: Json) -> Handler:
        function = command["function"]
        hold = self._holds[function] = threading.Event()

        def echo(data: Any) -> Any:
            return {"worker": self._name, "data": data}

        def fail(data: Any) -> Any:
            raise ValueError(command["message"])

        def record(data: Any) -> Any:
            self.output.write({"event": "called", "function": function, "worker": self._name, "data": data})
            return {"worker": self._name}

        def held(data: Any) -> Any:
            record(data)
            hold.wait()
            return {"worker": self._name, "data": data}

        def value(data: Any) -> Any:
            record(data)
            return command["value"]

        def cases(data: Any) -> Any:
            """What `cases` has for the value at `path`; an error for any other."""
            record(data)
            for key in command["path"]:
                data = data[key]
            return command["cases"][data]

        def relay(data: Any) -> Any:
            """As middleware of a listener: makes the call that came to it, with its own name around the result."""
            record(data)
            return {
                "by": self._name,
                "result": self.client.call({"function": data["function_id"], "data": data["payload"]}),
            }

        def steps(data: Any) -> Any:
            """Makes the calls of `steps`, one after the other; those with a `queue` are put there."""
            record(data)
            for step in command["steps"]:
                (self.client.enqueue if "queue" in step else self.client.call)(step)
            return command.get("value")

        def write(data: Any) -> Any:
            """What it is given goes to the client's own logger."""
            getattr(self.client.logger(), data["level"])(data["message"], {"n": data["n"]})
            return {"worker": self._name}

        handlers = {"echo": echo, "fail": fail, "record": record, "hold": held, "value": value}
        return {**handlers, "cases": cases, "relay": relay, "steps": steps, "log": write}[command["kind"]]
