"""A stream client as the published ones are: it joins, keeps what it is shown, and comes back when it is cut off."""

import asyncio
import contextlib
import itertools
import json
import random
from collections.abc import Collection, Sequence
from typing import Any

from msgspec import Struct
from websockets.asyncio.client import ClientConnection
from websockets.exceptions import ConnectionClosed, InvalidHandshake, InvalidMessage

from iii_cluster.access.trust import Secured
from iii_cluster.chaos.effects import Shown, Viewing
from iii_cluster.chaos.history import OPEN
from iii_cluster.chaos.recorder import Recorder

from .door import Backoff, connected_to

OPEN_TIMEOUT = 5.0  # s

Message = dict[str, Any]


class StreamDoor(Struct, frozen=True):
    """Where stream clients enter the cluster; `gateway` is the process behind it, "" if there may be several."""

    url: str
    gateway: str
    secured: Secured | None = None


class Viewer:
    """Of some groups of a stream, or of one `item` of one group. `items` are the numbers it has, by item."""

    def __init__(
        self,
        name: str,
        doors: Sequence[StreamDoor],
        recorder: Recorder,
        rng: random.Random,
        *,
        stream: str,
        groups: Collection[str],
        item: str = "",
    ) -> None:
        self.name = name
        self.item = item
        self.items: dict[str, int] = {}
        self.connected = False
        self._doors = doors
        self._recorder = recorder
        self._rng = rng
        self._stream = stream
        self._groups = groups
        self._seen: set[str] = set()
        self._newest: dict[str, int] = {}  # timestamps, by item
        self._newest_of_group: dict[str, int] = {}
        self._viewing: Viewing | None = None

    async def run(self) -> None:
        """Stays connected until cancelled."""
        backoff = Backoff(self._rng)
        doors = itertools.cycle(self._doors)
        door = next(doors)
        while True:
            try:
                async with asyncio.timeout(OPEN_TIMEOUT):
                    socket = await connected_to(door.url, door.secured)
            except (OSError, InvalidHandshake, InvalidMessage, ConnectionClosed, EOFError):
                door = next(doors)  # a timeout is an OSError
            else:
                backoff.reset()
                await self._watch(socket, door)
            await asyncio.sleep(backoff.wait())

    async def _watch(self, socket: ClientConnection, door: StreamDoor) -> None:
        viewing = self._recorder.viewing(self.name, door.gateway)
        self._viewing = viewing
        try:
            for group in self._groups:
                data = {"subscriptionId": f"{self.name} {group}", "streamName": self._stream, "groupId": group}
                await socket.send(json.dumps({"type": "join", "data": data | ({"id": self.item} if self.item else {})}))
            self.connected = True
            async for text in socket:
                self.received(json.loads(text))
        except ConnectionClosed:
            pass
        finally:
            self.connected = False
            if self._recorder.history.ended == OPEN:
                viewing.closed = self._recorder.now()
            with contextlib.suppress(ConnectionClosed):
                await socket.close()

    # What it hears. Which messages are dropped is what the published clients drop.

    def received(self, message: Message) -> None:
        event, timestamp, group = message["event"], int(message["timestamp"]), str(message["groupId"])
        if event["type"] == "sync":
            if timestamp >= self._newest_of_group.get(group, 0):
                self._synced(group, timestamp, event["data"])
        elif event["type"] in ("create", "update", "delete"):
            self._changed(event["type"], str(message["id"]), timestamp, event["data"])
        self._newest_of_group[group] = max(timestamp, self._newest_of_group.get(group, 0))

    def _synced(self, group: str, timestamp: int, data: Any) -> None:
        values = ([data] if data is not None else []) if self.item else data
        found = {str(value["id"]): int(value["v"]) for value in values}
        others = {item: v for item, v in self.items.items() if group_of(item) != group}
        self.items = others | found
        self._seen |= found.keys()
        for item in sorted(item for item in self._seen if group_of(item) == group):
            self._note(item, "sync", timestamp, found.get(item))

    def _changed(self, event: str, item: str, timestamp: int, data: Message) -> None:
        self._seen.add(item)
        self._note(item, event, timestamp, int(data["v"]))
        if timestamp <= self._newest.get(item, 0):
            return
        self._newest[item] = timestamp
        if event == "delete":
            self.items.pop(item, None)
        else:
            self.items[item] = int(data["v"])

    def _note(self, item: str, event: str, timestamp: int, v: int | None) -> None:
        assert self._viewing is not None
        shown = Shown(
            viewing=self._viewing.id, at=self._recorder.now(), item=item, event=event, timestamp=timestamp, v=v
        )
        self._recorder.history.shown.append(shown)


def group_of(item: str) -> str:
    """The group is part of an item's id."""
    return item.partition("/")[0]
