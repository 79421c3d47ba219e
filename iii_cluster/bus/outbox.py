"""Where the cores of all roles put their envelopes: the bus, or a test's record of them."""

from typing import Protocol

from iii_cluster.bus.envelopes import Envelope


class Outbox(Protocol):
    def send(self, node: str, envelope: Envelope) -> None:
        """Put `envelope` on the link to `node`; never blocks."""


class Links(Outbox, Protocol):
    """An outbox that can be full."""

    def congested(self, node: str) -> bool:
        """Whoever feeds the link to `node` should pause."""
