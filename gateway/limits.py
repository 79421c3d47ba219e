"""How much the workers of a gateway, and of the whole cluster, may have: connections, registrations, calls. Pure."""

import math
from collections.abc import Iterable
from typing import NamedTuple

from iii_cluster.config.settings import Settings


class Counts(NamedTuple):
    """Of one gateway, or of several together."""

    connections: int = 0
    registrations: int = 0  # a trigger is registered twice: under its id and under its type
    in_flight: int = 0  # calls of workers that wait for the answer


class Waiting:
    """Calls of this gateway's workers whose callers wait for the answer: what all `Worker.calling` hold together."""

    __slots__ = ("count",)

    def __init__(self) -> None:
        self.count = 0


class Limits:
    """`calls_of_one` and the rooms are infinite where there is no limit, so one comparison tells."""

    def __init__(self, *, max_in_flight: int = 0, cluster: Counts | None = None) -> None:
        """0: no limit."""
        self.calls_of_one: float = max_in_flight or math.inf
        """Calls of one connection that wait for their answers."""
        self.cluster = cluster or Counts()
        self.others = Counts()
        """What the other gateways have, as far as is known."""
        self.refused_connections = 0
        self.refused_registrations = 0
        self.refused_calls = 0
        self.slowed = 0  # how often a socket was not read because of its messages per second
        self.connections = self.registrations = self.calls = math.inf
        """How much of each this gateway may have, as the others leave it."""
        self.heard(())

    @property
    def shared(self) -> bool:
        """There are limits that all gateways share."""
        return any(self.cluster)

    def heard(self, others: Iterable[Counts]) -> None:
        """What each of the other gateways has now."""
        self.others = Counts(*map(sum, zip(*others, strict=True))) if (others := list(others)) else Counts()
        self.connections, self.registrations, self.calls = (
            limit - taken if limit else math.inf for limit, taken in zip(self.cluster, self.others, strict=True)
        )

    def refuse_call(self, calling: int) -> str:
        """Count it; why a connection with so many calls may not have one more."""
        self.refused_calls += 1
        if calling >= self.calls_of_one:
            return f"a connection may have {self.calls_of_one} calls in flight"
        return f"the cluster may have {self.cluster.in_flight} calls in flight"

    def slow(self) -> None:
        self.slowed += 1

    def describe(self) -> dict[str, object]:
        told: dict[str, object] = {
            "refused_connections": self.refused_connections,
            "refused_registrations": self.refused_registrations,
            "refused_calls": self.refused_calls,
            "slowed": self.slowed,
        }
        return told | ({"cluster": self.cluster._asdict(), "others": self.others._asdict()} if self.shared else {})


def limits_of(settings: Settings) -> Limits:
    return Limits(
        max_in_flight=settings.max_in_flight,
        cluster=Counts(
            settings.max_cluster_connections, settings.max_cluster_registrations, settings.max_cluster_in_flight
        ),
    )
