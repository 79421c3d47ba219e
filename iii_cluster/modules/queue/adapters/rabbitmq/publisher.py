"""Messages that the broker has confirmed."""

import asyncio
import time

from aio_pika import Message
from aio_pika.abc import AbstractChannel
from aio_pika.exceptions import ChannelNotFoundEntity, PublishError

from iii_cluster.redis.commands import Unavailable

from .connection import LOST, RETRY_DELAY, Broker, answered, said


class Publisher:
    """`patience`: seconds that messages wait for the broker."""

    def __init__(self, broker: Broker, patience: float) -> None:
        self._broker = broker
        self._patience = patience
        self._opening = asyncio.Lock()
        self._channel: AbstractChannel | None = None

    async def send(self, exchange: str, key: str, message: Message) -> bool:
        """True: the broker has it for good. False: no queue takes it. After a lost connection it is sent again, so the
        broker may have it twice. Raises Unavailable."""
        deadline = time.monotonic() + self._patience
        maybe = False
        while True:
            try:
                channel = await self._open(deadline)
                target = (
                    await answered(channel.get_exchange(exchange, ensure=False))
                    if exchange
                    else channel.default_exchange
                )
                maybe = True
                await answered(target.publish(message, routing_key=key, mandatory=True))
                return True
            except (PublishError, ChannelNotFoundEntity):
                return False
            except Unavailable as error:
                raise Unavailable(str(error), maybe=maybe) from None
            except LOST as error:
                if not isinstance(error, TimeoutError):  # a broker short of memory or disk confirms later
                    self._channel = None
                if time.monotonic() >= deadline:
                    raise Unavailable(f"RabbitMQ did not confirm a message: {said(error)}", maybe=maybe) from None
                await asyncio.sleep(RETRY_DELAY)

    async def _open(self, deadline: float) -> AbstractChannel:
        async with self._opening:
            if self._channel is None or self._channel.is_closed:
                self._channel = await self._broker.open(deadline, confirms=True)
            return self._channel

    async def _send(self, channel: AbstractChannel, exchange: str, key: str, message: Message) -> None:
        target = await answered(channel.get_exchange(exchange, ensure=False)) if exchange else channel.default_exchange
        await answered(target.publish(message, routing_key=key, mandatory=True))
