"""The subscribed connection of the bus to one Redis server."""

from collections.abc import Callable, Sequence

from iii_cluster.bus.connection import Connection, Reply, Wire
from iii_cluster.bus.endpoint import Endpoint


class Subscriber(Connection):
    """Subscribed to fixed channels. Hands over (channel, body) of everything that arrived together."""

    def __init__(
        self,
        endpoint: Endpoint,
        label: str,
        channels: Sequence[str],
        on_messages: Callable[[list[tuple[bytes, bytes]]], None],
        on_up: Callable[[], None],
        on_down: Callable[[], None],
    ) -> None:
        super().__init__(endpoint, label, on_up, on_down)
        self._channels = [channel.encode() for channel in channels]
        self._on_messages = on_messages

    def _greeting(self) -> list[tuple[bytes, ...]]:
        return [(b"SUBSCRIBE", channel) for channel in self._channels]

    def received(self, wire: Wire, replies: list[Reply]) -> None:
        messages = []
        for reply in replies:
            if isinstance(reply, list) and len(reply) == 3 and reply[0] == b"message":
                messages.append((reply[1], reply[2]))
            elif wire.awaited:
                wire.answered(reply)
        if messages:
            self._on_messages(messages)
