"""What keeps every client out of a gateway for good, found before any load is put on it."""

import asyncio
import os
import ssl
from http import HTTPStatus

from websockets.asyncio.client import connect
from websockets.exceptions import InvalidHandshake, InvalidMessage, InvalidStatus

from iii_cluster.access.trust import untrusted
from iii_cluster.protocol.credentials import refused, token_headers

from .addresses import Address, connected, tls_of
from .cluster import Process

TLS_TIMEOUT = 2.0  # s
TOKEN_TIMEOUT = 6.0  # s; a refusal may be held back for 3


async def refusal(gateway: Process) -> str:
    """Why it lets nobody in; "" if it does, or may do so soon."""
    for address in (gateway.stream, gateway.http, gateway.worker):
        if address is not None and address.secured is not None and (why := await _untrusted(address)):
            return why
    return await _unknown(gateway.worker) if gateway.worker is not None else ""


async def _untrusted(address: Address) -> str:
    try:
        async with asyncio.timeout(TLS_TIMEOUT):
            _, writer = await asyncio.open_connection(sock=await connected(address), **tls_of(address.secured))
        writer.transport.abort()
    except ssl.SSLError as error:
        return untrusted(f"{address.host}:{address.port}", error)
    except OSError:
        pass
    return ""


async def _unknown(worker: Address) -> str:
    """Whether the port for workers wants a token that is not shown."""
    url = f"{'ws' if worker.secured is None else 'wss'}://{worker.host}:{worker.port}/"
    try:
        async with asyncio.timeout(TOKEN_TIMEOUT):
            socket = await connect(
                url,
                sock=await connected(worker),
                open_timeout=None,
                additional_headers=token_headers(os.environ),
                compression=None,
                proxy=None,
                **tls_of(worker.secured),
            )
        socket.transport.abort()
    except InvalidStatus as error:
        if error.response.status_code == HTTPStatus.UNAUTHORIZED:
            return refused("the gateway", os.environ)
    except (OSError, InvalidHandshake, InvalidMessage, EOFError):
        pass
    return ""
