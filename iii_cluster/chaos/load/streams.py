"""Items of a stream that change all the time, and stream clients at every gateway that watch them."""

import asyncio
from collections.abc import Sequence

from iii_cluster.chaos.effects import Change, View
from iii_cluster.chaos.history import OK, STREAM
from iii_cluster.chaos.limits import CALL, EFFECT, GIVE_UP

from .client import Client
from .crew import Crew
from .pace import beats
from .tasks import end
from .viewer import StreamDoor, Viewer, group_of

GROUPS = ("left", "right:side")
ITEMS = 2  # of each worker and group, which no other worker changes
DELETES, UPDATES = 0.1, 0.3  # of the changes; the others set the whole value
LOOK_INTERVAL = 0.25  # s


class Streams:
    """`rate` is changes per second of all workers."""

    def __init__(self, crew: Crew, doors: Sequence[StreamDoor], rate: float) -> None:
        self._recorder = crew.recorder
        self._rate = rate / (crew.gateways * ITEMS * len(GROUPS))
        self._stream = crew.names.function(STREAM)
        self._clients: list[Client] = []
        self._items: dict[str, Client] = {}
        for gateway in range(crew.gateways):
            client = crew.client("painter", gateway, pinned=True)
            self._clients.append(client)
            numbers = range(gateway * ITEMS, (gateway + 1) * ITEMS)
            self._items |= {f"{group}/{number}": client for group in GROUPS for number in numbers}
        self._written: dict[str, float] = {}  # when, by item
        self._viewers: list[Viewer] = []
        for number in range(len(doors)):
            around = [*doors[number:], *doors[:number]]
            for kind, item in (("groups", ""), ("item", next(iter(self._items)))):
                name = crew.names.worker("viewer", kind, number)
                groups = [group_of(item)] if item else list(GROUPS)
                rng = crew.rng(name)
                viewer = Viewer(name, around, self._recorder, rng, stream=self._stream, groups=groups, item=item)
                self._viewers.append(viewer)
        self._wrong: list[str] = []
        self._painting: list[asyncio.Task[None]] = []
        self._viewing: list[asyncio.Task[None]] = []

    def start(self) -> None:
        self._viewing = [asyncio.create_task(viewer.run()) for viewer in self._viewers]
        self._painting = [asyncio.create_task(self._paint(client, item)) for item, client in self._items.items()]

    async def _paint(self, client: Client, item: str) -> None:
        v = 0
        async for _ in beats(self._rate):
            v += 1
            await self._change(client, item, v)

    async def _change(self, client: Client, item: str, v: int) -> None:
        where = {"stream_name": self._stream, "group_id": group_of(item), "item_id": item}
        value = {"id": item, "v": v}
        dice = client.rng.random()
        if dice < DELETES:
            made = await client.invoke(STREAM, "stream::delete", where)
        elif dice < DELETES + UPDATES:
            ops = [{"type": "merge", "value": value}]
            made = await client.invoke(STREAM, "stream::update", {**where, "ops": ops})
        else:
            made = await client.invoke(STREAM, "stream::set", {**where, "data": value})
        if made is None:
            return
        call, answered = made
        change = Change(call=call.n, at=call.began, item=item, v=v, deleted=dice < DELETES)
        self._recorder.history.changes.append(change)
        await asyncio.wait([answered], timeout=CALL + GIVE_UP)
        if answered.done() and answered.result()[0] == OK:
            self._written[item] = call.began

    async def pause(self) -> None:
        await end(self._painting)

    async def rest(self) -> None:
        deadline = self._recorder.now() + EFFECT
        while True:
            stored = await self._stored()
            if stored is not None:
                views = [self._view(viewer, stored) for viewer in self._viewers]
                self._wrong = [view.viewer for view in views if self._kept(view.items) != self._kept(view.stored)]
                if not self._wrong or self._recorder.now() > deadline:
                    self._recorder.history.views += views
                    return
            elif self._recorder.now() > deadline:
                return
            await asyncio.sleep(LOOK_INTERVAL)

    async def _stored(self) -> dict[str, int] | None:
        """As the gateway of the first worker lists it; None if it does not."""
        stored: dict[str, int] = {}
        for group in GROUPS:
            rows = await self._clients[0].ask("stream::list", stream_name=self._stream, group_id=group)
            if rows is None:
                return None
            stored |= {str(row["id"]): int(row["v"]) for row in rows}
        return stored

    def _view(self, viewer: Viewer, stored: dict[str, int]) -> View:
        seen = {item: v for item, v in stored.items() if viewer.item in ("", item)}
        return View(viewer=viewer.name, at=self._recorder.now(), items=dict(viewer.items), stored=seen)

    def _kept(self, items: dict[str, int]) -> dict[str, int]:
        """Without what Redis lost with its memory and nobody has written since: clients are not told of that."""
        loss = self._recorder.history.last_loss
        return {item: v for item, v in items.items() if self._written.get(item, 0.0) > loss}

    @property
    def awaited(self) -> str:
        return f"stream clients to see what is stored, such as {self._wrong[0]}" if self._wrong else ""

    async def stop(self) -> None:
        await end([*self._painting, *self._viewing])
