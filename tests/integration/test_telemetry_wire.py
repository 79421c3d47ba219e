"""Telemetry frames on sockets of a gateway: from whom they are taken, and that they disturb nobody."""

import secrets
import time
from collections.abc import AsyncIterator, Awaitable, Callable

import pytest
from websockets.asyncio.client import connect

from iii_cluster.cluster.keys import Keys
from iii_cluster.redis.commands import Commands
from iii_cluster.telemetry.intake import MAX_BYTES
from iii_cluster.telemetry.store.store import Store
from tests.support.access import RULES, Gatekeeper, at
from tests.support.cluster import CLUSTER_NAME, Cluster
from tests.support.eventually import eventually
from tests.support.raw import echo, known, raw_worker
from tests.support.telemetry import key_values, logs_frame, metrics_frame, spans_frame, wire_span

BAD_FRAMES = [
    b"OTLP",
    b"OTLP{",
    b"LOGS\xff",
    b"MTRC[]",
    b"OTLP" + b"[" * 50_000,
    spans_frame(7, {}, wire_span(traceId=5)),
]

Open = Callable[[Cluster], Store]


@pytest.fixture
async def open_store() -> AsyncIterator[Open]:
    made: list[Commands] = []

    def open_(cluster: Cluster) -> Store:
        made.append(Commands(cluster.valkey.url, "test", 10))
        return Store(made[-1], Keys(CLUSTER_NAME).prefix)

    yield open_
    for commands in made:
        await commands.close()


@pytest.fixture
def trace_id() -> str:
    return secrets.token_hex(16)


def of(trace_id: str, number: int = 1) -> bytes:
    """A frame with one span, of the present time."""
    now = time.time_ns()
    times = {"startTimeUnixNano": str(now), "endTimeUnixNano": str(now + 1000)}
    return spans_frame(wire_span(traceId=trace_id, spanId=f"{number:016x}", **times))


def stored(store: Store, trace_id: str, count: int) -> Callable[[], Awaitable[bool]]:
    async def are() -> bool:
        return len(await store.trace(trace_id)) == count

    return are


@pytest.mark.parametrize("path", ["/", "/otel"])
async def test_frames_are_taken_on_both_paths_of_any_gateway(
    shared_cluster: Cluster, open_store: Open, trace_id: str, path: str
) -> None:
    store, now = open_store(shared_cluster), str(time.time_ns())
    log = {"timeUnixNano": now, "severityNumber": 9, "body": {"stringValue": trace_id}, "traceId": trace_id}
    point = {"asInt": 1, "timeUnixNano": now, "attributes": key_values({"worker.id": "w"})}
    for number, gateway in enumerate(shared_cluster.gateways, 1):
        async with connect(gateway.url + path) as socket:
            await socket.send(of(trace_id, number))
            await socket.send(logs_frame(log))
            await socket.send(metrics_frame({"name": trace_id, "gauge": {"dataPoints": [point]}}))
    await eventually(stored(store, trace_id, 2))

    async def all_there() -> bool:
        logs = [each for each in await store.logs() if each.trace_id == trace_id]
        metrics = [each for each in await store.metrics() if each.name == trace_id]
        return len(logs) == len(metrics) == 2

    await eventually(all_there)


@pytest.mark.parametrize("path", ["/", "/otel"])
async def test_bad_frames_leave_the_socket_as_it_is(
    shared_cluster: Cluster, open_store: Open, trace_id: str, path: str
) -> None:
    store = open_store(shared_cluster)
    async with connect(shared_cluster.gateways[0].url + path) as socket:
        for frame in BAD_FRAMES * 3:
            await socket.send(frame)
        await socket.send(of(trace_id))
        await (await socket.ping())
        await eventually(stored(store, trace_id, 1))


async def test_calls_go_on_while_more_telemetry_comes_than_there_is_room_for(
    shared_cluster: Cluster, open_store: Open, unique: str
) -> None:
    store, url = open_store(shared_cluster), shared_cluster.gateways[0].url
    frame = spans_frame(*(wire_span(traceId=secrets.token_hex(16), name="x" * 1000) for _ in range(1000)))
    async with raw_worker(url) as worker, connect(f"{url}/otel", write_limit=2**22) as flood:
        await worker.register(unique, echo)
        await known(worker, unique)
        for number in range(3 * MAX_BYTES // len(frame)):
            await flood.send(frame)
            if number % 4 == 0:
                assert await worker.call(unique, number) == number

        sent: list[str] = []

        async def heard_again() -> bool:  # some are shed until all of the flood is read
            sent.append(secrets.token_hex(16))
            await flood.send(of(sent[-1]))
            return any([await store.trace(each) for each in sent[-10:]])

        await eventually(heard_again)
    status = await store.status()
    assert status.spans <= 10_000
    assert status.known_dropped_spans > 10_000


async def test_of_connections_under_rules_only_those_let_in_are_heard(
    guarded: Cluster, keeper: Gatekeeper, open_store: Open
) -> None:
    store, gateway = open_store(guarded), guarded.gateways[1]
    refused, late, good = (secrets.token_hex(16) for _ in range(3))
    keeper.rights["me"] = None
    for path in ("/", "/otel"):
        async with connect(at(gateway, RULES, "me", path), compression=None) as socket:
            await socket.send(of(refused))
            await socket.wait_closed()
    async with connect(at(gateway, RULES, "you", "/otel"), compression=None) as socket:
        await socket.send(of(late))  # perhaps before it is let in: it waits
        await eventually(stored(store, late, 1))
    async with connect(gateway.url) as socket:
        await socket.send(of(good))
        await eventually(stored(store, good, 1))
    assert await store.trace(refused) == []
