"""Data that was there before: a reference engine keeps no list of its streams and groups."""

import logging

from iii_cluster.redis.commands import Commands

from .names import DataKeys

PAGE = 1000  # keys looked at in one step

log = logging.getLogger(__name__)


async def adopt(commands: Commands, keys: DataKeys, prefix: str) -> None:
    """Enter every group that is stored under `prefix` into the lists. What is there stays as it is.

    A key tells a stream from its group by the first colon.
    """
    first = f"{prefix}stream:".encode()
    cursor, found = b"0", 0
    while True:
        cursor, page = await commands.execute(
            b"SCAN", cursor, b"MATCH", _literal(first) + b"*", b"COUNT", PAGE, b"TYPE", b"hash", again=True
        )
        for key in page:
            stream, colon, group = key.removeprefix(first).partition(b":")
            if colon:
                name = stream.replace(b"%3A", b":").replace(b"%25", b"%")
                await commands.execute(b"SADD", keys.groups(name.decode(errors="replace")), group, again=True)
                await commands.execute(b"SADD", keys.streams, name, again=True)
                found += 1
        if cursor == b"0":
            break
    log.info("action=streams_adopted prefix=%r groups=%d", prefix, found)


def _literal(text: bytes) -> bytes:
    """As a pattern that matches itself only."""
    return b"".join(b"\\" + bytes([c]) if c in b"*?[]\\" else bytes([c]) for c in text)
