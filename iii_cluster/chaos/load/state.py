"""Numbers in state: callers at every gateway increment and read them, triggers are told of each change of one."""

import asyncio

from iii_cluster.chaos.effects import Count, Noticed, Total
from iii_cluster.chaos.history import ENGINE, OK, STATE
from iii_cluster.chaos.limits import CALL, EFFECT, GIVE_UP

from .client import Client
from .crew import Crew
from .pace import beats
from .pending import Frame, Outcome
from .tasks import end
from .triggers import trigger

WATCHED = "watched"
KEYS = (WATCHED, "plain", "a:b {c} *")
CALLERS = 3  # of each worker: each waits for its answer
READS = 0.4  # of the operations
SLOW = 0.03  # of the changes: their handlers take a while, and the next change waits
LONGEST_WORK = 0.8  # s
LOOK_INTERVAL = 0.1  # s


class State:
    """`rate` is operations per second of all callers."""

    def __init__(self, crew: Crew, rate: float) -> None:
        names = crew.names
        self._recorder = crew.recorder
        self._rate = rate / (crew.gateways * CALLERS)
        self._scope = names.function(STATE)
        self._clients: list[Client] = []
        self._noticed: dict[str, int] = {}  # newest number by worker
        self._unnoticed: list[str] = []
        for gateway in range(crew.gateways):
            client = crew.client("counter", gateway, pinned=True)
            self._clients.append(client)
            function = names.function("counter", gateway, "noticed")
            client.functions[function] = self._told
            added = trigger(client.rng, STATE, function, {"scope": self._scope, "key": WATCHED})
            client.triggers[added["id"]] = added
        self._tasks: list[asyncio.Task[None]] = []

    def _told(self, client: Client, frame: Frame) -> None:
        assert client.connection is not None
        data = frame["data"]
        value = int(data["new_value"])
        noticed = Noticed(key=data["key"], connection=client.connection.id, at=self._recorder.now(), value=value)
        self._recorder.history.noticed.append(noticed)
        self._noticed[client.name] = value
        slow = client.rng.random() < SLOW
        client.spawn_answer(frame, None, client.rng.uniform(0.0, LONGEST_WORK) if slow else 0.0)

    def start(self) -> None:
        self._tasks = [asyncio.create_task(self._count(client)) for client in self._clients for _ in range(CALLERS)]

    async def _count(self, client: Client) -> None:
        async for _ in beats(self._rate):
            await self._one(client, client.rng.choice(KEYS), read=client.rng.random() < READS)

    async def _one(self, client: Client, key: str, *, read: bool) -> None:
        where = {"scope": self._scope, "key": key}
        if read:
            made = await client.invoke(STATE, "state::get", where)
        else:
            ops = [{"type": "increment", "path": "", "by": 1}]
            made = await client.invoke(STATE, "state::update", {**where, "ops": ops})
        if made is None:
            return
        call, answered = made
        count = Count(call=call.n, at=call.began, key=key, read=read)
        self._recorder.history.counts.append(count)

        def note(ended: "asyncio.Future[Outcome]") -> None:
            outcome, result = ended.result()
            if outcome == OK:
                count.value = int(result or 0) if read else int(result["new_value"])

        answered.add_done_callback(note)
        await asyncio.wait([answered], timeout=CALL + GIVE_UP)

    async def pause(self) -> None:
        await end(self._tasks)

    async def rest(self) -> None:
        totals = await asyncio.gather(*(self._total(client, key) for client in self._clients for key in KEYS))
        self._recorder.history.totals += totals
        last = max((total.value or 0 for total in totals if total.key == WATCHED), default=0)
        deadline = self._recorder.now() + EFFECT
        while self._recorder.now() < deadline:
            self._unnoticed = [name for name, value in self._noticed.items() if value < last]
            if not self._unnoticed:
                return
            await asyncio.sleep(LOOK_INTERVAL)

    async def _total(self, client: Client, key: str) -> Total:
        """As the client's gateway reads it."""
        deadline = self._recorder.now() + CALL
        value = None
        while value is None and self._recorder.now() < deadline:
            made = await client.invoke(ENGINE, "state::get", {"scope": self._scope, "key": key})
            if made is not None:
                outcome, result = await made[1]
                value = int(result or 0) if outcome == OK else None
            if value is None:
                await asyncio.sleep(LOOK_INTERVAL)
        gateway = client.connection.gateway if client.connection is not None else client.name
        return Total(key=key, gateway=gateway, at=self._recorder.now(), value=value)

    @property
    def awaited(self) -> str:
        return f"triggers of state to be told, such as that of {self._unnoticed[0]}" if self._unnoticed else ""

    async def stop(self) -> None:
        await end(self._tasks)
