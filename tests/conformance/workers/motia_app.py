"""An application on the Python framework: every step notes what reached it in the state scope it is given.

Arguments: a name that makes its ids unique. The address of the gateway is in III_URL.
"""

import asyncio
import signal
import sys
from typing import Any

from motia import FlowContext, Motia, StreamConfig, cron, queue, state, step, stream  # type: ignore[import-not-found]
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


async def joined(subscription: Any, context: Any, auth: Any) -> Any:
    await asyncio.to_thread(note, "join", {"group_id": subscription.group_id, "auth": auth})


add("queue", queue(f"{name}-topic"))
add("state", state(condition=lambda event, context: event["scope"] == f"{name}-in"))
add("stream", stream(f"{name}-stream", group_id="g"))
add("cron", cron("* * * * * *"))
motia.add_stream(StreamConfig(name=f"{name}-stream", on_join=joined), "stream.py")
motia.initialize()
note("ready", True)
signal.pause()
