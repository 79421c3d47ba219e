"""A worker on the Python client of the 0.9 generation."""

import ast
from collections.abc import Callable
from typing import Any

from iii import (  # type: ignore[import-not-found]
    ApiResponse,
    HttpInvocationConfig,
    InitOptions,
    Logger,
    ReconnectionConfig,
    TriggerAction,
    TriggerHandler,
    http,
    register_worker,
)

from tests.conformance.workers.driver import Driver, Handler, Json, Provider
from tests.conformance.workers.edge import ChannelHandler, HttpHandler


class Triggers(TriggerHandler):  # type: ignore[misc]
    def __init__(self, provider: Provider) -> None:
        self._provider = provider

    async def register_trigger(self, config: Any) -> None:
        self._provider.registered(config.model_dump())

    async def unregister_trigger(self, config: Any) -> None:
        self._provider.unregistered(config.id)


class LegacyClient:
    def __init__(self) -> None:
        self.iii: Any = None

    def connect(self, command: Json) -> None:
        reconnection = ReconnectionConfig(**command.get("reconnection", {}))
        options = InitOptions(worker_name=command["name"], reconnection_config=reconnection)
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

        run = run_on_loop if command["kind"] == "echo" else handler
        described = {"description": command.get("description"), "metadata": command.get("metadata")}
        function = {"id": command["function"], **described}
        unregister: Callable[[], None] = self.iii.register_function(function, run).unregister
        return unregister

    def serve(self, function: str, handler: HttpHandler) -> Callable[[], None]:
        return self.pipe(function, http(handler))

    def pipe(self, function: str, handler: ChannelHandler) -> Callable[[], None]:
        unregister: Callable[[], None] = self.iii.register_function({"id": function}, handler).unregister
        return unregister

    def external(self, command: Json) -> Callable[[], None]:
        config = HttpInvocationConfig(**command["invocation"])
        unregister: Callable[[], None] = self.iii.register_function({"id": command["function"]}, config).unregister
        return unregister

    def channel(self, buffer: int | None) -> Json:
        made = self.iii.create_channel(buffer)
        return {"writer": made.writer_ref.model_dump(), "reader": made.reader_ref.model_dump()}

    def logger(self) -> Any:
        return Logger()

    def response_type(self) -> Any:
        return ApiResponse

    def call(self, command: Json) -> Any:
        return self.iii.trigger(self._request(command))

    def void(self, command: Json) -> None:
        self.iii.trigger({**self._request(command), "action": TriggerAction.Void()})

    def enqueue(self, command: Json) -> Any:
        receipt = self.iii.trigger({**self._request(command), "action": TriggerAction.Enqueue(queue=command["queue"])})
        return receipt if isinstance(receipt, dict) else receipt.model_dump()

    def provide(self, command: Json, provider: Provider) -> None:
        self.iii.register_trigger_type({"id": command["type"], "description": "of a test"}, Triggers(provider))

    def unprovide(self, command: Json) -> None:
        self.iii.unregister_trigger_type({"id": command["type"]})

    def trigger(self, command: Json) -> Callable[[], None]:
        trigger = {"type": command["type"], "function_id": command["function"], "config": command["config"]}
        unregister: Callable[[], None] = self.iii.register_trigger(trigger).unregister
        return unregister

    def functions(self) -> list[Json]:
        return [row.model_dump() for row in self.iii.list_functions()]

    def workers(self) -> list[Json]:
        return [row.model_dump() for row in self.iii.list_workers()]

    def error(self, error: BaseException) -> Json:
        """This generation raises plain exceptions whose text is the error body."""
        try:
            body = ast.literal_eval(str(error))
            return {"code": body["code"], "message": body["message"]}
        except (ValueError, SyntaxError, TypeError, KeyError):
            return {"code": type(error).__name__, "message": str(error)}

    def shutdown(self) -> None:
        self.iii.shutdown()

    @staticmethod
    def _request(command: Json) -> Json:
        optional = {"timeout_ms": command["timeout_ms"]} if "timeout_ms" in command else {}
        return {"function_id": command["function"], "payload": command.get("data"), **optional}


if __name__ == "__main__":
    Driver(LegacyClient()).run()
