"""State in a real PostgreSQL, from one gateway and from several."""

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable

import asyncpg
import pytest

from iii_cluster.bus.envelopes import Trigger
from iii_cluster.cluster.map import Role
from iii_cluster.config.settings import Settings
from iii_cluster.modules.events.kind import Kind
from iii_cluster.modules.events.writer import EventWriter
from iii_cluster.modules.imports import BadConfig
from iii_cluster.modules.state.adapter import Notice
from iii_cluster.modules.state.adapters import postgres as adapters
from iii_cluster.modules.state.adapters.postgres import PostgresAdapter, PostgresConfig
from iii_cluster.modules.state.event import EventText
from iii_cluster.redis.commands import Unavailable
from tests.support.engine import FakeCluster
from tests.support.eventually import eventually
from tests.support.postgres import PostgresServer
from tests.support.valkey import ValkeyServer

ANYTHING = Kind(name="state", pattern=lambda _trigger: (None, None), parts=lambda _event: ("", ""))
NAMES = ["plain", "a:b", "a*[b]?", "null\0byte", "\\", "\\0", "\0\\\0", "", " ", "späße 🙂", "%00", "x" * 20_000]


class Gateway:
    """The adapter in one gateway, and its events."""

    def __init__(self, adapter: PostgresAdapter, events: EventWriter) -> None:
        self.adapter = adapter
        self.events = events

    def notice(self, scope: str, key: str) -> Notice:
        target = self.events.target(scope, key)
        assert target is not None
        return Notice(target, EventText.of(scope, key))

    async def add(self, scope: str, key: str, told: bool = False) -> None:
        """1 to a counter, by swaps, as often as it takes."""
        there = await self.adapter.get(scope, key)
        done = False
        while not done:
            new = b"%d" % (int(there or b"0") + 1)
            notice = self.notice(scope, key) if told else None
            done, there = await self.adapter.swap(scope, key, there, [new], notice)


MakeGateway = Callable[..., Awaitable[Gateway]]


@pytest.fixture
async def cluster() -> AsyncIterator[FakeCluster]:
    made = FakeCluster()
    yield made
    await made.close()


@pytest.fixture
async def gateway(
    cluster: FakeCluster, postgres: PostgresServer, valkey: ValkeyServer, unique: str
) -> AsyncIterator[MakeGateway]:
    """Makes gateways that share a table."""
    made: list[Gateway] = []

    async def make(outage_limit: float = 10.0, **config: object) -> Gateway:
        engine = cluster.node(valkey.url, Role.GATEWAY, Settings(redis_outage_limit=outage_limit))
        adapter = PostgresAdapter(PostgresConfig(**{"url": postgres.url, "table": unique, **config}), engine)  # type: ignore[arg-type]
        events = EventWriter(engine, ANYTHING, engine.commands)
        await adapter.start(events)
        made.append(Gateway(adapter, events))
        return made[-1]

    yield make
    for each in made:
        await each.adapter.stop()


async def all_of(gateway: Gateway, scope: str) -> dict[str, bytes]:
    items = [item async for page in gateway.adapter.pages(scope) for item in page]
    assert len(items) == len(dict(items))
    return dict(items)


def told(valkey: ValkeyServer) -> list[tuple[str, object, object]]:
    """(type, old value, new value) of all events that wait, in their order."""
    found = []
    for stream in valkey.execute("KEYS", "{iii}:events:*"):
        for _id, fields in valkey.execute("XRANGE", stream, "-", "+"):
            event = json.loads(fields["e"])
            found.append((event["event_type"], event["old_value"], event["new_value"]))
    return found


async def test_what_is_set_is_there_and_the_value_before_is_returned(gateway: MakeGateway) -> None:
    adapter = (await gateway()).adapter
    assert await adapter.get("s", "k") is None
    assert await adapter.set("s", "k", b'{"a":1}', None) is None
    assert await adapter.set("s", "k", b"null", None) == b'{"a":1}'
    assert await adapter.get("s", "k") == b"null"
    assert await adapter.delete("s", "k", None) == b"null"
    assert await adapter.delete("s", "k", None) is None
    assert await adapter.groups() == []


async def test_numbers_and_the_order_of_members_stay_as_they_were_written(gateway: MakeGateway) -> None:
    adapter = (await gateway()).adapter
    exact = b'{"b":12345678901234567890123,"a":1.10,"b":1e400,"c":"\\u0000","d":[]}'
    await adapter.set("s", "k", exact, None)
    assert await adapter.get("s", "k") == exact


async def test_any_name_is_kept_and_none_is_taken_for_another(gateway: MakeGateway) -> None:
    one = await gateway()
    for scope in NAMES:
        for key in NAMES:
            await one.adapter.set(scope, key, json.dumps([scope[:50], key[:50]]).encode(), None)
    assert sorted(await one.adapter.groups()) == sorted(NAMES)
    for scope in NAMES:
        wanted = {key: json.dumps([scope[:50], key[:50]]).encode() for key in NAMES}
        assert await all_of(one, scope) == wanted
        assert await one.adapter.get(scope, NAMES[-1]) == wanted[NAMES[-1]]


async def test_a_scope_is_listed_in_pages_in_the_order_of_creation(
    gateway: MakeGateway, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(adapters, "PAGE_ROWS", 10)
    monkeypatch.setattr(adapters, "PAGE_BYTES", 100)
    one = await gateway()
    values = {f"k{n}": b'"%s"' % (b"x" * (5 * (n % 30))) for n in range(100)}
    for key, value in values.items():
        await one.adapter.set("s", key, value, None)
    await one.adapter.set("s", "k0", b"again", None)
    pages = [page async for page in one.adapter.pages("s")]
    assert [item for page in pages for item in page] == list({**values, "k0": b"again"}.items())
    assert all(len(page) <= 10 for page in pages)
    assert all(sum(len(value) for _key, value in page[:-1]) < 100 for page in pages)
    assert await all_of(one, "unknown") == {}


async def test_a_key_made_anew_while_its_scope_is_listed_does_not_come_twice(
    gateway: MakeGateway, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(adapters, "PAGE_ROWS", 1)
    one = await gateway()
    for key in ("a", "b", "c"):
        await one.adapter.set("s", key, b"1", None)
    keys = []
    async for page in one.adapter.pages("s"):
        keys += [key for key, _value in page]
        await one.adapter.delete("s", "a", None)
        await one.adapter.set("s", "a", b"2", None)
    assert keys == ["a", "b", "c"]


async def test_a_value_of_many_megabytes_goes_there_and_back(gateway: MakeGateway) -> None:
    adapter = (await gateway()).adapter
    value = b'"%s"' % (b"0123456789abcdef" * 2**20)
    await adapter.set("s", "k", value, None)
    assert await adapter.swap("s", "k", value, [value[:-2] + b'"'], None) == (True, None)
    assert await adapter.get("s", "k") == value[:-2] + b'"'


async def test_a_swap_needs_the_value_it_expects(gateway: MakeGateway) -> None:
    adapter = (await gateway()).adapter
    assert await adapter.swap("s", "k", b"1", [b"2"], None) == (False, None)
    assert await adapter.swap("s", "k", None, [b"1", b"2"], None) == (True, None)
    assert await adapter.swap("s", "k", None, [b"9"], None) == (False, b"2")
    assert await adapter.swap("s", "k", b"1", [b"9"], None) == (False, b"2")
    assert await adapter.swap("s", "k", b"2", [b"3"], None) == (True, None)
    assert await adapter.get("s", "k") == b"3"


async def test_counting_at_several_gateways_at_once_loses_nothing(gateway: MakeGateway) -> None:
    gateways = [await gateway() for _ in range(3)]
    await asyncio.gather(*(one.add("s", "counter") for one in gateways for _ in range(30)))
    assert await gateways[0].adapter.get("s", "counter") == b"90"


async def test_values_before_form_a_chain_when_gateways_write_at_once(gateway: MakeGateway) -> None:
    """Also of the first write, when there is no row to lock."""
    gateways = [await gateway() for _ in range(2)]
    for key in map(str, range(20)):
        writes = [one.adapter.set("s", key, b"%d" % n, None) for n, one in enumerate(gateways * 3)]
        befores = await asyncio.gather(*writes)
        last = await gateways[0].adapter.get("s", key)
        assert sorted([*befores, last], key=lambda value: value or b"") == [None, b"0", b"1", b"2", b"3", b"4", b"5"]


async def test_writes_tell_what_they_did(cluster: FakeCluster, valkey: ValkeyServer, gateway: MakeGateway) -> None:
    cluster.put(Trigger("t", "state", "f", b"{}"))
    one = await gateway()
    notice = one.notice("s", "k")
    await one.adapter.set("s", "k", b"1", notice)
    await one.adapter.set("s", "k", b"2", notice)
    await one.adapter.swap("s", "k", b"9", [b"10"], notice)
    await one.adapter.swap("s", "k", b"2", [b"3", b"4"], notice)
    await one.adapter.delete("s", "k", notice)
    await one.adapter.delete("s", "k", notice)
    assert told(valkey) == [
        ("state:created", None, 1),
        ("state:updated", 1, 2),
        ("state:updated", 2, 3),
        ("state:updated", 3, 4),
        ("state:deleted", 4, None),
        ("state:deleted", None, None),
    ]
    assert notice.target.outbox in cluster.nudges


async def test_events_of_a_key_are_in_the_order_of_its_writes_whichever_gateway_wrote(
    cluster: FakeCluster, valkey: ValkeyServer, gateway: MakeGateway
) -> None:
    cluster.put(Trigger("t", "state", "f", b"{}"))
    gateways = [await gateway() for _ in range(2)]
    await asyncio.gather(*(one.add("s", "counter", told=True) for one in gateways for _ in range(20)))
    assert [(old or 0, new) for _type, old, new in told(valkey)] == [(n, n + 1) for n in range(40)]


async def test_a_write_whose_event_cannot_be_kept_is_not_done(cluster: FakeCluster, gateway: MakeGateway) -> None:
    cluster.put(Trigger("t", "state", "f", b"{}"))
    one = await gateway()
    notice = one.notice("s", "k")
    await cluster.nodes[0].commands.close()
    with pytest.raises(Unavailable):
        await one.adapter.set("s", "k", b"1", notice)
    assert await one.adapter.get("s", "k") is None
    assert await one.adapter.set("s", "k", b"2", None) is None


async def test_a_restart_of_the_server_is_waited_for(gateway: MakeGateway, postgres: PostgresServer) -> None:
    one = await gateway()
    await one.adapter.set("s", "k", b"1", None)
    postgres.quit()
    reading = [asyncio.create_task(one.adapter.get("s", "k")) for _ in range(20)]
    writing = asyncio.create_task(one.adapter.set("s", "k2", b"2", None))
    await asyncio.sleep(0)
    await asyncio.to_thread(postgres.start)
    assert await asyncio.gather(*reading) == [b"1"] * 20
    assert await writing is None
    assert await one.adapter.get("s", "k2") == b"2"


async def test_a_server_that_stays_away_is_told(gateway: MakeGateway, postgres: PostgresServer) -> None:
    one = await gateway(outage_limit=0.3)
    postgres.quit()
    try:
        with pytest.raises(Unavailable, match="PostgreSQL cannot be reached"):
            await one.adapter.get("s", "k")
        with pytest.raises(Unavailable, match="PostgreSQL cannot be reached") as caught:
            await one.adapter.set("s", "k", b"1", None)
        assert not caught.value.maybe
        with pytest.raises(Unavailable, match="PostgreSQL cannot be reached"):
            await gateway(outage_limit=0.3)
    finally:
        postgres.start()


async def test_a_write_that_was_cut_off_may_have_happened(gateway: MakeGateway, postgres: PostgresServer) -> None:
    one = await gateway()
    blocker = await asyncpg.connect(postgres.url)
    await one.adapter.set("s", "k", b"1", None)
    lock = adapters._Id.of("s", "k").lock
    await blocker.execute("SELECT pg_advisory_lock($1)", lock)
    writing = asyncio.create_task(one.adapter.set("s", "k", b"2", None))
    waits = "SELECT pid FROM pg_locks WHERE locktype = 'advisory' AND NOT granted"
    pid = await eventually(lambda: blocker.fetchval(waits))
    await blocker.fetchval("SELECT pg_terminate_backend($1)", pid)
    with pytest.raises(Unavailable, match="connection to PostgreSQL was lost") as caught:
        await writing
    assert caught.value.maybe
    await blocker.close()
    assert await one.adapter.set("s", "k", b"3", None) == b"1"


async def test_a_connection_lost_after_a_write_was_answered_changes_nothing(
    gateway: MakeGateway, postgres: PostgresServer
) -> None:
    pool = (await gateway()).adapter._pool
    async with pool.connection() as connection:
        done = await connection.fetchval("SELECT 1")
        postgres.restart()  # nothing runs meanwhile: the connection does not know yet when it is given back
    assert done == 1


async def test_a_call_that_cannot_be_sent_did_not_happen(gateway: MakeGateway) -> None:
    adapter = (await gateway()).adapter
    await adapter.stop()
    with pytest.raises(Unavailable) as raised:
        await adapter.set("s", "k", b"1", None)
    assert not raised.value.maybe


async def test_a_key_locked_for_too_long_is_told(gateway: MakeGateway, postgres: PostgresServer) -> None:
    one = await gateway(statement_timeout_ms=50)
    blocker = await asyncpg.connect(postgres.url)
    await blocker.execute("SELECT pg_advisory_lock($1)", adapters._Id.of("s", "k").lock)
    with pytest.raises(asyncpg.QueryCanceledError, match="statement timeout"):
        await one.adapter.set("s", "k", b"1", None)
    await blocker.close()
    await one.adapter.set("s", "other", b"1", None)


async def test_more_calls_than_connections_take_turns(gateway: MakeGateway) -> None:
    one = await gateway(max_connections=2)
    await asyncio.gather(*(one.adapter.set("s", str(n), b"%d" % n, None) for n in range(200)))
    assert len(await all_of(one, "s")) == 200


async def test_gateways_that_start_at_once_make_one_table(gateway: MakeGateway) -> None:
    gateways = await asyncio.gather(*(gateway() for _ in range(4)))
    await gateways[0].adapter.set("s", "k", b"1", None)
    assert [await one.adapter.get("s", "k") for one in gateways] == [b"1"] * 4


async def test_a_role_that_may_create_nothing_uses_the_table_that_is_there(
    gateway: MakeGateway, postgres: PostgresServer, unique: str
) -> None:
    await gateway()
    owner = await asyncpg.connect(postgres.url)
    await owner.execute(f"CREATE ROLE {unique} LOGIN; GRANT SELECT, INSERT, UPDATE, DELETE ON {unique} TO {unique}")
    await owner.close()
    one = await gateway(url=postgres.url.replace("postgres@", f"{unique}@"))
    assert await one.adapter.set("s", "k", b"1", None) is None


async def test_clusters_in_one_database_have_a_table_each(cluster: FakeCluster, postgres: PostgresServer) -> None:
    tables = []
    for name in ("blue", "green"):
        engine = cluster.node(role=Role.GATEWAY, settings=Settings(cluster=name))
        tables.append(PostgresAdapter(PostgresConfig(url=postgres.url), engine)._table)
    assert tables == ["blue_state", "green_state"]


async def test_a_cluster_whose_name_makes_no_table_name_is_told_to_give_one(cluster: FakeCluster) -> None:
    engine = cluster.node(role=Role.GATEWAY, settings=Settings(cluster="x" * 60))
    with pytest.raises(BadConfig, match="give a `table`"):
        PostgresAdapter(PostgresConfig(url="postgresql://nowhere"), engine)
