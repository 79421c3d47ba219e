"""Puts a run together from what was asked for, and hands out its results."""

from collections.abc import Mapping

from iii_cluster.config.load import Config

from .clusters.attached import Attached
from .clusters.cluster import Cluster
from .clusters.fleet import Fleet
from .clusters.hosts import Hosts
from .clusters.servers import LocalRedis
from .faults.kinds import KINDS, Target
from .history import History
from .options import Options
from .recorder import Recorder
from .report.place import place
from .report.report import Report, Verdict, report, write
from .report.screen import Screen
from .run import Run

HOSTS = 3  # of our own, when the network is to be cut


class Stage:
    """One run of the command. `left_out` are the faults that can not be had here, with the reason."""

    def __init__(self, options: Options, config: Config, screen: Screen, left_out: Mapping[str, str]) -> None:
        self._options = options
        self._config = config
        self._screen = screen
        self._left_out = left_out
        self._recorder = Recorder(config.settings.lease_ttl)

    async def run(self) -> Verdict:
        """Raises what kept it from running."""
        with place(self._options.output):
            return await (self._attached() if self._options.attach else self._own())

    async def _own(self) -> Verdict:
        networks = any(KINDS[name].target is Target.NETWORK for name in self._options.faults)
        hosts = Hosts(HOSTS) if networks else None
        try:
            return await self._run(Fleet(self._config, self._options.output, hosts, self._recorder, self._screen.say))
        finally:
            if hosts is not None:
                hosts.close()

    async def _attached(self) -> Verdict:
        redis = LocalRedis(self._options.redis_url) if self._options.redis_url else None
        try:
            if redis is not None:
                await redis.find()
            return await self._run(Attached(self._options.attach, redis, self._options.trust))
        finally:
            if redis is not None:
                await redis.close()

    async def _run(self, cluster: Cluster) -> Verdict:
        run = Run(self._options, self._recorder, cluster, self._screen)
        with self._screen.running():
            outcome = await run.run()
        return finish(report(self._options, outcome, self._left_out), outcome.history, self._screen)


def finish(made: Report, history: History, screen: Screen) -> Verdict:
    """Shows the report before it is written: a disk may be full."""
    screen.report(made)
    directory = made.options.output
    failed = write(made, history, directory)
    screen.written(str(directory), failed)
    return Verdict.TROUBLE if failed and made.verdict is Verdict.CLEAN else made.verdict
