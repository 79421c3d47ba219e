"""Asking admin ports, also those of hosts of our own, without ever blocking."""

import asyncio
from typing import Any

import msgspec

from .addresses import Address, connected

TIMEOUT = 2.0  # s


class Silent(Exception):
    """No usable answer."""


async def ask(address: Address, path: str) -> tuple[int, Any]:
    """HTTP status and JSON body of GET `path`. Raises Silent."""
    try:
        async with asyncio.timeout(TIMEOUT):
            reader, writer = await asyncio.open_connection(sock=await connected(address))
            try:
                writer.write(f"GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n".encode())
                answer = await reader.read()
            finally:
                writer.close()
        head, _, body = answer.partition(b"\r\n\r\n")
        return int(head.split(None, 2)[1]), msgspec.json.decode(body)
    except (OSError, ValueError, IndexError) as error:  # a timeout is an OSError, a decoding error a ValueError
        raise Silent(f"{type(error).__name__}: {error}") from None
