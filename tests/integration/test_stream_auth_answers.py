"""What a stream's auth function may say to let a client in, where whoever cannot be asked about is refused."""

from collections.abc import AsyncIterator
from typing import Any

import pytest

from tests.support.stream_client import refused
from tests.support.streams import StreamCluster, streams
from tests.support.valkey import ValkeyServer


@pytest.fixture
async def cluster(valkey: ValkeyServer) -> AsyncIterator[StreamCluster]:
    async with streams(valkey.url) as cluster:
        yield cluster


@pytest.mark.parametrize("answer", [None, 5, "no", [], False, {"authorized": "false"}, {"authorized": 0}])
async def test_nonsense_is_no_permission(cluster: StreamCluster, answer: Any) -> None:
    cluster.cluster.register("auth", lambda _data: answer)
    gateway = await cluster.gateway({"auth_function": "auth", "refuse_on_auth_error": True})
    assert await refused(gateway.port) == 401


@pytest.mark.parametrize("answer", [{}, {"context": {"user": "ana"}}, {"authorized": True}, {"authorized": None}])
async def test_what_forbids_nothing_is_one(cluster: StreamCluster, answer: Any) -> None:
    cluster.cluster.register("auth", lambda _data: answer)
    gateway = await cluster.gateway({"auth_function": "auth", "refuse_on_auth_error": True})
    assert await refused(gateway.port) == 101
