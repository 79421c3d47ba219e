"""Ends of channels in this process, and the channels they are ends of."""

import asyncio
from typing import Any

import pytest

from gateway.channels import home as homes
from gateway.channels.channel import Channel
from gateway.channels.ends import ChannelClosed, ReaderEnd
from gateway.channels.home import LIFETIME, PROMISED, Home
from gateway.channels.pipe import MAX_BYTES
from iii_cluster.protocol.errors import EngineError
from iii_cluster.routing.ids import Ids
from tests.support.channel_world import FakeWire, attach


@pytest.fixture
def home() -> Home:
    return Home(Ids("gateway-00000001"))


async def _everything(reader: ReaderEnd) -> tuple[list[tuple[bytes, bool]], int, str]:
    received = []
    try:
        while True:
            received.append(await reader.receive())
    except ChannelClosed as closed:
        return received, closed.code, closed.reason


def _connect(channel: Channel, *, write: bool) -> FakeWire:
    wire = FakeWire()
    assert channel.take(write=write)
    attach(wire, channel.pipe, write=write)
    return wire


async def test_a_writer_waits_for_room(home: Home) -> None:
    channel = home.create(2, "")
    writer, reader = channel.attach_writer(), channel.attach_reader()
    await writer.send(b"1", True)
    await writer.send(b"2", False)
    third = asyncio.create_task(writer.send(b"3", True))
    await asyncio.sleep(0)
    assert not third.done()
    assert await reader.receive() == (b"1", True)
    await third
    writer.close(4000, "enough")
    assert await _everything(reader) == ([(b"2", False), (b"3", True)], 4000, "enough")
    assert not len(home)


async def test_a_message_of_any_size_passes_alone(home: Home) -> None:
    channel = home.create(64, "")
    writer, reader = channel.attach_writer(), channel.attach_reader()
    large = bytes(3 * MAX_BYTES)
    await writer.send(large, False)
    second = asyncio.create_task(writer.send(b"2", False))
    await asyncio.sleep(0)
    assert not second.done()
    assert await reader.receive() == (large, False)
    await second
    assert await reader.receive() == (b"2", False)


async def test_a_cancelled_receive_loses_nothing(home: Home) -> None:
    channel = home.create(64, "")
    writer, reader = channel.attach_writer(), channel.attach_reader()
    waiting = asyncio.create_task(reader.receive())
    await asyncio.sleep(0)
    await writer.send(b"1", True)  # handed to the task, which has not run yet
    waiting.cancel()
    await asyncio.wait([waiting])
    assert await reader.receive() == (b"1", True)


async def test_a_writer_that_waits_hears_that_the_reader_has_left(home: Home) -> None:
    channel = home.create(1, "")
    writer, reader = channel.attach_writer(), channel.attach_reader()
    await writer.send(b"1", True)
    waiting = asyncio.create_task(writer.send(b"2", True))
    await asyncio.sleep(0)
    reader.close(1011, "client gone")
    with pytest.raises(ChannelClosed, match="client gone"):
        await waiting
    with pytest.raises(ChannelClosed):
        await reader.receive()


async def test_who_has_closed_cannot_write(home: Home) -> None:
    writer = home.create(1, "").attach_writer()
    writer.close()
    with pytest.raises(ChannelClosed):
        await writer.send(b"", True)


async def test_the_other_end_is_told_when_somebody_comes(home: Home) -> None:
    channel = home.create(1, "")
    reader = channel.attach_reader()
    told: list[bool] = []
    reader.on_opened = lambda: told.append(True)
    assert not reader.opened
    wire = _connect(channel, write=True)
    assert reader.opened
    assert told == [True]
    assert not channel.take(write=True)
    assert wire.end is not None
    wire.end.on_message(b"x", False)
    assert reader.receive_nowait() == (b"x", False)
    assert reader.receive_nowait() is None


async def test_what_was_discarded_is_gone_unless_a_socket_uses_it(home: Home) -> None:
    unused = home.create(1, "")
    home.discard(unused)
    assert home.find(unused.id) is None
    used = home.create(1, "")
    reader = used.attach_reader()
    wire = _connect(used, write=True)
    home.discard(used)
    assert home.find(used.id) is None
    with pytest.raises(ChannelClosed):
        await reader.receive()
    assert wire.open
    assert wire.end is not None
    wire.end.on_message(b"next", False)
    assert wire.gone


def test_channels_that_nobody_came_for_go(home: Home) -> None:
    home.expire(1.0)
    untouched, half, whole = (home.create(1, "") for _ in range(3))
    waiting = _connect(half, write=False)
    writer, reader = _connect(whole, write=True), _connect(whole, write=False)
    home.expire(1.0 + LIFETIME)
    assert len(home) == 3
    home.expire(1.1 + LIFETIME)
    assert [home.find(channel.id) for channel in (untouched, half, whole)] == [None, None, whole]
    assert waiting.closed_with == (1011, "the other end was never taken")
    assert writer.open
    assert reader.open


def test_there_are_not_too_many(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(homes, "MAX_CHANNELS", 4)
    monkeypatch.setattr(homes, "MAX_OF_CREATOR", 2)
    first, _ = home.create(1, "a"), home.create(1, "a")
    with pytest.raises(EngineError, match="this worker"):
        home.create(1, "a")
    home.create(1, "b")
    home.create(1, "")
    with pytest.raises(EngineError, match="this gateway"):
        home.create(1, "c")
    home.remove(first)
    home.create(1, "a")


def test_workers_leave_room_for_http_requests_and_those_under_rules_for_other_workers(
    home: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(homes, "MAX_OF_WORKERS", 4)
    monkeypatch.setattr(homes, "MAX_OF_RESTRICTED", 2)
    for _ in range(2):
        guests = home.create(1, "a", restricted=True), home.create(1, "b", restricted=True)
        with pytest.raises(EngineError, match="under rules"):
            home.create(1, "c", restricted=True)
        others = [home.create(1, "d") for _ in range(2)]
        with pytest.raises(EngineError, match="the workers of this gateway"):
            home.create(1, "e")
        home.remove(guests[0])
        home.create(1, "b", restricted=True)
        with pytest.raises(EngineError, match="the workers of this gateway"):
            home.create(1, "a", restricted=True)
        assert home.create(1, "") is not None
        for channel in (*others, *list(home._channels.values())):
            home.remove(channel)


def test_a_gateway_waits_for_channels_in_use(home: Home) -> None:
    home.expire(100.0)
    assert not home.unfinished
    channel = home.create(1, "worker")
    assert home.unfinished  # somebody is about to come
    home.expire(100.1 + PROMISED)
    assert not home.unfinished
    writer = _connect(channel, write=True)
    home.expire(200.0 + PROMISED)
    assert home.unfinished
    writer.leave(1000)
    home.expire(300.0 + PROMISED)
    assert not home.unfinished  # nobody reads what it left


def test_refs_differ_in_their_direction_only(home: Home) -> None:
    channel = home.create(1, "")
    assert channel.writer_ref.replace(b"write", b"read") == channel.reader_ref
    assert channel.id.encode() in channel.writer_ref
    assert channel.opens(channel.key)
    assert not channel.opens(channel.key[:-1])
    assert not channel.opens("é")


def test_ends_of_types_that_are_not_text_are_told_apart(home: Home) -> None:
    channel: Any = home.create(1, "")
    writer, reader = _connect(channel, write=True), _connect(channel, write=False)
    assert writer.end is not None
    writer.end.on_message(b"t", True)
    writer.end.on_message(b"b", False)
    assert list(reader.inbox) == [(b"t", True), (b"b", False)]
