"""Triggers of a type a worker provides, and subscribers to the comings and goings of workers."""

import asyncio
import random
import uuid
from typing import Any

from iii_cluster.chaos.history import TRIGGER
from iii_cluster.protocol.builtin_types import WORKERS_AVAILABLE

from .client import Client
from .pending import Frame


def trigger(rng: random.Random, type: str, function: str, config: Frame | None = None) -> Frame:
    """The fields of a trigger to register."""
    id = str(uuid.UUID(int=rng.getrandbits(128), version=4))
    return {"id": id, "trigger_type": type, "function_id": function, "config": config or {"every": 1}}


class Provider:
    """Provides a trigger type and fires its triggers, one after the other."""

    def __init__(self, client: Client, type: str, rate: float) -> None:
        self.type = type
        self.held: dict[str, str] = {}  # trigger id -> function, as the engine told us
        self._client = client
        self._rate = rate
        client.types[type] = self._told
        client.on_connected = self.held.clear  # a new connection is told of all triggers there are

    def _told(self, client: Client, frame: Frame) -> None:
        if frame["type"] == "unregistertrigger":
            self.held.pop(frame["id"], None)
            return
        self.held[frame["id"]] = frame["function_id"]
        fields = {"id": frame["id"], "trigger_type": self.type, "function_id": frame["function_id"]}
        client.spawn_send("triggerregistrationresult", **fields)

    async def run(self) -> None:
        while True:
            await asyncio.sleep(1 / self._rate)
            if self.held:
                await self._client.call(TRIGGER, self._client.rng.choice(list(self.held.values())))


def watch(client: Client, function: str) -> None:
    """Have the client told of every worker that comes or goes."""
    client.functions[function] = _noted
    client.subscribed.add(function)
    added = trigger(client.rng, WORKERS_AVAILABLE, function)
    client.triggers[added["id"]] = added


def _noted(client: Client, frame: Frame) -> None:
    data: dict[str, Any] = frame["data"]
    if client.connection is not None:
        client.recorder.told(client.connection, str(data.get("event")), str(data.get("worker_id")))
    client.spawn_answer(frame, None)
