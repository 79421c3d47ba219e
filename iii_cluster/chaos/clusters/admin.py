"""Asking admin ports, also those of hosts of our own, without ever blocking."""

import asyncio
import os
import ssl
from http import HTTPStatus
from typing import Any

import msgspec

from iii_cluster.access.trust import untrusted
from iii_cluster.protocol.credentials import refused, token_headers

from .addresses import Address, connected, tls_of

TIMEOUT = 2.0  # s
HTTP = b"HTTP/"


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
        if not answer.startswith(HTTP):
            raise Silent(_no_admin_port(address))
        head, _, body = answer.partition(b"\r\n\r\n")
        status = int(head.split(None, 2)[1])
        if status == HTTPStatus.UNAUTHORIZED:
            raise Silent(refused("it", os.environ))
        return status, msgspec.json.decode(body)
    except ssl.SSLError as error:
        raise Silent(untrusted(f"{address.host}:{address.port}", error)) from None
    except ConnectionResetError:
        raise Silent(_no_admin_port(address)) from None
    except (OSError, ValueError, IndexError) as error:  # a timeout is an OSError, a decoding error a ValueError
        raise Silent(f"{type(error).__name__}: {error}") from None


def _no_admin_port(address: Address) -> str:
    wanted = "a certificate (--client-cert)" if address.secured is not None else "TLS (--tls)"
    return f"what listens there is no admin port, or wants {wanted}"
