"""Which faults happen when, drawn from a seed alone."""

import random
from collections.abc import Iterator, Mapping, Sequence

from msgspec import Struct

from .kinds import KINDS, Target

FIRST_AT = 2.0  # s of undisturbed load before the first fault
OVERLAP = 0.25  # how often the next fault comes while this one is still there
OVERLAP_DELAY = (0.2, 1.0)  # s between two overlapping faults
SHORTEST_GAP, LONGEST_GAP = 0.4, 2.0  # of the mean time between faults
QUIET = 0.2  # of the duration: nothing happens at the end, so that recovery can be seen
LONGEST_QUIET = 8.0  # s
MOST_RESETS = 3  # workers whose sockets are reset together


class Planned(Struct, frozen=True):
    """A fault to come. `victim` is an index among the candidates there are when it happens."""

    index: int
    kind: str
    at: float  # s after the start
    duration: float  # s until it is taken back
    victim: int
    count: int = 1  # victims


def draw(
    seed: int, *, duration: float, every: float, kinds: Sequence[str], sizes: Mapping[Target, int], lease_ttl: float
) -> list[Planned]:
    """The faults of one run. `sizes` has how many candidates of each target there are; targets without are left out."""
    rng = random.Random(seed)
    usable = [name for name in kinds if sizes.get(KINDS[name].target, 0) > 0]
    if not usable:
        return []
    ends = duration - min(duration * QUIET, LONGEST_QUIET)
    order = _bag(rng, usable)
    plan: list[Planned] = []
    at = FIRST_AT
    while at < ends:
        fault = _one(rng, len(plan), at, next(order), sizes, lease_ttl)
        if fault.at + fault.duration < ends:  # else it is left out: a later, shorter one may still fit
            plan.append(fault)
        at += _gap(rng, fault, every)
    return plan


def _one(
    rng: random.Random, index: int, at: float, name: str, sizes: Mapping[Target, int], lease_ttl: float
) -> Planned:
    kind = KINDS[name]
    duration = round(kind.seconds(rng.random(), lease_ttl), 3)
    victim = rng.randrange(sizes[kind.target])
    count = rng.randint(1, MOST_RESETS) if kind.target is Target.WORKERS else 1
    return Planned(index, name, round(at, 3), duration, victim, count)


def _gap(rng: random.Random, fault: Planned, every: float) -> float:
    if rng.random() < OVERLAP:
        return rng.uniform(*OVERLAP_DELAY)
    wait = min(max(rng.expovariate(1 / every), SHORTEST_GAP * every), LONGEST_GAP * every)
    return fault.duration + wait


def _bag(rng: random.Random, names: Sequence[str]) -> Iterator[str]:
    """All of them in a random order, again and again: a long run has each about equally often."""
    while True:
        yield from rng.sample(list(names), len(names))
