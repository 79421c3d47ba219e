"""A worker on the Python client of the 0.2x generations."""

import asyncio
from collections.abc import Callable
from typing import Any

from iii import InitOptions, InvocationError, TriggerAction, register_worker  # type: ignore[import-not-found]
from iii.helpers import create_channel  # type: ignore[import-not-found]
from iii.trigger import TriggerHandler  # type: ignore[import-not-found]
from iii_helpers.http import HttpInvocationConfig, HttpResponse, http  # type: ignore[import-not-found]
from iii_helpers.observability import Logger, ReconnectionConfig  # type: ignore[import-not-found]

from tests.conformance.workers.driver import Driver, Handler, Json, Provider
from tests.conformance.workers.edge import ChannelHandler, HttpHandler


class Triggers(TriggerHandler):  # type: ignore[misc]
    def __init__(self, provider: Provider) -> None:
        self._provider = provider

    async def register_trigger(self, config: Any) -> None:
        self._provider.registered(config.model_dump())

    async def unregister_trigger(self, config: Any) -> None:
        self._provider.unregistered(config.id)


class ModernClient:
    def __init__(self) -> None:
        self.iii: Any = None

    def connect(self, command: Json) -> None:
        options = InitOptions(
            worker_name=command["name"],
            namespace=command.get("namespace"),
            headers=command.get("headers"),
            reconnection_config=ReconnectionConfig(**command.get("reconnection", {})),
        )
        self.iii = register_worker(command["url"], options)

    def worker_id(self) -> str | None:
        worker_id: str | None = self.iii.worker_id
        return worker_id

    def state(self) -> str:
        return str(self.iii.get_connection_state())

    def register(self, command: Json, handler: Handler) -> Callable[[], None]:
        # A coroutine function runs on the client's loop, a plain one in a thread: use both.
        async def run_on_loop(data: Any) -> Any:
            return handler(data)

        def run_in_thread(data: Any, metadata: Any = None) -> Any:
            return handler(data if metadata is None else {"data": data, "metadata": metadata})

        run = run_on_loop if command["kind"] == "echo" else run_in_thread
        described = {"description": command.get("description"), "metadata": command.get("metadata")}
        ref = self.iii.register_function(command["function"], run, **described)
        unregister: Callable[[], None] = ref.unregister
        return unregister

    def serve(self, function: str, handler: HttpHandler) -> Callable[[], None]:
        return self.pipe(function, http(handler))

    def pipe(self, function: str, handler: ChannelHandler) -> Callable[[], None]:
        unregister: Callable[[], None] = self.iii.register_function(function, handler).unregister
        return unregister

    def external(self, command: Json) -> Callable[[], None]:
        config = HttpInvocationConfig(**command["invocation"])
        unregister: Callable[[], None] = self.iii.register_function(command["function"], config).unregister
        return unregister

    def channel(self, buffer: int | None) -> Json:
        made = create_channel(self.iii, buffer)
        return {"writer": made.writer_ref.model_dump(), "reader": made.reader_ref.model_dump()}

    def logger(self) -> Any:
        return Logger()

    def response_type(self) -> Any:
        return HttpResponse

    def call(self, command: Json) -> Any:
        return self.iii.trigger(self._request(command))

    def void(self, command: Json) -> None:
        self.iii.trigger({**self._request(command), "action": TriggerAction.Void()})

    def enqueue(self, command: Json) -> Any:
        receipt = self.iii.trigger({**self._request(command), "action": TriggerAction.Enqueue(queue=command["queue"])})
        return receipt if isinstance(receipt, dict) else receipt.model_dump()

    def provide(self, command: Json, provider: Provider) -> None:
        async def on_the_loop() -> None:
            self.iii.register_trigger_type({"id": command["type"], "description": "of a test"}, Triggers(provider))

        # Client 0.25 sends the registration before it remembers the handler, and drops triggers that arrive in
        # between. Nothing does when both happen on its own loop.
        asyncio.run_coroutine_threadsafe(on_the_loop(), self.iii._loop).result()

    def unprovide(self, command: Json) -> None:
        self.iii.unregister_trigger_type({"id": command["type"], "description": "of a test"})

    def trigger(self, command: Json) -> Callable[[], None]:
        optional: Json = {key: command[key] for key in ("metadata", "namespace", "trigger_namespace") if key in command}
        trigger: Json = {"type": command["type"], "function_id": command["function"], "config": command["config"]}
        unregister: Callable[[], None] = self.iii.register_trigger({**trigger, **optional}).unregister
        return unregister

    def functions(self) -> list[Json]:
        functions: list[Json] = self._list("functions")
        return functions

    def workers(self) -> list[Json]:
        return self._list("workers")

    def error(self, error: BaseException) -> Json:
        if isinstance(error, InvocationError):
            return {"code": error.code, "message": error.message}
        return {"code": type(error).__name__, "message": str(error)}

    def shutdown(self) -> None:
        self.iii.shutdown()

    def _list(self, what: str) -> list[Json]:
        rows: list[Json] = self.iii.trigger({"function_id": f"engine::{what}::list", "payload": {}})[what]
        return rows

    @staticmethod
    def _request(command: Json) -> Json:
        optional: Json = {key: command[key] for key in ("timeout_ms", "metadata", "namespace") if key in command}
        return {"function_id": command["function"], "payload": command.get("data"), **optional}


if __name__ == "__main__":
    Driver(ModernClient()).run()
