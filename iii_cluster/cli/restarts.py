"""Restarting the processes of a running `iii-cluster up`: one at a time under load, or all at once."""

import asyncio
from collections.abc import Callable
from pathlib import Path

import msgspec

from iii_cluster.config.settings import Settings
from iii_cluster.local.keeper import Keeper, StartFailed
from iii_cluster.local.plan import replacement
from iii_cluster.local.ports import PortError
from iii_cluster.local.supervisor import Successor, Supervisor

from .control import Finished, Replaced, Restart, Tell


class Restarts:
    """`start_within` and `stop_within` bound, in seconds, what each process may take."""

    def __init__(
        self,
        supervisor: Supervisor,
        settings: Settings,
        say: Callable[[str], None],
        *,
        start_within: float,
        stop_within: float,
        config_file: Path | None = None,
    ) -> None:
        self._supervisor = supervisor
        self._settings = settings
        self._say = say
        self._start_within = start_within
        self._stop_within = stop_within
        self._config_file = config_file
        self._config_time = _changed_at(config_file)

    async def restart(self, request: Restart, tell: Tell) -> Finished:
        """Replaces every process, starts those again that were drained; tells of each, and how it all ended."""
        return msgspec.structs.replace(await self._restart(request, tell), note=self._note())

    def _note(self) -> str:
        if _changed_at(self._config_file) == self._config_time:
            return ""
        return (
            f"{self._config_file} has changed since `iii-cluster up` read it: its processes keep the former settings "
            "until `up` is stopped and started"
        )

    async def _restart(self, request: Restart, tell: Tell) -> Finished:
        self._say("rolling restart" if request.rolling else "restarting everything")
        killed: list[str] = []

        def told(replaced: Replaced) -> None:
            tell(replaced)
            self._say(f"{replaced.name} is now {replaced.new}, process {replaced.pid}")
            if replaced.killed:
                killed.append(replaced.name)

        try:
            await (self._rolling(told) if request.rolling else self._at_once(told))
        except (StartFailed, PortError) as error:
            goes_on = "; the old process goes on" if request.rolling else "; it is tried again"
            self._say(f"restart failed: {error}{goes_on}")
            return Finished(f"{error}{goes_on}", tuple(error.tail) if isinstance(error, StartFailed) else ())
        self._say("restart done")
        return Finished(f"did not stop in time and were killed: {', '.join(killed)}" if killed else "")

    async def _rolling(self, told: Callable[[Replaced], None]) -> None:
        """Those who keep the map first, those who serve workers last: each finds its new peers in place."""
        clock = asyncio.get_running_loop().time
        for keeper in sorted(self._supervisor.roles(), key=lambda keeper: -keeper.child.spec.stage):
            began, old = clock(), _node_id(keeper)
            specs = [one.child.spec for one in self._supervisor.roles() if one is not keeper or not keeper.drained]
            spec = replacement(keeper.child.spec, self._settings, specs)
            successor = await self._supervisor.replace(keeper, spec, self._start_within, self._stop_within)
            told(_replaced(keeper.name, old, successor, clock() - began))

    async def _at_once(self, told: Callable[[Replaced], None]) -> None:
        clock = asyncio.get_running_loop().time
        began, keepers = clock(), self._supervisor.roles()
        old = [_node_id(keeper) for keeper in keepers]
        successors = await self._supervisor.renew(keepers, self._start_within, self._stop_within)
        for keeper, before, successor in zip(keepers, old, successors, strict=True):
            told(_replaced(keeper.name, before, successor, clock() - began))


def _changed_at(path: Path | None) -> int:
    """Nanoseconds since 1970, 0 without such a file."""
    try:
        return 0 if path is None else path.stat().st_mtime_ns
    except OSError:
        return 0


def _node_id(keeper: Keeper) -> str:
    """The first id of its process, "" while none runs."""
    return keeper.child.ready.id if keeper.child.ready and not keeper.drained else ""


def _replaced(name: str, old: str, successor: Successor, seconds: float) -> Replaced:
    ready = successor.ready
    return Replaced(name, old, ready.id, ready.pid, seconds, successor.killed)
