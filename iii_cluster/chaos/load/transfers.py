"""Channels made at every gateway, with ends at any two, through which numbered messages go."""

import asyncio
import random
from collections.abc import Awaitable, Callable, Sequence

from msgspec.structs import replace
from websockets.asyncio.client import ClientConnection
from websockets.exceptions import ConnectionClosed, InvalidHandshake, InvalidMessage

from iii_cluster.chaos.effects import Transfer
from iii_cluster.chaos.history import CHANNEL, OK, OPEN
from iii_cluster.chaos.limits import CALL, GIVE_UP

from .client import Client
from .crew import Crew
from .door import Door, connected_to
from .pace import beats
from .tasks import end

MESSAGES = (100, 300)  # of a transfer, least and most
BATCH = 20  # messages, then a pause
PAUSE = (0.0, 0.25)  # s
BUFFERS = (1, 16, 64)  # messages
LARGE = 0.05  # share of the messages
SIZE, LARGE_SIZE = 40, 16_384  # bytes
NAPS = 0.02  # share of the messages after which a reader rests
NAP = 0.1  # s
OPEN_TIMEOUT = 5.0  # s
LONGEST = 2 * CALL  # s, then it is given up

# Reason of the Close for an end that could not be had: the channel may live, and the other end wait for it.
NOT_GIVEN = "the channel's gateway"

Ref = dict[str, str]


class Transfers:
    """`rate` is transfers begun per second."""

    def __init__(self, crew: Crew, doors: Sequence[Door], rate: float) -> None:
        self._recorder = crew.recorder
        self._doors = doors
        self._rate = rate / crew.gateways
        self._clients = [crew.client("piper", gateway, pinned=True) for gateway in range(crew.gateways)]
        self._beginning: list[asyncio.Task[None]] = []
        self._running: set[asyncio.Task[None]] = set()

    def start(self) -> None:
        self._beginning = [asyncio.create_task(self._begin(client)) for client in self._clients]

    async def _begin(self, client: Client) -> None:
        async for _ in beats(self._rate):
            task = asyncio.create_task(self._transfer(client))
            self._running.add(task)
            task.add_done_callback(self._running.discard)

    async def _transfer(self, client: Client) -> None:
        asked = {"buffer_size": client.rng.choice(BUFFERS)}
        made = await client.invoke(CHANNEL, "engine::channels::create", asked)
        if made is None:
            return
        call, answered = made
        home = client.connection.gateway if client.connection is not None else ""
        await asyncio.wait([answered], timeout=CALL + GIVE_UP)
        if not answered.done() or answered.result()[0] != OK:
            return
        writing, reading = (client.rng.choice(self._doors) for _ in range(2))
        transfer = Transfer(
            n=self._recorder.number(),
            call=call.n,
            at=self._recorder.now(),
            home=home,
            writer=writing.gateway_of(""),
            reader=reading.gateway_of(""),
            total=client.rng.randint(*MESSAGES),
        )
        self._recorder.history.transfers.append(transfer)
        refs = answered.result()[1]
        one = Ends(transfer, random.Random(client.rng.random()))
        try:
            async with asyncio.timeout(LONGEST):
                await one.run(_end(writing, refs["writer"]), _end(reading, refs["reader"]))
        except TimeoutError:
            return  # it stays open: that is told
        if self._recorder.history.ended == OPEN:
            transfer.ended = self._recorder.now()

    async def pause(self) -> None:
        await end(self._beginning)

    async def rest(self) -> None:
        if self._running:
            await asyncio.wait(self._running, timeout=LONGEST + CALL)

    @property
    def awaited(self) -> str:
        return f"{len(self._running)} transfers to end" if self._running else ""

    async def stop(self) -> None:
        await end([*self._beginning, *self._running])


class Ends:
    """The two ends of one channel."""

    def __init__(self, transfer: Transfer, rng: random.Random) -> None:
        self._transfer = transfer
        self._rng = rng

    async def run(self, writing: Door, reading: Door) -> None:
        """Returns when both have ended; an end that can not be taken is no reason for the other to wait."""
        try:
            async with asyncio.timeout(OPEN_TIMEOUT):
                writer = await connected_to(writing.url, writing.secured)
        except (OSError, InvalidHandshake, InvalidMessage, EOFError) as error:
            self._transfer.trouble = f"writer: {type(error).__name__}"
            return
        try:
            async with asyncio.timeout(OPEN_TIMEOUT):
                reader = await connected_to(reading.url, reading.secured)
        except (OSError, InvalidHandshake, InvalidMessage, EOFError) as error:
            self._transfer.trouble = f"reader: {type(error).__name__}"
            writer.transport.abort()
            return
        try:
            await asyncio.gather(self._one(writer, reader, self._write), self._one(reader, writer, self._read))
        finally:
            writer.transport.abort()
            reader.transport.abort()

    async def _one(
        self, socket: ClientConnection, other: ClientConnection, use: Callable[[ClientConnection], Awaitable[None]]
    ) -> None:
        await use(socket)
        if (socket.close_reason or "").startswith(NOT_GIVEN):
            self._transfer.trouble = "turned away"
            other.transport.abort()

    async def _write(self, socket: ClientConnection) -> None:
        transfer, rng = self._transfer, self._rng
        try:
            for number in range(transfer.total):
                transfer.sent = number + 1  # before: it may arrive although we are told otherwise
                await socket.send(numbered(number, LARGE_SIZE if rng.random() < LARGE else SIZE))
                if transfer.sent % BATCH == 0:
                    await asyncio.sleep(rng.uniform(*PAUSE))
            transfer.finished = True
            await socket.close()
        except ConnectionClosed:
            pass
        transfer.write_code = socket.close_code or 0

    async def _read(self, socket: ClientConnection) -> None:
        transfer = self._transfer
        try:
            async for message in socket:
                self.take(message)
                if self._rng.random() < NAPS:
                    await asyncio.sleep(NAP)
        except ConnectionClosed:
            pass
        transfer.read_code = socket.close_code or 0

    def take(self, message: str | bytes) -> None:
        transfer = self._transfer
        if transfer.wrong:
            return
        due = transfer.received
        if _is(message, due):
            transfer.received += 1
        else:
            transfer.wrong = f"{message[:12]!r} where {due} was due"


def numbered(number: int, size: int) -> str | bytes:
    """Even ones are text, odd ones binary."""
    text = f"{number} ".ljust(size, ".")
    return text if number % 2 == 0 else text.encode()


def _is(message: str | bytes, number: int) -> bool:
    if isinstance(message, str) != (number % 2 == 0):
        return False
    text = message if isinstance(message, str) else message.decode(errors="replace")
    return text.partition(" ")[0] == str(number) and len(text) in (SIZE, LARGE_SIZE)


def _end(door: Door, ref: Ref) -> Door:
    """That of a channel, at the same gateway."""
    url = f"{door.url}ws/channels/{ref['channel_id']}?key={ref['access_key']}&dir={ref['direction']}"
    return replace(door, url=url)
