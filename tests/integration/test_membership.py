"""Leases, the leader lease and the cluster map on a real server."""

import asyncio
import logging
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AsyncExitStack
from pathlib import Path

import msgspec
import pytest
from redis.asyncio import Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import OutOfMemoryError, ReadOnlyError

from iii_cluster.cluster.election import Election
from iii_cluster.cluster.keys import Keys
from iii_cluster.cluster.map import ClusterMap, NodeInfo, Role, decode_map, encode_map
from iii_cluster.cluster.membership import Membership
from iii_cluster.cluster.scripts import NO_SERVER, Scripts
from iii_cluster.config.settings import Settings
from tests.support.eventually import eventually
from tests.support.valkey import ValkeyServer

KEYS = Keys("test")
FAST = Settings(lease_ttl=0.6, lease_interval=0.1)
PATIENT = Settings(lease_ttl=200.0, lease_interval=100.0)
TTL_MS = 60_000


@pytest.fixture
def second(tmp_path: Path) -> Iterator[ValkeyServer]:
    directory = tmp_path / "second"
    directory.mkdir()
    server = ValkeyServer(directory)
    server.start()
    yield server
    server.close()


@pytest.fixture
async def redis(valkey: ValkeyServer) -> AsyncIterator[Redis]:
    client = Redis.from_url(valkey.url, retry=Retry(NoBackoff(), 1))
    yield client
    await client.aclose()


@pytest.fixture
def scripts(redis: Redis) -> Scripts:
    return Scripts(redis, KEYS)


@pytest.fixture
async def member(redis: Redis) -> AsyncIterator[Callable[..., Membership]]:
    """Makes memberships that leave at the end of the test."""
    async with AsyncExitStack() as stack:

        def make(node: str, settings: Settings = FAST) -> Membership:
            membership = Membership(redis, KEYS, info(node), settings)
            stack.push_async_callback(membership.leave)
            return membership

        yield make


@pytest.fixture
async def candidate(scripts: Scripts) -> AsyncIterator[Callable[[str], Election]]:
    """Makes candidates that stop competing at the end of the test."""
    async with AsyncExitStack() as stack:

        def make(node: str) -> Election:
            election = Election(scripts, node, FAST, lambda: 0)
            stack.push_async_callback(election.stop)
            return election

        yield make


def info(node: str) -> NodeInfo:
    return NodeInfo(id=node, role=Role.SHARD)


def led_by(leader: str, epoch: int, *nodes: NodeInfo) -> ClusterMap:
    infos = {node.id: node for node in (NodeInfo(id=leader, role=Role.COORDINATOR), *nodes)}
    return ClusterMap(term=1, epoch=epoch, leader=leader, nodes=infos)


def map_of(term: int, epoch: int, *nodes: str) -> ClusterMap:
    return ClusterMap(term=term, epoch=epoch, nodes={node: info(node) for node in nodes})


# -- leases


async def test_a_lease_carries_what_the_node_says_of_itself(scripts: Scripts) -> None:
    await scripts.renew_lease(info("a"), 1000, (0, 0))
    scan = await scripts.scan_leases(0, [])
    assert scan.leases["a"].info == info("a")
    assert 0 < scan.leases["a"].ms_left <= 1000


async def test_an_unrenewed_lease_expires(scripts: Scripts) -> None:
    await scripts.renew_lease(info("a"), 1, (0, 0))

    async def expired() -> bool:
        return (await scripts.scan_leases(0, [])).leases["a"].ms_left < 0

    await eventually(expired)


async def test_a_node_that_left_can_not_renew_under_its_old_id(scripts: Scripts) -> None:
    await scripts.renew_lease(info("a"), TTL_MS, (0, 0))
    await scripts.remove_leases(["a"])
    assert not (await scripts.renew_lease(info("a"), TTL_MS, (0, 0))).renewed
    scan = await scripts.scan_leases(0, ["a", "b"])
    assert scan.leases == {}
    assert scan.gone == {"a"}


async def test_a_process_that_joins_again_ends_what_it_was_before(scripts: Scripts) -> None:
    await scripts.renew_lease(info("a"), TTL_MS, (0, 0))
    assert (await scripts.renew_lease(info("a.2"), TTL_MS, (0, 0), predecessor="a")).renewed
    scan = await scripts.scan_leases(0, ["a", "a.2"])
    assert set(scan.leases) == {"a.2"}
    assert scan.gone == {"a"}
    assert not (await scripts.renew_lease(info("a"), TTL_MS, (0, 0))).renewed


async def test_a_lease_that_redis_forgot_to_be_over_counts_as_expired(scripts: Scripts) -> None:
    await scripts.renew_lease(info("a"), TTL_MS, (0, 0))
    await scripts.renew_lease(info("b"), TTL_MS, (0, 0))
    scan = await scripts.scan_leases(0, [], departed=["a", "c"])
    assert scan.leases["a"].ms_left <= 0
    assert scan.leases["b"].ms_left > 0
    assert set(scan.leases) == {"a", "b"}


async def test_a_deposed_leader_can_neither_scan_nor_remove(scripts: Scripts) -> None:
    await scripts.renew_lease(info("a"), TTL_MS, (0, 0))
    await scripts.acquire_leadership("c1", TTL_MS, 0, 4)
    assert not await scripts.remove_leases(["a"], term=4)
    assert not (await scripts.scan_leases(4, [])).current
    assert await scripts.remove_leases(["a"], term=5)


# -- the leader lease


async def test_only_one_candidate_leads(scripts: Scripts) -> None:
    first = await scripts.acquire_leadership("c1", TTL_MS, 0, 0)
    second = await scripts.acquire_leadership("c2", TTL_MS, 0, 0)
    assert (first.term, second.term, second.holder) == (1, 0, "c1")


async def test_a_leader_keeps_its_term_while_it_renews(scripts: Scripts) -> None:
    await scripts.acquire_leadership("c1", TTL_MS, 0, 0)
    assert (await scripts.acquire_leadership("c1", TTL_MS, 1, 1)).term == 1


async def test_every_leadership_has_a_higher_term(scripts: Scripts) -> None:
    await scripts.acquire_leadership("c1", TTL_MS, 0, 0)
    await scripts.release_leadership("c1")
    assert (await scripts.acquire_leadership("c2", TTL_MS, 0, 0)).term == 2
    await scripts.release_leadership("c2")
    assert (await scripts.acquire_leadership("c1", TTL_MS, 1, 1)).term == 3


async def test_the_term_grows_beyond_every_term_seen_even_if_redis_forgot_it(scripts: Scripts, redis: Redis) -> None:
    await scripts.acquire_leadership("c1", TTL_MS, 0, 0)
    await redis.flushall()
    assert (await scripts.acquire_leadership("c2", TTL_MS, 0, 8)).term == 9


async def test_the_lease_of_a_server_that_is_not_trusted_is_only_renewed(scripts: Scripts) -> None:
    free = await scripts.acquire_leadership("c1", TTL_MS, 0, 0, NO_SERVER)
    assert (free.term, free.holder) == (0, "")
    first = await scripts.acquire_leadership("c1", TTL_MS, 0, 0, free.server)
    assert first.term == 1
    assert (await scripts.acquire_leadership("c1", TTL_MS, 1, 1, NO_SERVER)).term == 1
    assert (await scripts.acquire_leadership("c1", TTL_MS, 0, 1, "another")).term == 0


async def test_a_server_that_lost_its_memory_is_another_one(scripts: Scripts, redis: Redis) -> None:
    before = (await scripts.acquire_leadership("c1", TTL_MS, 0, 0)).server
    assert (await scripts.scan_leases(1, [])).server == before
    assert (await scripts.renew_lease(info("a"), TTL_MS, (0, 0))).server == before
    await redis.flushall()
    assert (await scripts.acquire_leadership("c2", TTL_MS, 0, 1, before)).term == 0, "the leader may be alive"
    after = await scripts.acquire_leadership("c1", TTL_MS, 1, 1, before)
    assert after.term > 1
    assert after.server != before
    assert (await scripts.renew_lease(info("a"), TTL_MS, (0, 0))).server == after.server
    assert (await scripts.scan_leases(after.term, [])).server == after.server


async def test_a_standby_does_not_release_the_leader(scripts: Scripts) -> None:
    await scripts.acquire_leadership("c1", TTL_MS, 0, 0)
    assert not await scripts.release_leadership("c2")
    assert await scripts.release_leadership("c1")


# -- the map


async def test_the_map_is_written_one_epoch_after_the_other(scripts: Scripts) -> None:
    await scripts.acquire_leadership("c1", TTL_MS, 0, 0)
    assert await scripts.write_map(map_of(1, 5))
    assert not await scripts.write_map(map_of(1, 5))
    assert not await scripts.write_map(map_of(1, 7))
    assert await scripts.write_map(map_of(1, 6))


async def test_the_map_of_a_deposed_leader_is_refused(scripts: Scripts) -> None:
    await scripts.acquire_leadership("c1", TTL_MS, 0, 0)
    assert await scripts.write_map(map_of(1, 1))
    await scripts.release_leadership("c1")
    await scripts.acquire_leadership("c2", TTL_MS, 0, 0)
    assert not await scripts.write_map(map_of(1, 2))
    assert await scripts.write_map(map_of(2, 2))


async def test_a_restored_map_lifts_the_term_and_replaces_nothing_newer(scripts: Scripts) -> None:
    await scripts.acquire_leadership("c1", TTL_MS, 0, 0)
    await scripts.write_map(map_of(1, 1, "stranger"))
    assert await scripts.restore_map(map_of(5, 40, "a"))
    assert not await scripts.restore_map(map_of(4, 50, "b"))
    body = await scripts.read_map()
    assert body is not None
    assert set(decode_map(body).nodes) == {"a"}
    assert not await scripts.write_map(map_of(1, 41))
    assert (await scripts.acquire_leadership("c1", TTL_MS, 1, 1)).term == 6


# -- a server in trouble


async def test_a_full_server_keeps_leases_map_and_leadership(scripts: Scripts, redis: Redis) -> None:
    await redis.config_set("maxmemory", 1)
    with pytest.raises(OutOfMemoryError):
        await redis.set("anything", "more")
    assert (await scripts.renew_lease(info("a"), TTL_MS, (0, 0))).renewed
    assert (await scripts.acquire_leadership("c1", TTL_MS, 0, 0)).term == 1
    assert await scripts.write_map(map_of(1, 1, "a"))
    assert (await scripts.scan_leases(1, ["a"])).leases["a"].ms_left > 0
    assert await scripts.restore_map(map_of(2, 2, "a"))
    assert await scripts.remove_leases(["a"])
    assert await scripts.release_leadership("c1")


async def test_a_replica_is_asked_in_vain(scripts: Scripts, redis: Redis, second: ValkeyServer) -> None:
    await scripts.acquire_leadership("c1", TTL_MS, 0, 0)
    await redis.replicaof("127.0.0.1", second.port)
    for attempt in (
        scripts.renew_lease(info("a"), TTL_MS, (0, 0)),
        scripts.acquire_leadership("c1", TTL_MS, 1, 1),
        scripts.scan_leases(1, []),
        scripts.write_map(map_of(1, 1)),
    ):
        with pytest.raises(ReadOnlyError):
            await attempt
    await redis.replicaof("no", "one")
    assert (await scripts.renew_lease(info("a"), TTL_MS, (0, 0))).renewed


# -- membership


async def test_a_node_has_joined_once_the_map_contains_it(scripts: Scripts, member: Callable[..., Membership]) -> None:
    await scripts.acquire_leadership("c1", TTL_MS, 0, 0)
    a = member("a")
    seen: list[tuple[int, int]] = []
    a.subscribe(lambda old, new: seen.append((old.epoch, new.epoch)))
    await a.start()
    assert a.healthy
    await scripts.write_map(map_of(1, 1, "b"))
    await eventually(lambda: a.map.epoch == 1)
    await scripts.write_map(map_of(1, 2, "a", "b"))
    assert (await a.joined()).epoch == 2
    assert seen == [(0, 1), (1, 2)]


async def test_an_older_map_heard_late_is_ignored(member: Callable[..., Membership]) -> None:
    a = member("a")
    a.offer(encode_map(map_of(2, 7)))
    a.offer(encode_map(map_of(2, 6)))
    a.offer(encode_map(map_of(1, 9)))
    a.offer(b"garbage")
    assert a.map.version == (2, 7)


async def test_a_failing_subscriber_does_not_keep_the_map_from_others(member: Callable[..., Membership]) -> None:
    a = member("a")
    seen: list[int] = []

    def fail(_old: ClusterMap, _new: ClusterMap) -> None:
        raise ValueError

    a.subscribe(fail)
    a.subscribe(lambda _old, new: seen.append(new.epoch))
    a.offer(encode_map(map_of(1, 1)))
    assert seen == [1]


async def test_a_node_that_leaves_ends_its_lease(scripts: Scripts, member: Callable[..., Membership]) -> None:
    a = member("a")
    await a.start()
    await a.leave()
    assert not a.healthy
    assert (await scripts.scan_leases(0, ["a"])).gone == {"a"}


async def test_a_node_that_was_declared_dead_learns_it(scripts: Scripts, member: Callable[..., Membership]) -> None:
    a = member("a")
    await a.start()
    await scripts.remove_leases(["a"])
    await a.until_expelled()
    assert not a.healthy


async def test_a_node_that_a_newer_map_is_without_was_declared_dead(
    scripts: Scripts, member: Callable[..., Membership]
) -> None:
    a = member("a")
    await a.start()
    a.take(map_of(1, 1, "b"))
    a.take(map_of(1, 2, "a", "b"))
    assert not a.expelled
    a.take(map_of(1, 3, "b"))
    assert a.expelled
    assert not a.healthy


async def test_a_node_that_left_by_itself_was_not_declared_dead(member: Callable[..., Membership]) -> None:
    a = member("a")
    await a.start()
    a.take(map_of(1, 1, "a"))
    await a.leave()
    a.take(map_of(1, 2))
    assert not a.expelled


async def test_a_node_whose_lease_runs_out_is_fenced_until_it_is_renewed(
    member: Callable[..., Membership], valkey: ValkeyServer, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    a = member("a")
    told: list[bool] = []
    a.subscribe_lease(lambda: told.append(a.healthy))
    await a.start()
    valkey.pause()
    await eventually(lambda: "action=fenced node=a" in caplog.text)
    assert told == [False]
    assert not a.healthy
    valkey.resume()
    await eventually(lambda: "action=unfenced node=a" in caplog.text)
    assert told == [False, True]
    assert a.healthy


async def test_a_node_that_begins_to_drain_waits_until_the_map_says_so(
    scripts: Scripts, redis: Redis, member: Callable[..., Membership]
) -> None:
    await scripts.acquire_leadership("c1", TTL_MS, 0, 0)
    a = member("a", PATIENT)
    await a.start()
    a.take(led_by("c1", 1, info("a")))
    draining = asyncio.create_task(a.begin_drain())

    async def told() -> bool:
        lease = (await scripts.scan_leases(1, [])).leases["a"]
        return lease.info is not None and lease.info.draining

    await eventually(told)
    assert a.draining
    assert not draining.done()
    a.take(led_by("c1", 2, msgspec.structs.replace(info("a"), draining=True)))
    await draining
    await a.begin_drain()


async def test_a_node_that_drains_does_not_wait_when_nobody_would_answer(
    member: Callable[..., Membership],
) -> None:
    stranger, leaderless = member("a", PATIENT), member("b", PATIENT)
    await stranger.start()
    await leaderless.start()
    stranger.take(led_by("c1", 1))
    leaderless.take(map_of(1, 1, "b"))
    await stranger.begin_drain()
    await leaderless.begin_drain()
    assert stranger.draining


async def test_a_node_that_drains_waits_for_a_silent_leader_only_a_moment(member: Callable[..., Membership]) -> None:
    a = member("a")
    await a.start()
    a.take(led_by("c1", 1, info("a")))
    await a.begin_drain()
    assert a.draining


async def test_who_is_gone_stays_gone_when_redis_forgot_it(
    scripts: Scripts, member: Callable[..., Membership], valkey: ValkeyServer
) -> None:
    a = member("a")
    await a.start()
    a.take(map_of(1, 1, "a", "dead"))
    a.take(map_of(1, 2, "a"))
    valkey.restart()

    async def reminded() -> bool:
        return (await scripts.scan_leases(1, ["dead"])).gone == {"dead"}

    await eventually(reminded)
    assert not (await scripts.renew_lease(info("dead"), TTL_MS, (0, 0))).renewed


async def test_without_redis_a_node_keeps_its_map_and_is_unhealthy_until_it_is_back(
    scripts: Scripts, member: Callable[..., Membership], valkey: ValkeyServer
) -> None:
    await scripts.acquire_leadership("c1", TTL_MS, 0, 0)
    await scripts.write_map(map_of(1, 1, "a"))
    a = member("a")
    await a.start()
    await a.joined()
    valkey.kill()
    await eventually(lambda: not a.healthy)
    assert set(a.map.nodes) == {"a"}
    valkey.start()
    await eventually(lambda: a.healthy)


async def test_the_map_comes_back_after_redis_lost_its_memory(
    scripts: Scripts, member: Callable[..., Membership], valkey: ValkeyServer, redis: Redis
) -> None:
    await scripts.acquire_leadership("c1", TTL_MS, 0, 3)
    await scripts.write_map(map_of(4, 1, "a"))
    a = member("a")
    await a.start()
    await a.joined()
    valkey.restart()
    await redis.connection_pool.disconnect()
    await eventually(scripts.read_map)
    assert (await scripts.acquire_leadership("c2", TTL_MS, 0, 0)).term == 5
    assert await scripts.write_map(msgspec.structs.replace(a.map, term=5, epoch=2))
    await eventually(lambda: a.map.version == (5, 2))


# -- election


async def test_a_standby_leads_when_the_leader_gives_up(candidate: Callable[[str], Election]) -> None:
    first, second = candidate("c1"), candidate("c2")
    first.start()
    await eventually(lambda: first.term == 1)
    second.start()
    await first.stop()
    assert first.term == 0
    await eventually(lambda: second.term == 2)


async def test_a_leader_that_can_not_renew_steps_down(
    candidate: Callable[[str], Election], valkey: ValkeyServer
) -> None:
    elected: list[int] = []
    deposed: list[bool] = []
    leader = candidate("c1")
    leader.on_elected = elected.append
    leader.on_deposed = lambda: deposed.append(True)
    leader.start()
    await eventually(lambda: elected)
    valkey.pause()
    await eventually(lambda: deposed)
    assert leader.term == 0
    valkey.resume()
    await eventually(lambda: len(elected) == 2)
    assert elected[1] > elected[0]


async def test_who_leads_after_redis_lost_its_memory_is_told_the_term_first(
    candidate: Callable[[str], Election], member: Callable[..., Membership], scripts: Scripts, valkey: ValkeyServer
) -> None:
    """The candidate knows of no term but its own first one; others have seen a later leader."""
    a = member("a")
    await a.start()
    first = candidate("c1")
    first.start()
    await eventually(lambda: first.term == 1)
    await first.stop()
    standby = candidate("c2")
    assert (await scripts.acquire_leadership("c3", TTL_MS, 0, 6)).term == 7
    await scripts.write_map(map_of(7, 1, "a"))
    standby.start()
    await a.joined()
    valkey.restart()
    await eventually(lambda: standby.term)
    assert standby.term == 8


async def test_a_leader_goes_on_at_a_server_that_took_over(
    candidate: Callable[[str], Election], redis: Redis, valkey: ValkeyServer
) -> None:
    leader = candidate("c1")
    terms: list[int] = []
    leader.on_elected = terms.append
    leader.start()
    await eventually(lambda: terms == [1])
    valkey.restart()
    await eventually(lambda: len(terms) == 2)
    assert terms == [1, 2]
