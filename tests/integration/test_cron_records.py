"""The records of jobs, in a real server."""

from collections.abc import AsyncIterator

import pytest

from iii_cluster.modules.cron.core import SECOND
from iii_cluster.modules.cron.records import BEFORE, CLAIMED, EARLY, Fenced, Records
from iii_cluster.redis.commands import Commands
from tests.support.valkey import ValkeyServer

JOB = "cron:j"
KEY = "{test}:cron:j"


@pytest.fixture
async def records(valkey: ValkeyServer) -> AsyncIterator[Records]:
    commands = Commands(valkey.url, "test", 5.0)
    yield Records(commands, "{test}")
    await commands.close()


async def test_a_job_is_known_since_it_was_taken_first(records: Records) -> None:
    now, first = await records.take(JOB, 1)
    later, again = await records.take(JOB, 2)
    assert (first.known, first.tick, first.started) == (now, 0, 0)
    assert again.known == now < later
    assert abs(await records.now() - later) < 60 * SECOND


async def test_a_tick_is_claimed_once_and_when_its_time_has_come(records: Records) -> None:
    now, _ = await records.take(JOB, 1)
    tick = now // SECOND
    assert (await records.claim(JOB, 1, tick))[0] == CLAIMED
    assert (await records.claim(JOB, 1, tick))[0] == CLAIMED  # the reply was lost, it is sent again
    assert (await records.claim(JOB, 1, tick - 1))[0] == BEFORE
    assert (await records.claim(JOB, 1, tick + 3600))[0] == EARLY
    await records.finish(JOB, 1, tick, tick)
    assert (await records.claim(JOB, 1, tick))[0] == BEFORE


async def test_a_later_owner_fences_the_earlier_one(records: Records) -> None:
    now, _ = await records.take(JOB, 1)
    tick = now // SECOND
    await records.claim(JOB, 1, tick - 1)
    _, record = await records.take(JOB, 2)
    assert (record.tick, record.started > 0) == (tick - 1, True)
    with pytest.raises(Fenced):
        await records.claim(JOB, 1, tick)
    with pytest.raises(Fenced):
        await records.take(JOB, 1)
    await records.finish(JOB, 1, tick - 1, tick)  # counts for nothing any more
    await records.leave(JOB, 1)
    _, record = await records.take(JOB, 2)
    assert (record.known, record.tick, record.started > 0) == (record.known, tick - 1, True)
    assert record.known <= now
    assert (await records.claim(JOB, 2, tick - 1))[0] == BEFORE  # it is the other one's
    assert (await records.claim(JOB, 2, tick))[0] == CLAIMED


async def test_the_gateway_that_got_the_call_is_known_until_the_tick_is_done(records: Records) -> None:
    now, record = await records.take(JOB, 1)
    tick = now // SECOND
    assert record.gateway == ""
    await records.claim(JOB, 1, tick - 1)
    await records.sent(JOB, 1, tick - 1, "gateway-1")
    await records.sent(JOB, 1, tick - 1, "gateway-2")
    await records.sent(JOB, 1, tick - 2, "gateway-3")
    assert (await records.take(JOB, 1))[1].gateway == "gateway-2"
    await records.finish(JOB, 1, tick - 1, tick - 1)
    await records.sent(JOB, 1, tick - 1, "gateway-3")  # the write came late
    await records.claim(JOB, 1, tick)
    assert (await records.take(JOB, 2))[1].gateway == ""
    await records.sent(JOB, 1, tick, "gateway-3")
    assert (await records.take(JOB, 2))[1].gateway == ""
    await records.sent(JOB, 2, tick, "gateway-3")
    assert (await records.take(JOB, 2))[1].gateway == "gateway-3"


async def test_skipped_ticks_are_remembered(records: Records) -> None:
    now, _ = await records.take(JOB, 1)
    tick = now // SECOND
    await records.claim(JOB, 1, tick - 5)
    await records.finish(JOB, 1, tick - 5, tick - 2)
    _, record = await records.take(JOB, 2)
    assert (record.tick, record.started) == (tick - 2, 0)
    assert (await records.claim(JOB, 2, tick - 2))[0] == BEFORE


async def test_a_job_that_was_gone_is_known_anew(records: Records) -> None:
    now, _ = await records.take(JOB, 1)
    await records.claim(JOB, 1, now // SECOND)
    await records.leave(JOB, 1)
    later, record = await records.take(JOB, 1)
    assert record.known == later > now
    assert record.started > 0  # its handler may still run


async def test_records_of_jobs_that_nobody_wants_go_away(valkey: ValkeyServer, records: Records) -> None:
    now, _ = await records.take(JOB, 1)
    assert valkey.execute("PTTL", KEY) > 0
    valkey.execute("PEXPIRE", KEY, 1000)
    await records.claim(JOB, 1, now // SECOND)
    assert valkey.execute("PTTL", KEY) > 1000
    valkey.execute("PEXPIRE", KEY, 1000)
    await records.keep([JOB, "cron:other"])
    assert valkey.execute("PTTL", KEY) > 1000


async def test_a_server_that_lost_its_memory_takes_claims_of_the_present_owner(
    valkey: ValkeyServer, records: Records
) -> None:
    now, _ = await records.take(JOB, 5)
    valkey.execute("FLUSHALL")
    tick = now // SECOND
    assert (await records.claim(JOB, 5, tick))[0] == CLAIMED
    later, record = await records.take(JOB, 6)
    assert (record.tick, record.known <= later) == (tick, True)
    valkey.execute("FLUSHALL")
    await records.finish(JOB, 6, tick, tick)
    await records.leave(JOB, 6)
    assert valkey.execute("EXISTS", KEY) == 0
