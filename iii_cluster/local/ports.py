"""Ports on this machine: whether they are free, and keeping one for processes yet to come."""

import errno
import socket
from collections.abc import Collection


class PortError(Exception):
    """A port cannot be had; says which one, why, and which flag changes it."""


class PortTaken(PortError):
    """Somebody else has it; the next one may be free."""


def check_free(host: str, port: int, flag: str) -> None:
    """Raises PortError."""
    with _socket_for(host) as probe:
        _bind(probe, host, port, flag)


def check_shareable(host: str, port: int, flag: str) -> None:
    """Raises PortError unless the port is free or held by those who share it."""
    with _socket_for(host) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        _bind(probe, host, port, flag)


def free_port(host: str) -> int:
    """A port nobody listens on now."""
    with _socket_for(host) as probe:
        probe.bind((host, 0))
        return int(probe.getsockname()[1])


def spare_port(host: str, first: int, used: Collection[int], flag: str) -> int:
    """The lowest port from `first` on that is neither in `used` nor taken by a stranger. Raises PortError."""
    port = first
    while True:
        if port not in used:
            try:
                check_free(host, port, flag)
            except PortTaken:
                pass
            else:
                return port
        port += 1


class SharedPort:
    """A port several processes will listen on (SO_REUSEPORT), held so that it stays ours while they restart.

    A bound socket that does not listen receives no connections.
    """

    def __init__(self, host: str, port: int, flag: str) -> None:
        if port:
            check_free(host, port, flag)  # with SO_REUSEPORT a stranger's listener would not be noticed
        self._socket = _socket_for(host)
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        try:
            _bind(self._socket, host, port, flag)
        except BaseException:
            self._socket.close()
            raise
        self.port = int(self._socket.getsockname()[1])

    def close(self) -> None:
        self._socket.close()


def _socket_for(host: str) -> socket.socket:
    result = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET)
    # Connections of a predecessor that linger in TIME_WAIT do not count.
    result.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    return result


def _bind(target: socket.socket, host: str, port: int, flag: str) -> None:
    try:
        target.bind((host, port))
    except OverflowError:  # the last of several ports that follow each other
        raise PortError(f"there is no port {port}; choose a lower one with {flag}") from None
    except OSError as error:
        if error.errno == errno.EADDRINUSE:
            raise PortTaken(f"port {port} is already in use; choose another one with {flag}") from None
        raise PortError(f"cannot listen on {host} port {port} ({flag}): {error.strerror}") from None
