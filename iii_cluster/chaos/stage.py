"""Puts a run together from what was asked for, and hands out its results."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from iii_cluster.config.load import Config

from .clusters.attached import Attached, LocalRedis
from .clusters.cluster import Cluster, Redis
from .clusters.fleet import Fleet
from .clusters.hosts import Hosts
from .faults.kinds import KINDS, Target
from .load.client import Client
from .load.load import MakeClient
from .options import Options
from .recorder import Recorder
from .report.report import report, write
from .report.screen import Screen
from .run import Run

HOSTS = 3  # of our own, when the network is to be cut
EXIT_CLEAN, EXIT_VIOLATED = 0, 1

make_client: MakeClient = Client


def options(seed: int, faults: tuple[str, ...], given: Mapping[str, Any], config: str) -> Options:
    """From what stood on the command line."""
    same = ("duration", "every", "gateways", "shards", "coordinators", "rate", "keep_going")
    return Options(
        seed=seed,
        faults=faults,
        output=given["output"] or Path(f"chaos-{seed}"),
        attach=given["admin"] if given["attach"] else "",
        redis_url=given["redis_url"] if given["redis_faults"] else "",
        config=config,
        **{name: given[name] for name in same},
    )


class Stage:
    """One run of the command."""

    def __init__(self, options: Options, config: Config, screen: Screen, left_out: Mapping[str, str]) -> None:
        self._options = options
        self._config = config
        self._screen = screen
        self._left_out = left_out
        self._recorder = Recorder(config.settings.lease_ttl)

    async def run(self) -> int:
        """The exit code. Raises what kept it from running."""
        if self._options.attach:
            return await self._attached()
        return await self._own()

    async def _own(self) -> int:
        networks = any(KINDS[name].target is Target.NETWORK for name in self._options.faults)
        hosts = Hosts(HOSTS) if networks else None
        try:
            self._options.output.mkdir(parents=True, exist_ok=True)
            fleet = Fleet(self._config, self._options.output, hosts, self._recorder)
            return await self._run(fleet, lambda: fleet.redis)
        finally:
            if hosts is not None:
                hosts.close()

    async def _attached(self) -> int:
        redis = None
        if self._options.redis_url:
            redis = LocalRedis(self._options.redis_url)
            await redis.find()
        try:
            return await self._run(Attached(self._options.attach), lambda: redis)
        finally:
            if redis is not None:
                await redis.close()

    async def _run(self, cluster: Cluster, redis: Callable[[], Redis | None]) -> int:
        run = Run(self._options, self._recorder, cluster, redis, self._screen, make_client)
        with self._screen.running():
            outcome = await run.run()
        made = report(self._options, outcome, self._left_out)
        write(made, outcome.history, self._options.output)
        self._screen.report(made, str(self._options.output))
        return EXIT_CLEAN if made.clean else EXIT_VIOLATED
