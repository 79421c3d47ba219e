"""Asking admin ports, also those of hosts of our own, without ever blocking."""

import asyncio
import os
import ssl
from http import HTTPStatus
from typing import Any

import msgspec

from iii_cluster.access.trust import untrusted
from iii_cluster.config.fields import TOKEN_VARIABLE
from iii_cluster.protocol.credentials import token_headers, token_variable

from .addresses import Address, connected, tls_of

TIMEOUT = 2.0  # s
WANTED = f"it wants a token; set {TOKEN_VARIABLE}"


class Silent(Exception):
    """No usable answer."""


async def ask(address: Address, path: str) -> tuple[int, Any]:
    """HTTP status and JSON body of GET `path`. Raises Silent."""
    shown = "".join(f"{name}: {value}\r\n" for name, value in token_headers(os.environ).items())
    asked = f"GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n{shown}\r\n"
    try:
        async with asyncio.timeout(TIMEOUT):
            reader, writer = await asyncio.open_connection(sock=await connected(address), **tls_of(address.secured))
            try:
                writer.write(asked.encode())
                answer = await reader.read()
            finally:
                writer.close()
        head, _, body = answer.partition(b"\r\n\r\n")
        status = int(head.split(None, 2)[1])
        if status == HTTPStatus.UNAUTHORIZED:
            raise Silent(f"it does not accept the token in {name}" if (name := token_variable(os.environ)) else WANTED)
        return status, msgspec.json.decode(body)
    except ssl.SSLError as error:
        raise Silent(untrusted(f"{address.host}:{address.port}", error)) from None
    except (OSError, ValueError, IndexError) as error:  # a timeout is an OSError, a decoding error a ValueError
        raise Silent(f"{type(error).__name__}: {error}") from None
