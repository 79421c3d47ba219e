"""Pipelined commands to a real server that is killed, restarted, demoted, stopped or made to forget its scripts."""

import asyncio
from collections.abc import AsyncIterator, Callable
from hashlib import sha1
from pathlib import Path

import pytest
from redis.exceptions import DataError, ResponseError

from iii_cluster.redis.commands import BIG, MAX_BATCH, Commands, Unavailable
from iii_cluster.redis.script import Script
from tests.support.eventually import eventually
from tests.support.proxy import Proxy
from tests.support.valkey import ValkeyServer

PATIENCE = 1.0  # seconds
PACKAGE = "iii_cluster.modules.cron"  # has small scripts

Make = Callable[..., Commands]


def script(source: str) -> Script:
    """A script that no file holds."""
    made = Script(PACKAGE, "leave.lua")
    made.source = source.encode()
    made.sha = sha1(made.source, usedforsecurity=False).hexdigest().encode()
    return made


SET = script("#!lua\nredis.call('SET', KEYS[1], ARGV[1]) return redis.status_reply('OK')")
PUSH = script("#!lua\nreturn redis.call('RPUSH', KEYS[1], ARGV[1])")
FAIL = script("#!lua\nreturn redis.error_reply('NOPE it is refused')")


@pytest.fixture
async def make() -> AsyncIterator[Make]:
    made: list[Commands] = []

    def commands(url: str, patience: float = PATIENCE) -> Commands:
        made.append(Commands(url, "test", patience))
        return made[-1]

    yield commands
    for each in made:
        await each.close()


@pytest.fixture
async def commands(make: Make, valkey: ValkeyServer) -> Commands:
    return make(valkey.url)


# -- replies and order


async def test_replies_are_bytes_and_numbers(commands: Commands) -> None:
    assert await commands.execute("SET", "k", b"\x00\xff") == b"OK"
    assert await commands.execute("GET", "k") == b"\x00\xff"
    assert await commands.execute("GET", "missing") is None
    assert await commands.execute("INCRBY", "n", 5) == 5
    assert await commands.run(SET, ["s"], [1.5]) == b"OK"
    assert await commands.execute("MGET", "s", "n") == [b"1.5", b"5"]


async def test_values_of_every_size_and_kind_arrive_in_order(commands: Commands) -> None:
    sizes = [0, 1, BIG - 100, BIG, 10 * BIG, 3]
    values = [bytes(n % 256 for n in range(size)) for size in sizes]
    given = [commands.execute("RPUSH", "ü\0 k", value, "é" * len(value), 0.1, -(2**62)) for value in values]
    assert await asyncio.gather(*given) == [4 * n for n in range(1, 7)]
    stored = await commands.execute("LRANGE", "ü\0 k".encode(), 0, -1)
    assert stored == [each for v in values for each in (v, ("é" * len(v)).encode(), b"0.1", b"%d" % -(2**62))]


async def test_a_refused_command_does_not_concern_its_neighbours(commands: Commands) -> None:
    given = [
        commands.execute("SET", "k", "v"),
        commands.execute("INCR", "k"),
        commands.run(FAIL, ["k"]),
        commands.execute("NONSENSE"),
        commands.execute("GET", "k"),
    ]
    set_, incr, fail, nonsense, get = await asyncio.gather(*given, return_exceptions=True)
    assert (set_, get) == (b"OK", b"v")
    assert all(isinstance(error, ResponseError) for error in (incr, fail, nonsense))
    assert str(fail).startswith("NOPE")


async def test_what_cannot_be_sent_does_not_concern_its_neighbours(commands: Commands) -> None:
    given = [
        commands.execute("SET", "k", "v"),
        commands.execute("SET", "k", None),  # type: ignore[arg-type]
        commands.execute("SET", "k", "\ud800"),
        commands.execute("GET", "k"),
    ]
    async with asyncio.timeout(10):
        set_, nothing, surrogate, get = await asyncio.gather(*given, return_exceptions=True)
        assert (set_, get) == (b"OK", b"v")
        assert isinstance(nothing, DataError)
        assert isinstance(surrogate, UnicodeEncodeError)
        assert await commands.execute("GET", "k") == b"v"


async def test_commands_are_executed_in_the_order_in_which_they_are_given(commands: Commands) -> None:
    given = [commands.start(PUSH, ["l"], [n]) for n in range(3 * MAX_BATCH)]
    assert await asyncio.gather(*given) == list(range(1, 3 * MAX_BATCH + 1))
    assert await commands.execute("LRANGE", "l", 0, -1) == [b"%d" % n for n in range(3 * MAX_BATCH)]


async def test_what_is_given_in_one_turn_travels_together(make: Make, valkey: ValkeyServer) -> None:
    commands = make(valkey.url)
    await commands.execute("PING")
    calls = valkey.execute("INFO", "stats")["total_reads_processed"]
    await asyncio.gather(*(commands.execute("INCR", "n") for _ in range(MAX_BATCH)))
    later = valkey.execute("INFO", "stats")["total_reads_processed"]
    assert later - calls < MAX_BATCH / 10


async def test_commands_given_while_others_are_on_their_way_are_not_lost(commands: Commands) -> None:
    async def one(n: int) -> int:
        await asyncio.sleep(0)
        await commands.execute("RPUSH", "l", n)
        await asyncio.sleep(n % 3 / 1000)
        await commands.execute("INCR", "n")
        return n

    assert await asyncio.gather(*(one(n) for n in range(200))) == list(range(200))
    assert await commands.execute("LLEN", "l") == 200
    assert await commands.execute("GET", "n") == b"200"


async def test_who_gives_up_waiting_does_not_get_somebody_elses_reply(commands: Commands) -> None:
    await commands.execute("PING")
    given = [asyncio.ensure_future(commands.execute("ECHO", n)) for n in range(50)]
    await asyncio.sleep(0)
    for future in given[::2]:
        future.cancel()
    assert await asyncio.gather(*given[1::2]) == [b"%d" % n for n in range(1, 50, 2)]
    assert await commands.execute("ECHO", "next") == b"next"


# -- scripts


async def test_scripts_that_the_server_forgot_are_loaded_again(commands: Commands, valkey: ValkeyServer) -> None:
    await commands.run(PUSH, ["l"], ["a"])
    valkey.execute("SCRIPT", "FLUSH")
    given = [commands.run(PUSH, ["l"], [n]) for n in range(5)]
    assert await asyncio.gather(*given, commands.run(SET, ["k"], ["v"])) == [2, 3, 4, 5, 6, b"OK"]
    assert valkey.execute("LRANGE", "l", 0, -1) == ["a", "0", "1", "2", "3", "4"]


async def test_what_follows_a_script_that_the_server_does_not_know_yet_is_executed_after_it(
    commands: Commands,
) -> None:
    first = commands.start(SET, ["k"], ["new"])
    then = commands.execute("GET", "k")
    assert await then == b"new"
    assert await first == b"OK"


async def test_a_script_that_the_server_cannot_compile_is_an_error(commands: Commands) -> None:
    with pytest.raises(ResponseError):
        await commands.run(script("#!lua\nthis is no lua"), ["k"])
    assert await commands.execute("PING") == b"PONG"


# -- the server is away


async def test_a_server_that_is_away_is_waited_for(make: Make, valkey: ValkeyServer) -> None:
    commands = make(valkey.url, patience=30.0)
    await commands.execute("PING")
    valkey.kill()
    waiting = [asyncio.ensure_future(commands.execute("RPUSH", "l", n, again=True)) for n in range(3)]
    await asyncio.sleep(0.1)
    waiting += [asyncio.ensure_future(commands.run(PUSH, ["l"], [n])) for n in range(3, 6)]
    await asyncio.to_thread(valkey.start)
    assert await asyncio.gather(*waiting) == [1, 2, 3, 4, 5, 6]
    assert valkey.execute("LRANGE", "l", 0, -1) == ["0", "1", "2", "3", "4", "5"]


async def test_a_server_that_restarted_meanwhile_leaves_no_doubt(commands: Commands, valkey: ValkeyServer) -> None:
    await commands.execute("SET", "n", "1")
    valkey.kill()
    await asyncio.to_thread(valkey.start)
    commands._used = 0.0  # long ago
    assert await commands.execute("INCR", "n") > 0


async def test_patience_has_an_end(commands: Commands, valkey: ValkeyServer) -> None:
    valkey.kill()
    with pytest.raises(Unavailable, match="cannot be reached") as caught:
        await commands.execute("SET", "k", "v")
    assert not caught.value.maybe  # it was never sent
    await asyncio.to_thread(valkey.start)
    assert await commands.execute("SET", "k", "v") == b"OK"


async def test_what_was_sent_to_a_server_that_died_may_have_been_executed(make: Make, valkey: ValkeyServer) -> None:
    async with Proxy(valkey.port) as proxy:
        commands = make(proxy.url, patience=30.0)
        await commands.execute("PING")
        proxy.mute()  # the server does it, and its reply gets lost
        once = asyncio.ensure_future(commands.execute("INCR", "once"))
        twice = asyncio.ensure_future(commands.execute("INCR", "twice", again=True))
        await eventually(lambda: valkey.execute("GET", "once") == "1")
        later = asyncio.ensure_future(commands.execute("INCR", "later"))
        proxy.reset()
        with pytest.raises(Unavailable) as caught:
            await once
        assert caught.value.maybe
        assert await twice == 2
        assert await later == 1
        assert valkey.execute("GET", "once") == "1"


async def test_replies_that_arrived_before_the_connection_broke_count(make: Make, valkey: ValkeyServer) -> None:
    commands = make(valkey.url, patience=30.0)
    first = asyncio.ensure_future(commands.execute("SET", "k", "v"))
    kill = asyncio.ensure_future(commands.execute("CLIENT", "KILL", "TYPE", "normal", "SKIPME", "no"))
    last = asyncio.ensure_future(commands.execute("INCR", "n"))
    await asyncio.wait([first, kill, last])
    assert first.result() == b"OK"
    error = last.exception()
    assert error is None or (isinstance(error, Unavailable) and error.maybe)
    assert await commands.execute("GET", "k") == b"v"


async def test_a_server_that_hangs_does_not_hang_its_users(make: Make, valkey: ValkeyServer) -> None:
    commands = make(valkey.url, patience=PATIENCE)
    await commands.execute("PING")
    valkey.pause()
    try:
        async with asyncio.timeout(25):
            given = [commands.execute("INCR", "n"), commands.execute("GET", "n", again=True)]
            done = await asyncio.gather(*given, return_exceptions=True)
            assert all(isinstance(error, Unavailable) for error in done)
            with pytest.raises(Unavailable) as caught:  # it accepts connections, and that is all
                await commands.execute("INCR", "other")
            assert not caught.value.maybe
    finally:
        valkey.resume()
    assert await commands.execute("PING", again=True) == b"PONG"


async def test_a_server_that_keeps_answering_has_all_the_time_it_needs(
    make: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("iii_cluster.redis.commands.REPLY_TIMEOUT", 1.0)

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while line := await reader.readline():
                words = []
                for _ in range(int(line[1:])):
                    size = int((await reader.readline())[1:])
                    words.append((await reader.readexactly(size + 2))[:-2])
                if words[0] == b"GET":
                    await asyncio.sleep(0.3)
                writer.write(b":1\r\n" if words[0] == b"GET" else b"+OK\r\n")
        except (ConnectionError, asyncio.IncompleteReadError):
            pass
        finally:
            writer.close()

    async with await asyncio.start_server(serve, "127.0.0.1", 0) as server:
        commands = make(f"redis://127.0.0.1:{server.sockets[0].getsockname()[1]}?protocol=2", patience=10.0)
        assert await asyncio.gather(*(commands.execute("GET", "big") for _ in range(5))) == [1] * 5
        await commands.close()


# -- a server that is not in charge


async def test_a_replica_is_asked_again_until_it_is_a_primary(make: Make, tmp_path: Path, valkey: ValkeyServer) -> None:
    other = ValkeyServer(tmp_path, "other")
    other.start()
    try:
        commands = make(valkey.url, patience=30.0)
        await commands.execute("PING")
        await asyncio.to_thread(valkey.follow, other)
        write = asyncio.ensure_future(commands.execute("INCR", "n"))
        script_write = asyncio.ensure_future(commands.run(PUSH, ["l"], ["a"]))
        await asyncio.sleep(0.2)
        assert not write.done()
        valkey.promote()
        assert (await write, await script_write) == (1, 1)
    finally:
        other.close()


async def test_a_server_that_stays_a_replica_was_surely_not_written_to(
    make: Make, tmp_path: Path, valkey: ValkeyServer
) -> None:
    other = ValkeyServer(tmp_path, "other")
    other.start()
    try:
        commands = make(valkey.url)
        await asyncio.to_thread(valkey.follow, other)
        with pytest.raises(Unavailable, match="no writes") as caught:
            await commands.execute("INCR", "n")
        assert not caught.value.maybe
    finally:
        other.close()


async def test_a_server_that_still_loads_its_data_is_waited_for(make: Make) -> None:
    """It answers, but with LOADING: nothing was done."""
    asked = 0

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal asked
        try:
            while line := await reader.readline():
                words = []
                for _ in range(int(line[1:])):
                    size = int((await reader.readline())[1:])
                    words.append((await reader.readexactly(size + 2))[:-2])
                asked += words[0] == b"INCR"
                loading = words[0] == b"INCR" and asked <= 2
                reply = b"-LOADING Redis is loading the dataset in memory\r\n" if loading else b":1\r\n"
                writer.write(reply if words[0] == b"INCR" else b"+OK\r\n")
        except (ConnectionError, asyncio.IncompleteReadError):
            pass
        finally:
            writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    async with server:
        commands = make(f"redis://127.0.0.1:{server.sockets[0].getsockname()[1]}?protocol=2", patience=10.0)
        assert await commands.execute("INCR", "n") > 0
        assert asked == 3
        await commands.close()


# -- the end


async def test_what_waits_at_the_end_fails(make: Make, valkey: ValkeyServer) -> None:
    commands = make(valkey.url, patience=30.0)
    valkey.kill()
    waiting = [asyncio.ensure_future(commands.execute("SET", "k", n)) for n in range(3)]
    await asyncio.sleep(0.1)
    await commands.close()
    for error in await asyncio.gather(*waiting, return_exceptions=True):
        assert isinstance(error, Unavailable)
        assert not error.maybe
    with pytest.raises(Unavailable, match="the process stops"):
        await commands.execute("PING")
    await commands.close()


async def test_what_is_on_its_way_at_the_end_may_have_been_executed(make: Make, valkey: ValkeyServer) -> None:
    async with Proxy(valkey.port) as proxy:
        commands = make(proxy.url)
        await commands.execute("PING")
        proxy.mute()
        sent = asyncio.ensure_future(commands.execute("INCR", "n"))
        await eventually(lambda: valkey.execute("GET", "n") == "1")
        await commands.close()
        with pytest.raises(Unavailable) as caught:
            await sent
        assert caught.value.maybe
