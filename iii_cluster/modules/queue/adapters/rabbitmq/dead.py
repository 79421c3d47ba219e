"""Dead jobs: read, put back, deleted."""

from collections import deque
from collections.abc import Sequence

from aio_pika.abc import AbstractIncomingMessage

from iii_cluster.modules.queue.adapter import Dead

from . import messages
from .connection import Broker, answered
from .messages import Tried
from .names import Names
from .publisher import Publisher
from .walk import walk


class DeadJobs:
    """`patience`: seconds to wait for others who look through the same queue."""

    def __init__(self, broker: Broker, publisher: Publisher, patience: float) -> None:
        self._broker = broker
        self._publisher = publisher
        self._patience = patience

    async def newest(self, names: Names, most: int) -> Sequence[Dead]:
        """Newest first."""
        last: deque[Dead] = deque(maxlen=most)
        async with walk(self._broker, names.dead_queue, self._patience) as found:
            async for message in found:
                last.append(_read(message)[0])
        return list(reversed(last))

    async def redrive(self, names: Names, topic: bool, id: str | None = None) -> int:
        """One, or all; how many."""
        done = 0
        taking = id is None
        async with walk(self._broker, names.dead_queue, self._patience, taking=taking) as found:
            async for message in found:
                dead, redriven = _read(message)
                if id is not None and dead.job.id != id:
                    continue
                again = Tried(dead.job, 0, redriven + 1)
                fresh = messages.message_of(again, topic=topic, priority=message.priority)
                if not await self._publisher.send(names.exchange, names.key, fresh):
                    break  # there is no queue to go back to
                await answered(message.ack())
                done += 1
                if id is not None:
                    break
        return done

    async def discard(self, names: Names, id: str) -> int:
        async with walk(self._broker, names.dead_queue, self._patience) as found:
            async for message in found:
                if _read(message)[0].job.id == id:
                    await answered(message.ack())
                    return 1
        return 0


def _read(message: AbstractIncomingMessage) -> tuple[Dead, int]:
    return messages.read_dead(messages.IncomingMessage(message.body, message.message_id, message.headers))
