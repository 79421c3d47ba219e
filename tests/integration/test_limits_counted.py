"""What counts towards the limits of a cluster, and when."""

import asyncio
from collections.abc import Iterator
from contextlib import AsyncExitStack, contextmanager
from pathlib import Path
from typing import Any

import yaml
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed

from tests.support.cluster import ClusterNode, running_cluster
from tests.support.eventually import eventually
from tests.support.raw import RawWorker, known, raw_worker

TRY_AGAIN_LATER = 1013
RULES = {"auth_function_id": "gate::auth", "expose_functions": ['match("limits::*")']}
LISTENERS = [
    {"name": "iii-worker-manager"},
    {"name": "iii-worker-manager", "config": {"port": 0, "rbac": RULES}},
]


@contextmanager
def gateway_of(directory: Path, **options: str) -> Iterator[ClusterNode]:
    """The only gateway of a cluster with these options."""
    given = {name.replace("_", "-"): value for name, value in options.items()}
    config = yaml.safe_dump({"workers": LISTENERS})
    with running_cluster(directory, config, gateways=1, shards=1, options=given) as cluster:
        yield cluster.gateways[0]


async def entered(socket: ClientConnection) -> int:
    """0 for who is let in, else the code of the Close."""
    try:
        await socket.recv()
    except ConnectionClosed as closed:
        return closed.rcvd.code if closed.rcvd is not None else -1
    return 0


async def test_a_crowd_that_waits_for_the_auth_function_gets_no_more_places_than_there_are(
    tmp_path: Path,
) -> None:
    with gateway_of(tmp_path, max_cluster_connections="4") as gateway:
        async with raw_worker(gateway.url) as keeper, AsyncExitStack() as stack:
            await keeper.register("gate::auth")
            await known(keeper, "gate::auth")
            url = f"ws://127.0.0.1:{gateway.ports['worker-2']}/"
            crowd = [await stack.enter_async_context(connect(url)) for _ in range(8)]
            for call in [await keeper.expect("invokefunction", function_id="gate::auth") for _ in crowd]:
                await keeper.answer(call, {})
            codes = await asyncio.gather(*map(entered, crowd))
            assert sorted(codes) == [0] * 3 + [TRY_AGAIN_LATER] * 5


async def calls(worker: RawWorker) -> bool:
    """Whether it may make a call that waits for an answer."""
    frame = await worker.result(await worker.begin("engine::workers::list", {}))
    code = (frame.get("error") or {}).get("code")
    assert code in (None, "LIMIT_EXCEEDED"), frame
    return code is None


async def test_calls_that_want_no_answer_take_nobodys_place(tmp_path: Path) -> None:
    with gateway_of(tmp_path, max_cluster_in_flight="3") as gateway:
        async with raw_worker(gateway.url) as serving, raw_worker(gateway.url) as caller:
            await serving.register("limits::slow")
            await known(caller, "limits::slow")
            for _ in range(6):
                await caller.send("invokefunction", function_id="limits::slow", data={}, action={"type": "void"})
            for _ in range(6):
                await serving.expect("invokefunction", function_id="limits::slow")
            assert await calls(caller)


async def test_calls_of_workers_that_left_take_nobodys_place(tmp_path: Path) -> None:
    with gateway_of(tmp_path, max_cluster_in_flight="3") as gateway:
        async with raw_worker(gateway.url) as serving, raw_worker(gateway.url) as caller:
            await serving.register("limits::slow")
            await known(caller, "limits::slow")
            async with raw_worker(gateway.url) as leaving:
                for _ in range(3):
                    await leaving.begin("limits::slow")
                    await serving.expect("invokefunction", function_id="limits::slow")
                assert not await calls(caller)
            await eventually(lambda: calls(caller))


async def test_a_call_counts_until_it_is_answered_whatever_becomes_of_its_id(tmp_path: Path) -> None:
    with gateway_of(tmp_path, max_cluster_in_flight="2") as gateway:
        async with raw_worker(gateway.url) as serving, raw_worker(gateway.url) as caller:
            await serving.register("limits::slow")
            await known(caller, "limits::slow")
            id = await caller.begin("limits::slow")
            first = await serving.expect("invokefunction", function_id="limits::slow")
            again: dict[str, Any] = {"function_id": "limits::slow", "data": None, "invocation_id": id}
            await caller.send("invokefunction", **again)
            assert (await caller.result(id))["error"]["message"] == "channel closed"
            second = await serving.expect("invokefunction", function_id="limits::slow")
            assert await calls(caller)  # one waits, there is room for another
            await serving.answer(first, 1)
            await serving.answer(second, 2)
            assert (await caller.result(id))["result"] == 2
            for _ in range(2):
                await caller.begin("limits::slow")
                await serving.expect("invokefunction", function_id="limits::slow")
            assert not await calls(caller)
