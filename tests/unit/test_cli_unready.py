"""What `iii-cluster up` finds out about a process that does not get ready."""

import sys

import pytest

from iii_cluster.cli.unready import why_not_ready
from iii_cluster.config.settings import Settings
from iii_cluster.local.child import ChildSpec
from iii_cluster.local.plan import ADMIN_PORT_VARIABLE
from tests.support.admin_ports import admin_ports
from tests.support.ports import release_port, reserve_port


def spec(port: int) -> ChildSpec:
    return ChildSpec(name="shard-1", argv=(sys.executable,), env={ADMIN_PORT_VARIABLE: str(port)}, stage=1)


@pytest.mark.parametrize(
    ("reasons", "told"),
    [
        (["bus is not subscribed", "starting"], "bus is not subscribed; starting"),
        (["not in the cluster map"], "not in the cluster map: no coordinator leads"),
        ([], ""),
    ],
)
async def test_the_reasons_of_a_process_are_told(reasons: list[str], told: str) -> None:
    with admin_ports() as start:
        port = start({"/readyz": (503, {"ready": False, "reasons": reasons})})
        assert await why_not_ready(spec(port), Settings(admin_host="0.0.0.0")) == told


async def test_nothing_is_told_of_a_process_that_does_not_answer() -> None:
    port = reserve_port()
    assert await why_not_ready(spec(port), Settings()) == ""
    release_port(port)
    assert await why_not_ready(spec(0), Settings()) == ""
