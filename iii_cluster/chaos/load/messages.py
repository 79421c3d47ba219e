"""Messages published at every gateway to subscribers at every gateway."""

import asyncio

from iii_cluster.chaos.effects import Heard, Publication
from iii_cluster.chaos.history import PUBSUB

from .client import Client
from .crew import Crew
from .pace import beats
from .pending import Frame
from .tasks import end
from .triggers import trigger

LAST = 1.0  # s for the last ones to arrive
MOST_PENDING = 200  # of one publisher


class Messages:
    """`rate` is messages per second of all publishers."""

    def __init__(self, crew: Crew, rate: float) -> None:
        names = crew.names
        self._recorder = crew.recorder
        self._rate = rate / crew.gateways
        self._topic = names.function(PUBSUB)
        self._clients: list[Client] = []
        for gateway in range(crew.gateways):
            client = crew.client("listener", gateway, pinned=True)
            self._clients.append(client)
            function = names.function("listener", gateway, "heard")
            client.functions[function] = self._heard
            added = trigger(client.rng, "subscribe", function, {"topic": self._topic})
            client.triggers[added["id"]] = added
        self._tasks: list[asyncio.Task[None]] = []

    def _heard(self, client: Client, frame: Frame) -> None:
        assert client.connection is not None
        heard = Heard(n=frame["data"]["message"], connection=client.connection.id, at=self._recorder.now())
        self._recorder.history.heard.append(heard)
        client.spawn_answer(frame, None)

    def start(self) -> None:
        self._tasks = [asyncio.create_task(self._publish(client)) for client in self._clients]

    async def _publish(self, client: Client) -> None:
        async for _ in beats(self._rate):
            if len(client.pending) >= MOST_PENDING:
                continue
            n = self._recorder.number()
            made = await client.invoke(PUBSUB, "publish", {"topic": self._topic, "data": {"message": n}})
            if made is not None:
                publication = Publication(n=n, call=made[0].n, at=made[0].began)
                self._recorder.history.publications.append(publication)

    async def pause(self) -> None:
        await end(self._tasks)

    async def rest(self) -> None:
        """Nothing is promised, so nothing is waited for."""
        await asyncio.sleep(LAST)

    @property
    def awaited(self) -> str:
        return ""

    async def stop(self) -> None:
        await end(self._tasks)
