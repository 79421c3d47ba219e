"""An application on the Python framework: every step notes what reached it in the state scope it is given.

Arguments: a name that makes its ids unique. The address of the gateway is in III_URL.
"""

import asyncio
import signal
import sys
from typing import Any

from motia import (  # type: ignore[import-not-found]
    FlowContext,
    Motia,
    StreamConfig,
    cron,
    http,
    queue,
    state,
    step,
    stream,
)
from motia.state import StateManager  # type: ignore[import-not-found]

name = sys.argv[1]
motia = Motia()
manager = StateManager()


def note(what: str, value: Any) -> None:
    manager.set(f"{name}-notes", what, value)


def add(what: str, trigger: Any) -> None:
    async def handler(data: Any, context: "FlowContext[Any]") -> None:
        await asyncio.to_thread(note, what, "nothing" if data is None else data)

    motia.add_step(step({"name": f"{name}-{what}", "triggers": [trigger], "flows": ["test"]}, handler), f"{what}.py")


def add_route(what: str, trigger: Any, handler: Any) -> None:
    motia.add_step(step({"name": f"{name}-{what}", "triggers": [trigger], "flows": ["test"]}, handler), f"{what}.py")


async def gate(request: Any, context: Any, following: Any) -> Any:
    if request.query_params.get("closed"):
        return {"status_code": 403, "body": {"closed": True}}
    return await following()


async def order(request: Any, context: "FlowContext[Any]") -> Any:
    body = {"id": request.path_params["id"], "qty": request.body["qty"]}
    return {"status_code": 201, "headers": {"x-step": "order"}, "body": body}


async def lines(request: Any, context: "FlowContext[Any]") -> None:
    await request.response.status(206)
    await request.response.headers({"content-type": "text/plain"})
    for line in range(3):
        await request.response.writer.write(f"line {line}\n".encode())
    request.response.close()


def asked_for(request: Any, context: Any) -> bool:
    return bool(request.query_params.get("please"))


async def joined(subscription: Any, context: Any, auth: Any) -> Any:
    await asyncio.to_thread(note, "join", {"group_id": subscription.group_id, "auth": auth})


add("queue", queue(f"{name}-topic"))
add("state", state(condition=lambda event, context: event["scope"] == f"{name}-in"))
add("stream", stream(f"{name}-stream", group_id="g"))
add("cron", cron("* * * * * *"))
add_route("order", http("POST", f"/{name}/orders/:id", middleware=[gate]), order)
add_route("lines", http("GET", f"/{name}/lines", condition=asked_for), lines)
motia.add_stream(StreamConfig(name=f"{name}-stream", on_join=joined), "stream.py")
motia.initialize()
note("ready", True)
signal.pause()
