"""What the core may cause outside of itself."""

from typing import Protocol

from iii_cluster.bus.envelopes import Trigger
from iii_cluster.bus.outbox import Outbox


class Effects(Outbox, Protocol):
    def forget_durable(self, trigger: Trigger) -> None:
        """Delete a durable trigger from storage, then call `ShardCore.durable_forgotten` with it."""

    def settle_soon(self) -> None:
        """Call `ShardCore.settle` shortly: several events may share one round of repeated offers."""
