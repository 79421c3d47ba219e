"""An application on the published framework, Python or Node, as a process of its own."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.support.process import Process
from tests.support.sdks import PROGRAMS, ROOT, npm_package, python_with

PYTHON_VERSION = "1.0.4rc1"
PYTHON_SDK = "0.9.0"  # the framework runs on this SDK up to 0.13
NODE_VERSION = "1.0.4-rc.1"

LANGUAGES = ("python", "node")


def _command(language: str) -> tuple[list[str], dict[str, str]]:
    """Raises ClientMissing where it cannot run."""
    if language == "python":
        python = python_with(f"motia=={PYTHON_VERSION}", f"iii-sdk=={PYTHON_SDK}", name=f"motia-{PYTHON_VERSION}")
        return [str(python), "-m", "tests.conformance.workers.motia_app"], {}
    module = npm_package("motia", NODE_VERSION) / "dist" / "index.mjs"
    return ["node", str(PROGRAMS / "motia_app.mjs")], {"TEST_CLIENT_MODULE": str(module)}


@contextmanager
def motia_app(language: str, name: str, url: str, directory: Path) -> Iterator[Process]:
    """Runs while the context is open; `name` makes its ids unique."""
    argv, extra = _command(language)
    env = {key: value for key, value in os.environ.items() if not key.startswith(("III_", "OTEL_"))}
    env |= {"HOME": str(directory), "PYTHONPATH": str(ROOT), "III_URL": url, "OTEL_ENABLED": "false", **extra}
    app = Process(f"motia-{language}", directory / f"motia-{language}.log")
    app.spawn([*argv, name], env)
    try:
        yield app
    finally:
        app.kill()
