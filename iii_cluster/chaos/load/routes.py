"""HTTP routes, of workers at every gateway and of single ones, and clients that ask for them at every gateway."""

import asyncio
import random
from collections.abc import Sequence

from msgspec import Struct

from iii_cluster.chaos.effects import Handled, Routed
from iii_cluster.chaos.history import REPLICATED, SINGLE
from iii_cluster.chaos.limits import EFFECT

from .browser import Browser, HttpDoor
from .client import Client
from .crew import Crew
from .pace import beats
from .pending import Frame
from .tasks import end
from .triggers import trigger

BROWSERS = 4  # at each gateway
REPLICAS = 3  # routes that a worker at every gateway has
SLOW = 0.1  # share of requests that take a while
LONGEST_WAIT = 0.4  # s
LOOK_INTERVAL = 0.25  # s
FOUND = 200


class Route(Struct, frozen=True):
    kind: str
    function: str
    path: str  # without the number


class Routes:
    """`rate` is requests per second of all clients."""

    def __init__(self, crew: Crew, doors: Sequence[HttpDoor], rate: float) -> None:
        self._recorder = crew.recorder
        self._crew = crew
        self._doors = doors
        self._rate = rate / (len(doors) * BROWSERS)
        self._routes = [self._route(REPLICATED, "web", number) for number in range(REPLICAS)]
        for gateway in range(crew.gateways):
            replica = crew.client("web", gateway, pinned=True, prefix=crew.names.group("web"))
            for route in self._routes[:REPLICAS]:
                self._serve(replica, route)
            single = self._route(SINGLE, "page", gateway)
            self._routes.append(single)
            self._serve(crew.client("page", gateway, pinned=False, prefix=crew.names.group("page")), single)
        self._tasks: list[asyncio.Task[None]] = []
        self._asking: set[asyncio.Task[None]] = set()
        self._browsers: list[Browser] = []
        self._unanswered: list[str] = []

    def _route(self, kind: str, name: str, number: int) -> Route:
        return Route(kind, self._crew.names.function(name, number), f"/{self._crew.names.prefix}/{name}/{number}")

    def _serve(self, client: Client, route: Route) -> None:
        client.functions[route.function] = self._handle
        added = trigger(client.rng, "http", route.function, {"api_path": f"{route.path}/:n", "http_method": "POST"})
        client.triggers[added["id"]] = added

    def _handle(self, client: Client, frame: Frame) -> None:
        assert client.connection is not None
        request = frame["data"]
        n = int(request["path_params"]["n"])
        if n:
            handled = Handled(n=n, connection=client.connection.id, at=self._recorder.now())
            self._recorder.history.handled.append(handled)
        client.spawn_answer(frame, {"status_code": FOUND, "body": {"n": n}}, request["body"]["wait"])

    def start(self) -> None:
        for number, door in enumerate(self._doors):
            for index in range(BROWSERS):
                name = self._crew.names.worker("browser", number, index)
                browser = Browser(name, door, self._recorder)
                self._browsers.append(browser)
                self._tasks.append(asyncio.create_task(self._browse(browser, self._crew.rng(name))))

    async def _browse(self, browser: Browser, rng: random.Random) -> None:
        async for _ in beats(self._rate):
            route = rng.choice(self._routes)
            wait = round(rng.uniform(0.0, LONGEST_WAIT), 3) if rng.random() < SLOW else 0.0
            asking = asyncio.create_task(browser.post(route.kind, route.function, route.path, wait))
            self._asking.add(asking)
            asking.add_done_callback(self._asking.discard)
            await asyncio.shield(asking)

    async def pause(self) -> None:
        await end(self._tasks)
        if self._asking:
            await asyncio.wait(self._asking)  # each is bounded

    async def rest(self) -> None:
        deadline = self._recorder.now() + EFFECT
        while True:
            found = [await self._look(door, route) for door in self._doors for route in self._routes]
            self._unanswered = [f"{one.function} at {one.gateway}" for one in found if one.status != FOUND]
            if not self._unanswered or self._recorder.now() > deadline:
                self._recorder.history.routed += found
                return
            await asyncio.sleep(LOOK_INTERVAL)

    async def _look(self, door: HttpDoor, route: Route) -> Routed:
        browser = Browser("", door, self._recorder)
        status = await browser.status(route.path)
        browser.close()
        return Routed(gateway=door.gateway, function=route.function, at=self._recorder.now(), status=status)

    @property
    def awaited(self) -> str:
        return f"routes to be answered, such as {self._unanswered[0]}" if self._unanswered else ""

    async def stop(self) -> None:
        await end([*self._tasks, *self._asking])
        for browser in self._browsers:
            browser.close()
