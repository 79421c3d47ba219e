"""How far records were passed on, in Redis, fenced: of two that believe to be the owner the later one is right."""

from redis.exceptions import ResponseError

from iii_cluster.redis.commands import Commands
from iii_cluster.redis.script import Script

_CURSOR = Script(__package__, "cursor.lua")


class Fenced(Exception):
    """There is a later owner."""


class Cursors:
    """Methods raise Fenced, and what `Commands.execute` does."""

    def __init__(self, commands: Commands, prefix: str) -> None:
        self._commands = commands
        self._key = f"{prefix}:otel:tail"

    async def take(self, token: int, kind: str) -> str:
        """Become the owner; returns the place the one before has come to."""
        return await self._run(token, kind)

    async def move(self, token: int, kind: str, place: str) -> None:
        await self._run(token, kind, place)

    async def _run(self, *arguments: int | str) -> str:
        try:
            place: bytes = await self._commands.run(_CURSOR, [self._key], arguments, again=True)
        except ResponseError as error:
            if str(error).startswith("FENCED"):
                raise Fenced(str(error)) from None
            raise
        return place.decode()
