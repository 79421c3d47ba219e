"""The shard that follows the store for the whole cluster is killed: another one goes on where it was."""

import asyncio
from collections.abc import Callable
from pathlib import Path

from tests.support.cluster import Cluster, running_cluster
from tests.support.eventually import eventually
from tests.support.raw import Frame, RawWorker, known, raw_worker

CONFIG = """
workers:
  - name: iii-observability
    config:
      alerts:
        - name: busy
          metric: iii.invocations.total
          threshold: 0
          cooldown_seconds: 3600
          action: {type: function, path: moves::page}
"""


class Trickle:
    """A log record every few milliseconds, and what a `log` trigger was told of them."""

    def __init__(self, writer: RawWorker) -> None:
        self._writer = writer
        self.written = 0
        self.told: set[str] = set()
        self._task = asyncio.create_task(self._run())

    def hear(self, frame: Frame) -> None:
        self.told.add(frame["data"]["body"])

    @property
    def untold(self) -> set[str]:
        return {f"line {number}" for number in range(self.written)} - self.told

    async def more(self, count: int) -> None:
        until = self.written + count
        await eventually(lambda: self.written >= until)

    async def end(self) -> None:
        self._task.cancel()
        await asyncio.wait([self._task])

    async def _run(self) -> None:
        while True:
            await self._writer.call("engine::log::warn", {"message": f"line {self.written}"})
            self.written += 1
            await asyncio.sleep(0.05)


async def test_no_log_goes_untold_and_no_alert_is_told_twice_when_their_shard_dies(tmp_path: Path) -> None:
    with running_cluster(tmp_path, CONFIG) as cluster:
        here, there = cluster.gateways
        async with raw_worker(there.url) as ops, raw_worker(here.url) as writer:
            pages: list[Frame] = []
            await ops.register("moves::page", pages.append)
            trickle = Trickle(writer)
            await ops.register("moves::on_log", trickle.hear)
            await ops.send(
                "registertrigger", id="l", trigger_type="log", function_id="moves::on_log", config={"level": "warn"}
            )
            await known(writer, "moves::on_log", "moves::page")
            await eventually(lambda: trickle.told)  # those written before may be missing: it hears of what comes
            first = min(int(line.split()[1]) for line in trickle.told)
            trickle.told |= {f"line {number}" for number in range(first)}
            for shard in cluster.shards:  # one of them does it, and then the other
                await _killed(cluster, shard.restart, trickle, writer)
            await trickle.end()
            await eventually(lambda: not trickle.untold)
            assert len(pages) == 1


async def _killed(cluster: Cluster, restart: Callable[[], object], trickle: Trickle, worker: RawWorker) -> None:
    """Logs go on being told, and alerts being looked at."""
    await asyncio.to_thread(restart)
    evaluated = await _evaluated(worker)
    await trickle.more(40)
    await eventually(lambda: len(trickle.untold) < 20)

    async def again() -> bool:
        return await _evaluated(worker) > evaluated

    await eventually(again)


async def _evaluated(worker: RawWorker) -> int:
    """When the alert was last looked at, ms."""
    [alert] = (await worker.call("engine::alerts::list", {}))["alerts"]
    return int(alert["last_evaluated"] or 0)
