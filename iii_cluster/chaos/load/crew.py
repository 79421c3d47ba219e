"""The workers of a run: how they are made, and all there are."""

import random
from collections.abc import Sequence

from iii_cluster.chaos.recorder import Recorder

from .client import Client
from .door import Door
from .names import Names


class Crew:
    """`doors` has one way in per gateway."""

    def __init__(self, doors: Sequence[Door], recorder: Recorder, seed: int) -> None:
        self.recorder = recorder
        self.names = Names(seed)
        self.clients: list[Client] = []  # those that stay
        self._doors = doors
        self._seed = seed

    @property
    def gateways(self) -> int:
        return len(self._doors)

    def client(self, kind: str, gateway: int, *, pinned: bool, prefix: str = "") -> Client:
        """A worker that stays to the end. One that is not pinned to its gateway takes the next when that is away.

        `prefix` is what its functions begin with, `<kind>::<gateway>::` unless given.
        """
        names = self.names
        made = self.visitor(names.worker(kind, gateway), gateway, prefix or names.group(kind, gateway), pinned=pinned)
        self.clients.append(made)
        return made

    def visitor(self, name: str, gateway: int, prefix: str, *, pinned: bool = False) -> Client:
        """A worker whose life is somebody else's business."""
        doors = [self._doors[gateway]] if pinned else [*self._doors[gateway:], *self._doors[:gateway]]
        return Client(name, doors, self.recorder, self.rng(name), prefix)

    def rng(self, name: str) -> random.Random:
        """Random numbers of its own for whoever bears the name."""
        return random.Random(f"{self._seed} {name}")
