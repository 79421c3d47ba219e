"""What is known of alerts, in Redis: any process may evaluate them, and one tells of each."""

import asyncio
from collections.abc import Iterable

from iii_cluster.redis.commands import Commands
from iii_cluster.redis.script import Script
from iii_cluster.telemetry.config import AlertRule

from .alerts import State

KEPT = 7 * 24 * 3600 * 1000  # ms after the last evaluation

_EVALUATED = Script(__package__, "evaluated.lua")


class AlertStore:
    """Every method raises what `Commands.execute` does."""

    def __init__(self, commands: Commands, prefix: str) -> None:
        self._commands = commands
        self._prefix = f"{prefix}:otel:alert:"

    async def evaluated(self, rule: AlertRule, firing: bool, value: float | None) -> int:
        """The time (ms) if its action is due now, else 0."""
        arguments: list[int | str] = [
            int(firing),
            "" if value is None else repr(value),
            rule.cooldown_seconds * 1000,
            KEPT,
        ]
        tell, now = await self._commands.run(_EVALUATED, [self._prefix + rule.name], arguments)
        return int(now) if tell else 0

    async def states(self, rules: Iterable[AlertRule]) -> list[State]:
        """In the order of the rules."""
        return await asyncio.gather(*(self._state(rule) for rule in rules))

    async def _state(self, rule: AlertRule) -> State:
        firing, evaluated, triggered, value = await self._commands.execute(
            "HMGET", self._prefix + rule.name, "firing", "evaluated", "triggered", "value", again=True
        )
        return State(
            firing == b"1",
            int(evaluated) if evaluated else None,
            int(triggered) if triggered else None,
            float(value) if value else None,
        )
