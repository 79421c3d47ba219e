"""The ports one process listens on, and which of them would be one and the same.

Gateways share their ports (SO_REUSEPORT): of two listeners on one port the kernel would choose by lot, and a worker
meant for the one with rules could come to the one without.
"""

import ipaddress
from collections.abc import Iterator, Sequence
from itertools import combinations

from msgspec import Struct

from .modules import HTTP, STREAM
from .settings import Settings


class Listening(Struct, frozen=True):
    """`name` is the port's in logs and listings, `setting` what says its number."""

    name: str
    setting: str
    host: str
    port: int

    def __str__(self) -> str:
        return f"{self.name} ({self.setting})"

    @property
    def option(self) -> str:
        """What gives it another number: a command's flag, or the entry of the file where there is none."""
        return f"--{self.setting.replace('_', '-')}" if self.setting.isidentifier() else self.setting


def ports_of_gateway(settings: Settings) -> list[Listening]:
    """Of everything a gateway listens on but its admin port."""
    hosts = {entry.name: entry.config.get("host") for entry in settings.modules}
    main, *others = settings.worker_listeners
    return [
        Listening("worker", "worker_port", settings.host, main.port),
        *(
            Listening(f"worker-{number}", f"`port` of iii-worker-manager {number}", one.host or settings.host, one.port)
            for number, one in enumerate(others, 2)
        ),
        Listening("http", "http_port", hosts.get(HTTP) or settings.host, settings.http_port),
        Listening("stream", "stream_port", hosts.get(STREAM) or settings.host, settings.stream_port),
    ]


def clashes(ports: Sequence[Listening]) -> Iterator[tuple[Listening, Listening]]:
    """Pairs that could be reached at one address. Port 0 is any free one."""
    for one, other in combinations(ports, 2):
        if one.port and one.port == other.port and not _apart(one.host, other.host):
            yield one, other


def clash_text(one: Listening, other: Listening) -> str:
    return f"{one} and {other} would both listen on port {one.port}"


def _apart(one: str, other: str) -> bool:
    """Only addresses can be told apart: names may lead to the same one."""
    try:
        first, second = _address(one), _address(other)
    except ValueError:
        return False
    return first != second and not first.is_unspecified and not second.is_unspecified


def _address(host: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address:
    address = ipaddress.ip_address(host.strip("[]"))
    mapped = address.ipv4_mapped if isinstance(address, ipaddress.IPv6Address) else None
    return mapped or address
