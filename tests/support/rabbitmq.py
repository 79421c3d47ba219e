"""A real RabbitMQ broker of the tests' own, with its own port mapper (epmd)."""

import os
import shutil
import socket
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.support.ports import release_port, reserve_port
from tests.support.process import START_TIMEOUT, Process

# Not /usr/sbin/rabbitmq-server: Debian's wrapper changes the user and runs the machine's own broker.
SERVER = Path("/usr/lib/rabbitmq/bin/rabbitmq-server")
# Only for this machine, and without busy waiting.
ERLANG = "-kernel inet_dist_use_interface {127,0,0,1} +sbwt none +sbwtdcpu none +sbwtdio none"


def server() -> Path:
    """The start script; skips the test where there is none."""
    found = SERVER if SERVER.exists() else Path(shutil.which("rabbitmq-server") or "")
    if not found.is_file() or shutil.which("epmd") is None:
        pytest.skip("no RabbitMQ broker is installed")
    return found


class RabbitServer:
    """Listens on a free port of 127.0.0.1, without plugins; knows the user guest. What it confirmed survives
    `kill` and `restart`."""

    def __init__(self, directory: Path) -> None:
        self._server = server()
        self._directory = directory / "rabbitmq"
        self._directory.mkdir()
        self.port, self._epmd_port, self._dist_port = reserve_port(), reserve_port(), reserve_port()
        self._epmd = Process("epmd", directory / "epmd.log")
        self._broker = Process("rabbitmq", directory / "rabbitmq.log")

    @property
    def url(self) -> str:
        return f"amqp://guest:guest@127.0.0.1:{self.port}/"

    def start(self) -> None:
        """About 5 s."""
        self.begin()
        self.wait_ready()

    def begin(self) -> None:
        """Starts the processes; `wait_ready` tells when the broker serves: its listener comes last."""
        if not self._epmd.running:  # a broker that finds none would start one that outlives it
            argv = [shutil.which("epmd") or "epmd", "-port", str(self._epmd_port), "-address", "127.0.0.1"]
            self._epmd.spawn(argv)
            self._wait(self._epmd, lambda: _listens(self._epmd_port))
        self._broker.spawn([str(self._server)], self._env())

    def wait_ready(self) -> None:
        self._wait(self._broker, lambda: _listens(self.port))

    def kill(self) -> None:
        self._broker.kill()

    def restart(self) -> None:
        """Kills the broker if it still runs and starts it again, on the same port."""
        self.kill()
        self.start()

    def pause(self) -> None:
        """SIGSTOP: alive, but as silent as a dead one."""
        self._broker.pause()

    def resume(self) -> None:
        self._broker.resume()

    def close(self) -> None:
        """Stops everything for good."""
        self._broker.kill()
        self._epmd.kill()
        for port in (self.port, self._epmd_port, self._dist_port):
            release_port(port)

    def tail(self) -> str:
        return self._broker.tail()

    def _env(self) -> dict[str, str]:
        directory = self._directory
        plugins = directory / "enabled_plugins"
        plugins.write_text("[].\n")
        return {
            **os.environ,
            "HOME": str(directory),  # of the cookie
            "ERL_EPMD_PORT": str(self._epmd_port),
            "ERL_EPMD_ADDRESS": "127.0.0.1",
            "RABBITMQ_NODENAME": f"test{self.port}@localhost",
            "RABBITMQ_NODE_IP_ADDRESS": "127.0.0.1",
            "RABBITMQ_NODE_PORT": str(self.port),
            "RABBITMQ_DIST_PORT": str(self._dist_port),
            "RABBITMQ_MNESIA_BASE": str(directory / "mnesia"),
            "RABBITMQ_LOG_BASE": str(directory),
            "RABBITMQ_LOGS": "-",
            "RABBITMQ_CONFIG_FILE": str(directory / "none"),
            "RABBITMQ_CONF_ENV_FILE": str(directory / "none"),
            "RABBITMQ_ENABLED_PLUGINS_FILE": str(plugins),
            "RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS": ERLANG,
            "RUNNING_UNDER_SYSTEMD": "true",  # the script becomes the broker: one pid to end
        }

    def _wait(self, process: Process, check: Callable[[], bool]) -> None:
        deadline = time.monotonic() + START_TIMEOUT
        while not check():
            assert process.running, f"{process.name} ended\n{process.tail()}"
            assert time.monotonic() < deadline, f"{process.name} does not answer\n{process.tail()}"
            time.sleep(0.05)


def _listens(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port), timeout=1).close()
    except OSError:
        return False
    return True
