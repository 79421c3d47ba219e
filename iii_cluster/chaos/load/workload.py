"""What every kind of load of a module has in common."""

from typing import Protocol

CALLS = "calls"
HTTP = "http"
# Operations per second of each, as a share of --rate; cron jobs have a rate of their own.
SHARES = {
    "queues": 0.25,
    "topics": 0.05,
    "cron": 0.0,
    "state": 0.25,
    "streams": 0.15,
    "pubsub": 0.08,
    HTTP: 0.25,
    "channels": 0.01,
}
NAMES = (CALLS, *SHARES)


class Workload(Protocol):
    def start(self) -> None:
        """Begin, once all workers are connected and known."""

    async def pause(self) -> None:
        """Ask for nothing more."""

    async def rest(self) -> None:
        """Returns when everything asked for has had its effect, or never will; notes what there is in the end."""

    @property
    def awaited(self) -> str:
        """What `rest` waits for, in words; "" for nothing."""

    async def stop(self) -> None: ...
