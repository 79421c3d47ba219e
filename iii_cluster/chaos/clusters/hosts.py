"""Hosts of our own: network namespaces, each with a cable to one bridge. Needs root and Linux."""

import contextlib
import os
import re
import subprocess

from .addresses import NAMESPACES

PREFIX = "iii-chaos-"  # of namespaces; then the id of the process that made them, and a number
LINK = "iiic"  # of bridges, then the id; of cables, then also a number
LINKS = "/sys/class/net"
SUBNETS = range(16, 250)  # 10.213.n.0/24
COMMAND_TIMEOUT = 10.0  # s


class NoHosts(Exception):
    """This machine gives us no namespaces; says why."""


class Hosts:
    """`count` hosts; the bridge has `hub` as its address. `close` takes away what was made, and only that."""

    def __init__(self, count: int) -> None:
        remove_leftovers()
        pid = os.getpid()
        subnet = _free_subnet()
        self.hub = f"10.213.{subnet}.1"
        self.names = [f"{PREFIX}{pid}-{number}" for number in range(count)]
        self._bridge = f"{LINK}{pid}"
        self._cables = [f"{LINK}{pid}h{number}" for number in range(count)]
        try:
            self._make(subnet)
        except BaseException:
            self.close()
            raise

    def _make(self, subnet: int) -> None:
        _ip("link", "add", self._bridge, "type", "bridge")
        _ip("address", "add", f"{self.hub}/24", "dev", self._bridge)
        _ip("link", "set", self._bridge, "up")
        for number, (name, cable) in enumerate(zip(self.names, self._cables, strict=True)):
            _ip("netns", "add", name)
            _ip("link", "add", cable, "type", "veth", "peer", "name", "eth0", "netns", name)
            _ip("link", "set", cable, "master", self._bridge, "up")
            _ip("-n", name, "address", "add", f"10.213.{subnet}.{number + 10}/24", "dev", "eth0")
            _ip("-n", name, "link", "set", "eth0", "up")
            _ip("-n", name, "link", "set", "lo", "up")

    def cut(self, number: int) -> None:
        """Nothing goes in or out of the host any more; inside it all goes on."""
        _ip("link", "set", self._cables[number], "down")

    def mend(self, number: int) -> None:
        _ip("link", "set", self._cables[number], "up")

    def inside(self, number: int) -> tuple[str, ...]:
        """What runs a command on that host, as the same process."""
        return ("ip", "netns", "exec", self.names[number])

    def close(self) -> None:
        for name in self.names:
            _remove("netns", "delete", name)
        for link in (*self._cables, self._bridge):  # a cable stays as long as somebody lives in its namespace
            _remove("link", "delete", link)


def _free_subnet() -> int:
    """One that no interface here is in."""
    taken = _ip("-4", "-oneline", "address", "show")
    for step in range(len(SUBNETS)):
        subnet = SUBNETS[(os.getpid() + step) % len(SUBNETS)]  # runs that begin together rarely try the same one
        if f" 10.213.{subnet}." not in taken:
            return subnet
    raise NoHosts("all of 10.213.0.0/16 is in use here")


def remove_leftovers() -> None:
    """Takes away what processes that are no more have left behind."""
    for name in _orphans(NAMESPACES, rf"{PREFIX}(\d+)-\d+"):
        _remove("netns", "delete", name)
    for name in _orphans(LINKS, rf"{LINK}(\d+)(?:h\d+)?"):
        _remove("link", "delete", name)


def _orphans(directory: str, pattern: str) -> list[str]:
    """Names in the directory that the pattern finds a process in, which is no more."""
    try:
        found = [match for name in os.listdir(directory) if (match := re.fullmatch(pattern, name))]
    except OSError:
        return []
    return [match[0] for match in found if not os.path.exists(f"/proc/{match[1]}")]


def unavailable() -> str:
    """Why there can be no hosts here, "" if there can."""
    if os.geteuid() != 0:
        return "network namespaces need root"
    try:
        Hosts(1).close()
    except NoHosts as error:
        return str(error)
    return ""


def _ip(*arguments: str) -> str:
    try:
        done = subprocess.run(("ip", *arguments), capture_output=True, text=True, timeout=COMMAND_TIMEOUT, check=False)
    except (OSError, subprocess.TimeoutExpired) as error:
        raise NoHosts(f"ip {' '.join(arguments)}: {error}") from None
    if done.returncode:
        raise NoHosts(f"ip {' '.join(arguments)}: {done.stderr.strip()}")
    return done.stdout


def _remove(*arguments: str) -> None:
    with contextlib.suppress(NoHosts):
        _ip(*arguments)
