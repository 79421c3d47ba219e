"""What is known of alerts, in Redis: any process may evaluate them, and one tells of each."""

import asyncio
from collections.abc import Iterable, Sequence

import msgspec

from iii_cluster.redis.commands import Commands
from iii_cluster.redis.script import Script
from iii_cluster.telemetry.config import AlertRule
from iii_cluster.telemetry.metrics.snapshot import Snapshot

from . import counting
from .alerts import State
from .counting import Counted

ATTEMPTS = 5  # to add what was counted, where others do so at the same time
LONGEST_ERROR = 200  # characters
KEPT = 7 * 24 * 3600 * 1000  # ms after the last evaluation

_EVALUATED = Script(__package__, "evaluated.lua")
_COUNTED = Script(__package__, "counted.lua")


class AlertStore:
    """Every method raises what `Commands.execute` does."""

    def __init__(self, commands: Commands, prefix: str) -> None:
        self._commands = commands
        self._prefix = f"{prefix}:otel:alert:"
        self._counts = f"{prefix}:otel:alert-counts"

    async def counted(self, snapshots: Sequence[Snapshot], longest: int) -> Counted:
        """One more look at all processes; `longest`: the longest window, ms."""
        now, version, body = await self._commands.run(_COUNTED, [self._counts], again=True)
        for _ in range(ATTEMPTS):
            counted = counting.looked(_read(body), snapshots, int(now), longest)
            arguments = version, counting.encode(counted), max(KEPT, 2 * longest)
            now, version, body = await self._commands.run(_COUNTED, [self._counts], arguments)
            if not body:
                break
        return counted

    async def failed(self, rule: AlertRule, error: str) -> None:
        """Why its action came to nothing; "": it did not."""
        await self._commands.execute("HSET", self._prefix + rule.name, "error", error[:LONGEST_ERROR], again=True)

    async def evaluated(self, rule: AlertRule, firing: bool, value: float | None, *, seen: bool) -> int:
        """The time (ms) if its action is due now, else 0. `seen`: there is such a metric."""
        arguments: list[int | str] = [
            int(firing),
            "" if value is None else repr(value),
            rule.cooldown_seconds * 1000,
            KEPT,
            rule.metric if seen else "",
        ]
        tell, now = await self._commands.run(_EVALUATED, [self._prefix + rule.name], arguments)
        return int(now) if tell else 0

    async def states(self, rules: Iterable[AlertRule]) -> list[State]:
        """In the order of the rules."""
        return await asyncio.gather(*(self._state(rule) for rule in rules))

    async def _state(self, rule: AlertRule) -> State:
        names = "firing", "evaluated", "triggered", "value", "seen", "error"
        firing, evaluated, triggered, value, seen, error = await self._commands.execute(
            "HMGET", self._prefix + rule.name, *names, again=True
        )
        return State(
            firing == b"1",
            int(evaluated) if evaluated else None,
            int(triggered) if triggered else None,
            float(value) if value else None,
            seen == rule.metric.encode() if evaluated else None,
            error.decode() if error else None,
        )


def _read(body: bytes) -> Counted | None:
    """None also of what another version left: counting begins anew."""
    try:
        return counting.decode(body) if body else None
    except msgspec.MsgspecError:
        return None
