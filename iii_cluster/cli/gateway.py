"""Where a command finds its gateway, and whom it trusts there."""

from msgspec import Struct

from iii_cluster.access.certificates import TlsError
from iii_cluster.access.trust import Secured, Trust


class Unreachable(Exception):
    """Nobody answers at the address, or not as a gateway would, or the connection broke."""


class Gateway(Struct, frozen=True):
    address: str
    port: int
    trust: Trust = Trust()

    def __str__(self) -> str:
        host = f"[{self.address}]" if ":" in self.address else self.address
        return f"{host}:{self.port}"

    @property
    def url(self) -> str:
        return f"{'wss' if self.trust.tls else 'ws'}://{self}/"

    def secured(self) -> Secured | None:
        """None without TLS. Raises Unreachable when the files cannot be used."""
        return secured(self.trust) if self.trust.tls else None


def secured(trust: Trust) -> Secured:
    """Raises Unreachable when the files cannot be used."""
    try:
        return trust.secured()
    except TlsError as error:
        raise Unreachable(str(error)) from None
