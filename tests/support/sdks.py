"""The published clients: installed once into a cache, run as worker programs that a test drives.

The cache is `.cache/clients` at the top of the repository, or the directory that III_TEST_CLIENTS names.
"""

import fcntl
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]
PROGRAMS = ROOT / "tests" / "conformance" / "workers"
INSTALL_TIMEOUT = 300.0  # seconds


class ClientMissing(Exception):
    """This machine cannot run a client generation; the text says what it lacks."""


@dataclass(frozen=True)
class Generation:
    """One published client library."""

    language: str
    version: str
    legacy: bool = False

    def __str__(self) -> str:
        return f"{self.language}-{self.version}"

    @property
    def told_of_removed_triggers(self) -> bool:
        """The oldest clients ignore `unregistertrigger`: their providers never learn of a removal."""
        return not self.legacy

    @property
    def has_namespaces(self) -> bool:
        return self.language == "python" and not self.legacy


PYTHON_25 = Generation("python", "0.25.0")
PYTHON_23 = Generation("python", "0.23.0")
PYTHON_9 = Generation("python", "0.9.0", legacy=True)
NODE_22 = Generation("node", "0.22.1")
NODE_9 = Generation("node", "0.9.0", legacy=True)

GENERATIONS = (PYTHON_25, PYTHON_23, PYTHON_9, NODE_22, NODE_9)


@dataclass(frozen=True)
class Program:
    """How to run the worker program of a generation."""

    argv: list[str]
    env: dict[str, str]


def program(generation: Generation) -> Program:
    """Installs the client if that has not happened yet; raises ClientMissing where it cannot run."""
    age = "legacy" if generation.legacy else "modern"
    if generation.language == "python":
        # The oldest one needs an extra to send telemetry.
        extra, name = ("[otel]", f"{generation}-otel") if generation.legacy else ("", str(generation))
        python = python_with(f"iii-sdk{extra}=={generation.version}", name=name)
        return Program([str(python), "-m", f"tests.conformance.workers.py_{age}"], {})
    module = npm_package("iii-sdk", generation.version) / "dist" / "index.mjs"
    return Program(["node", str(PROGRAMS / f"node_{age}.mjs")], {"TEST_CLIENT_MODULE": str(module)})


def python_with(*packages: str, name: str) -> Path:
    """The interpreter of a virtual environment with these packages, made once."""

    def install(directory: Path) -> None:
        _run([sys.executable, "-m", "venv", "--clear", str(directory / "venv")])
        _run([str(directory / "venv" / "bin" / "python"), "-m", "pip", "install", "--quiet", *packages])

    tag = f"py{sys.version_info.major}{sys.version_info.minor}"
    return _installed(f"{name}-{tag}", install) / "venv" / "bin" / "python"


def npm_package(name: str, version: str) -> Path:
    """Where a published package is installed, once; raises ClientMissing without Node."""
    _require_node()
    own = f"{name.rpartition('/')[2]}-{version}-npm"
    directory = _installed(own, lambda directory: _install_from_npm(directory, f"{name}@{version}"))
    return directory / "node_modules" / name


def worker_environment(program: Program, home: Path, url: str, *, telemetry: bool) -> Mapping[str, str]:
    """The environment without anything that would configure a client behind the test's back."""
    env = {key: value for key, value in os.environ.items() if not key.startswith(("III_", "OTEL_"))}
    env |= {"HOME": str(home), **program.env}
    # The oldest Python client sends telemetry to this address, not to that of its worker.
    return env | ({"III_URL": url} if telemetry else {"OTEL_ENABLED": "false"})


def _cache() -> Path:
    return Path(os.environ.get("III_TEST_CLIENTS") or ROOT / ".cache" / "clients")


def _require_node() -> None:
    if not (shutil.which("node") and shutil.which("npm")):
        raise ClientMissing("node and npm are not installed")


def _installed(name: str, install: Callable[[Path], None]) -> Path:
    """A directory of the cache, filled by `install` the first time."""
    directory = _cache() / name
    directory.mkdir(parents=True, exist_ok=True)
    installed = directory / "installed"
    with (directory / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not installed.exists():
            install(directory)
            installed.touch()
    return directory


def _install_from_npm(directory: Path, package: str) -> None:
    _run(["npm", "install", "--no-audit", "--no-fund", "--prefix", str(directory), package])


def _run(argv: list[str]) -> None:
    done = subprocess.run(argv, capture_output=True, text=True, timeout=INSTALL_TIMEOUT, cwd=ROOT, check=False)
    if done.returncode != 0:
        raise RuntimeError(f"{' '.join(argv)} ended with status {done.returncode}\n{done.stdout}{done.stderr}")
