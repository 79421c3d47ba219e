"""Per-second jobs on a worker, and what is wrong with how their ticks came."""

from collections import Counter
from datetime import datetime
from typing import Any

from tests.support.eventually import eventually
from tests.support.raw import RawWorker, known

EVERY_SECOND = "* * * * * *"


class Ticks:
    """Each job has a function of its own."""

    def __init__(self, worker: RawWorker, names: list[str]) -> None:
        self.names = names
        self._worker = worker
        self.events: dict[str, list[dict[str, Any]]] = {name: [] for name in names}

    async def begin(self, observer: RawWorker) -> "Ticks":
        """Returns when each job has run once."""
        for name in self.names:
            await self._worker.register(name, self._record)
        await known(observer, *self.names)
        for name in self.names:
            config = {"expression": EVERY_SECOND}
            await self._worker.send("registertrigger", id=name, trigger_type="cron", function_id=name, config=config)
        await self.more(1)
        return self

    def seconds(self, name: str) -> list[int]:
        """The ticks that came, in the order in which they came."""
        events = self.events[name]
        return [int(datetime.fromisoformat(event["scheduled_time"]).timestamp()) for event in events]

    async def more(self, count: int, within: float = 40.0) -> None:
        """Returns when every job has run for `count` more ticks, and as late as all others."""
        goal = max((max(self.seconds(name), default=0) for name in self.names), default=0) + count
        if not any(self.events.values()):
            await eventually(lambda: all(self.events.values()), within)
            return
        await eventually(lambda: all(max(self.seconds(name), default=0) >= goal for name in self.names), within)

    def wrong(self) -> list[str]:
        """Ticks that came twice, out of order, or not at all between the first and the last."""
        found = []
        for name in self.names:
            seconds = self.seconds(name)
            counts = Counter(seconds)
            found += [f"{name}: {tick} came {times} times" for tick, times in counts.items() if times > 1]
            found += [f"{name}: {tick} is missing" for tick in range(min(seconds), max(seconds)) if tick not in counts]
            if seconds != sorted(seconds):
                found.append(f"{name}: not in order: {seconds}")
        return found

    def _record(self, frame: dict[str, Any]) -> None:
        self.events[frame["function_id"]].append(frame["data"])
