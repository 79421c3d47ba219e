"""The catalogue of faults: what each does, to whom, and for how long."""

from enum import StrEnum

from msgspec import Struct


class Target(StrEnum):
    """Who is hit. Names are also what `--faults` takes for all faults of one target."""

    GATEWAY = "gateway"
    SHARD = "shard"
    COORDINATOR = "coordinator"
    LEADER = "leader"  # whichever coordinator leads at that moment
    REDIS = "redis"
    WORKERS = "workers"
    NETWORK = "network"


class Action(StrEnum):
    KILL = "kill"
    PAUSE = "pause"
    TERM = "term"
    FLUSH = "flush"
    DEAF = "deaf"
    RESET = "reset"
    CUT = "cut"


PROCESS_TARGETS = (Target.GATEWAY, Target.SHARD, Target.COORDINATOR, Target.LEADER)

AWAY = (0.3, 2.0)  # s a killed or stopped process stays away before it is started again
MOMENT = (0.0, 0.0)
# In lease TTLs. A lease may be an interval old when its holder is stopped: "shorter" has to leave room for that.
SHORTER = (0.1, 0.45)
LONGER = (1.5, 2.5)


class Kind(Struct, frozen=True):
    """One kind of fault; `least` and `most` bound its duration, in seconds or (`in_leases`) in lease TTLs."""

    name: str
    target: Target
    action: Action
    least: float
    most: float
    in_leases: bool
    text: str

    def seconds(self, fraction: float, lease_ttl: float) -> float:
        """Its duration for a number between 0 and 1."""
        unit = lease_ttl if self.in_leases else 1.0
        return (self.least + fraction * (self.most - self.least)) * unit

    @property
    def outlives_lease(self) -> bool:
        return self.in_leases and self.least > 1.0


def _processes() -> list[Kind]:
    kinds = []
    for target in PROCESS_TARGETS:
        who = "the leading coordinator" if target is Target.LEADER else f"a {target}"
        kinds += [
            Kind(f"{target}-kill", target, Action.KILL, *AWAY, False, f"kill -9 {who}, started again soon"),
            Kind(f"{target}-pause", target, Action.PAUSE, *SHORTER, True, f"SIGSTOP {who} for less than its lease"),
            Kind(f"{target}-freeze", target, Action.PAUSE, *LONGER, True, f"SIGSTOP {who} for longer than its lease"),
            Kind(f"{target}-term", target, Action.TERM, *AWAY, False, f"SIGTERM {who} (drain), started again soon"),
        ]
    return kinds


KINDS: dict[str, Kind] = {
    kind.name: kind
    for kind in (
        *_processes(),
        Kind("redis-kill", Target.REDIS, Action.KILL, *AWAY, False, "kill -9 Redis, started again soon"),
        Kind("redis-pause", Target.REDIS, Action.PAUSE, *SHORTER, True, "SIGSTOP Redis for less than a lease"),
        Kind("redis-freeze", Target.REDIS, Action.PAUSE, *LONGER, True, "SIGSTOP Redis for longer than a lease"),
        Kind("redis-flush", Target.REDIS, Action.FLUSH, *MOMENT, False, "FLUSHALL: Redis forgets everything"),
        Kind("redis-deaf", Target.REDIS, Action.DEAF, *MOMENT, False, "CLIENT KILL TYPE pubsub: no node has its inbox"),
        Kind("workers-reset", Target.WORKERS, Action.RESET, *MOMENT, False, "TCP resets of one to three workers"),
        Kind("network-blip", Target.NETWORK, Action.CUT, *SHORTER, True, "a host's link is down for less than a lease"),
        Kind("network-cut", Target.NETWORK, Action.CUT, *LONGER, True, "a host's link is down for longer than a lease"),
    )
}
