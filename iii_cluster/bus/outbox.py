"""Where the cores of all roles put their envelopes: the bus, or a test's record of them."""

from typing import Protocol

from iii_cluster.bus.envelopes import Envelope


class Outbox(Protocol):
    def send(self, node: str, envelope: Envelope) -> None:
        """Put `envelope` on the link to `node`; never blocks."""
