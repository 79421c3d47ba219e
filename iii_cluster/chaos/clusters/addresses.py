"""Where things listen, also inside the network namespace of a host of our own."""

import asyncio
import ctypes
import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from msgspec import Struct

from iii_cluster.access.trust import Secured

CLONE_NEWNET = 0x40000000
NAMESPACES = "/run/netns"  # where `ip netns` keeps them


class Address(Struct, frozen=True):
    """`namespace` is "" for this process' own network; `secured` is for ports with TLS."""

    host: str
    port: int
    namespace: str = ""
    secured: Secured | None = None


def tls_of(secured: Secured | None) -> dict[str, Any]:
    """Arguments of asyncio's connections."""
    return {} if secured is None else {"ssl": secured.context, "server_hostname": secured.name}


async def connected(address: Address) -> socket.socket:
    """A connected TCP socket; raises OSError."""
    with within(address.namespace):
        # A socket stays in the network it was made in, wherever this thread goes afterwards.
        made = socket.socket(socket.AF_INET6 if ":" in address.host else socket.AF_INET, socket.SOCK_STREAM)
    try:
        made.setblocking(False)
        made.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        await asyncio.get_running_loop().sock_connect(made, (address.host, address.port))
    except BaseException:
        made.close()
        raise
    return made


@contextmanager
def within(namespace: str) -> Iterator[None]:
    """This thread is in the network of `namespace` meanwhile; nothing may be awaited in it."""
    if not namespace:
        yield
        return
    home = os.open("/proc/thread-self/ns/net", os.O_RDONLY)
    try:
        there = os.open(f"{NAMESPACES}/{namespace}", os.O_RDONLY)
        try:
            _enter(there)
        finally:
            os.close(there)
        try:
            yield
        finally:
            _enter(home)
    finally:
        os.close(home)


def _enter(fd: int) -> None:
    if ctypes.CDLL(None, use_errno=True).setns(fd, CLONE_NEWNET):
        raise OSError(ctypes.get_errno(), "setns")
