"""The ports one process listens on, and which of them would be one and the same.

Gateways share their ports (SO_REUSEPORT): of two listeners on one port the kernel would choose by lot, and a worker
meant for the one with rules could come to the one without.
"""

from collections.abc import Iterator, Sequence
from itertools import combinations

from msgspec import Struct, convert

from .hosts import address_of
from .modules import HTTP, STREAM
from .settings import Settings, Tls

CONSOLE = "console"  # name of its port


class Listening(Struct, frozen=True):
    """`name` is the port's in logs and listings, `setting` what says its number, `tls` None for none."""

    name: str
    setting: str
    host: str
    port: int
    tls: Tls | None = None

    def __str__(self) -> str:
        return f"{self.name} ({self.setting})"

    @property
    def option(self) -> str:
        """What gives it another number: a command's flag, or the entry of the file where there is none."""
        return f"--{self.setting.replace('_', '-')}" if self.setting.isidentifier() else self.setting


def ports_of_gateway(settings: Settings) -> list[Listening]:
    """Of everything a gateway listens on but its admin port."""
    main, *others = settings.worker_listeners
    return [
        Listening("worker", "worker_port", settings.host, main.port, main.tls or settings.tls),
        *(
            Listening(
                f"worker-{number}",
                f"`port` of iii-worker-manager {number}",
                one.host or settings.host,
                one.port,
                one.tls or settings.tls,
            )
            for number, one in enumerate(others, 2)
        ),
        _of_module(settings, HTTP, "http", settings.http_port),
        _of_module(settings, STREAM, "stream", settings.stream_port),
    ]


def _of_module(settings: Settings, module: str, name: str, port: int) -> Listening:
    config = next((entry.config for entry in settings.modules if entry.name == module), {})
    own = config.get("tls")
    tls = convert(own, Tls) if own else settings.tls
    return Listening(name, f"{name}_port", config.get("host") or settings.host, port, tls)


def admin_port(settings: Settings) -> Listening:
    """Every role has one."""
    return Listening("admin", "admin_port", settings.admin_host, settings.admin_port, settings.admin_tls)


def metrics_port(settings: Settings) -> Listening:
    """Likewise, with the same certificate."""
    host = settings.metrics_host or settings.admin_host
    return Listening("metrics", "metrics_port", host, settings.metrics_port, settings.admin_tls)


def console_port(settings: Settings) -> Listening:
    """Of coordinators, which share it."""
    return Listening(CONSOLE, "console_port", settings.console_host, settings.console_port, settings.admin_tls)


def shared_ports(settings: Settings, *, gateway: bool, coordinator: bool) -> list[Listening]:
    """Those that the processes of these roles share on a host."""
    console = [console_port(settings)] if coordinator and settings.console == "on" else []
    return [*(ports_of_gateway(settings) if gateway else []), *console]


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
        first, second = address_of(one), address_of(other)
    except ValueError:
        return False
    return first != second and not first.is_unspecified and not second.is_unspecified
