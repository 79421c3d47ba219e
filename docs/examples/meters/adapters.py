"""Where the readings are kept."""

from msgspec import Struct

from iii_cluster.modules.engine import Engine
from iii_cluster.modules.module import NoConfig


class RedisConfig(Struct, frozen=True, forbid_unknown_fields=True):
    key_prefix: str = "meters"


class RedisMeters:
    """One hash for the whole cluster."""

    Config = RedisConfig

    def __init__(self, config: RedisConfig, engine: Engine) -> None:
        self._commands = engine.commands
        self._key = f"{engine.prefix}:{config.key_prefix}"

    async def add(self, meter: str, by: int) -> int:
        return int(await self._commands.execute("HINCRBY", self._key, meter, by))

    async def read(self, meter: str) -> int:
        return int(await self._commands.execute("HGET", self._key, meter, again=True) or 0)


class MemoryMeters:
    """Readings of one gateway, for trying things out with a single one."""

    Config = NoConfig

    def __init__(self, _config: NoConfig, _engine: Engine) -> None:
        self._readings: dict[str, int] = {}

    async def add(self, meter: str, by: int) -> int:
        self._readings[meter] = self._readings.get(meter, 0) + by
        return self._readings[meter]

    async def read(self, meter: str) -> int:
        return self._readings.get(meter, 0)
