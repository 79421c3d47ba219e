"""The reading end of the outboxes, in shards."""

from iii_cluster.modules.engine import Engine
from iii_cluster.redis.commands import Commands

from .kind import Kind


class Dispatcher:
    """Calls the targets of triggers for all events in outboxes that this shard owns."""

    def __init__(self, engine: Engine, kind: Kind, commands: Commands) -> None:
        """`commands`: the server the outboxes are on, the same as the writers'."""

    async def start(self) -> None: ...

    async def stop(self) -> None:
        """What is under way is left to the next owner."""
