"""The examples of the documentation, as they are, on two gateways."""

import asyncio
import os
import shutil
from pathlib import Path

import pytest

from tests.support.cluster import Cluster
from tests.support.sdks import NODE_22, PYTHON_25, ROOT, ClientMissing, program

EXAMPLES = ROOT / "docs" / "examples"


def _environment(url: str, home: Path) -> dict[str, str]:
    return {"PATH": os.environ["PATH"], "HOME": str(home), "III_URL": url, "OTEL_ENABLED": "false"}


async def test_the_caller_in_node_greets_through_the_worker_in_python(own_cluster: Cluster, tmp_path: Path) -> None:
    here, there = own_cluster.gateways
    try:
        modules = Path(program(NODE_22).env["TEST_CLIENT_MODULE"]).parents[2]
    except ClientMissing as missing:
        pytest.skip(str(missing))
    (tmp_path / "node_modules").symlink_to(modules)
    shutil.copy(EXAMPLES / "caller.mjs", tmp_path)
    worker = await asyncio.create_subprocess_exec(
        program(PYTHON_25).argv[0],
        str(EXAMPLES / "greeter.py"),
        env=_environment(there.url, tmp_path),
        stdout=asyncio.subprocess.PIPE,
    )
    try:
        assert worker.stdout is not None
        async with asyncio.timeout(30):
            while b"serving" not in await worker.stdout.readline():
                assert worker.returncode is None
        caller = await asyncio.create_subprocess_exec(
            "node", "caller.mjs", cwd=tmp_path, env=_environment(here.url, tmp_path), stdout=asyncio.subprocess.PIPE
        )
        async with asyncio.timeout(60):
            output, _ = await caller.communicate()
        assert output.decode().strip().endswith("Hello, Ada!")
        assert caller.returncode == 0
    finally:
        worker.kill()  # how it ends is the client's business, and does not always succeed on a busy machine
        await worker.wait()
