"""Faults as they are carried out, one class per way to break something."""

from .fault import Fault, World
from .kinds import KINDS, Action, Target
from .network import CutHost
from .processes import KillProcess, PauseProcess, TerminateProcess
from .redis import DeafenRedis, FlushRedis, KillRedis, PauseRedis
from .schedule import Planned
from .workers import ResetWorkers

__all__ = ["Fault", "World", "make"]

PROCESS_FAULTS = {Action.KILL: KillProcess, Action.PAUSE: PauseProcess, Action.TERM: TerminateProcess}
REDIS_FAULTS = {Action.KILL: KillRedis, Action.PAUSE: PauseRedis, Action.FLUSH: FlushRedis, Action.DEAF: DeafenRedis}


def make(planned: Planned, world: World) -> Fault:
    """The fault of a plan, not carried out yet."""
    kind = KINDS[planned.kind]
    if kind.target is Target.REDIS:
        return REDIS_FAULTS[kind.action](planned, world)
    if kind.target is Target.WORKERS:
        return ResetWorkers(planned, world)
    if kind.target is Target.NETWORK:
        return CutHost(planned, world)
    return PROCESS_FAULTS[kind.action](planned, world, kind.target)
