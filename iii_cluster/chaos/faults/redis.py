"""Redis dies, stands still, forgets, or drops its subscribers."""

from iii_cluster.chaos.history import Injected

from .fault import NotNow, World
from .schedule import Planned

REDIS = "redis"


class RedisFault:
    def __init__(self, planned: Planned, world: World) -> None:
        assert world.cluster.redis is not None
        self._planned = planned
        self._world = world
        self._redis = world.cluster.redis

    async def inject(self, record: Injected) -> None:
        if REDIS in self._world.taken:
            raise NotNow("another fault has hit Redis already")
        self._world.taken.add(REDIS)
        record.victims.append(REDIS)
        record.forgot = self.forgets
        await self._break()

    async def take_back(self) -> None:
        """Nothing to do for most."""

    async def back(self) -> None:
        try:
            await self._redis.back()
        finally:
            self._world.taken.discard(REDIS)

    @property
    def forgets(self) -> bool:
        """It loses its memory."""
        return False

    async def _break(self) -> None:
        raise NotImplementedError


class KillRedis(RedisFault):
    @property
    def forgets(self) -> bool:
        return not self._redis.keeps

    async def _break(self) -> None:
        self._redis.kill(self._planned.duration)


class PauseRedis(RedisFault):
    async def _break(self) -> None:
        self._redis.freeze()

    async def take_back(self) -> None:
        self._redis.thaw()


class FlushRedis(RedisFault):
    @property
    def forgets(self) -> bool:
        return True

    async def _break(self) -> None:
        await self._redis.flush()


class DeafenRedis(RedisFault):
    async def _break(self) -> None:
        await self._redis.deafen()
