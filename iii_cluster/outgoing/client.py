"""One HTTP request and its answer, over connections to addresses that were judged. Everything of aiohttp is here."""

import asyncio
import os
import socket
import ssl
from collections.abc import Callable
from typing import Any

import aiohttp
from aiohttp.abc import AbstractResolver, ResolveResult

from .addresses import Address, read_address
from .answer import Answer, Headers
from .failures import ExchangeFailed, Reached
from .names import Names
from .urls import Target

# How long a connection waits for its next request (s): less than the 5 s after which widespread servers close it. One
# that is closed just as a POST is sent fails the call, which is not repeated then.
KEEPALIVE = 4.0
AGENT = "iii-cluster"


class Client:
    """`allows` has the last word on every address that is connected to."""

    def __init__(self, names: Names, allows: Callable[[Address], bool], max_response_bytes: int) -> None:
        self._limit = max_response_bytes
        connector = aiohttp.TCPConnector(
            resolver=_Resolver(names),
            use_dns_cache=False,  # `names` has one
            limit=0,  # `Places` counts
            keepalive_timeout=KEEPALIVE,
            ssl=ssl.create_default_context(),
            socket_factory=_only(allows),
        )
        self._session = aiohttp.ClientSession(
            connector=connector,
            cookie_jar=aiohttp.DummyCookieJar(),
            trust_env=False,  # no proxies: they would connect to what was not judged
            auto_decompress=False,
            timeout=aiohttp.ClientTimeout(total=None, sock_connect=None),  # the caller's
            headers={"User-Agent": AGENT, "Accept-Encoding": "identity"},
        )

    async def exchange(self, method: str, target: Target, headers: Headers, body: bytes) -> Answer:
        """Raises ExchangeFailed, and EngineError when the name of the host leads where it must not."""
        reached = Reached.NOTHING
        try:
            async with self._session.request(
                method, target.url, headers=headers, data=body or None, allow_redirects=False
            ) as response:
                reached = Reached.HEAD
                return Answer(
                    response.status,
                    await self._read(response),
                    response.headers.get("Content-Type", ""),
                    response.headers.get("Content-Encoding", "").strip().lower(),
                    response.headers.get("Location", ""),
                    response.headers.get("Retry-After", ""),
                )
        except (aiohttp.ClientConnectorError, aiohttp.ClientSSLError) as error:
            reason = f"could not connect to {target.place}: {_said(error)}"
            raise ExchangeFailed(Reached.NOTHING, reason, final=isinstance(error, aiohttp.ClientSSLError)) from None
        except aiohttp.ClientResponseError as error:
            raise ExchangeFailed(
                _at_least_sent(reached),
                f"{target.place} does not speak HTTP: {error.message[:200].partition(chr(10))[0]}",
                final=True,
            ) from None
        except aiohttp.ClientPayloadError:
            raise ExchangeFailed(Reached.HEAD, f"the answer of {target.place} broke off") from None
        except (aiohttp.ClientError, OSError, ValueError) as error:
            done = "while it answered" if reached is Reached.HEAD else "before it answered"
            reason = f"the connection to {target.place} was lost {done}: {_said(error)}"
            raise ExchangeFailed(_at_least_sent(reached), reason) from None

    async def _read(self, response: aiohttp.ClientResponse) -> bytes | None:
        """None as soon as it is clear that there is more than allowed; the connection is closed then."""
        if response.content_length is not None and response.content_length > self._limit:
            response.close()
            return None
        parts: list[bytes] = []
        size = 0
        async for part in response.content.iter_any():
            size += len(part)
            if size > self._limit:
                response.close()
                return None
            parts.append(part)
        return b"".join(parts)

    async def close(self) -> None:
        await self._session.close()
        await asyncio.sleep(0)  # transports close in the next round of the loop


class _Resolver(AbstractResolver):
    def __init__(self, names: Names) -> None:
        self._names = names

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_UNSPEC
    ) -> list[ResolveResult]:
        return [
            ResolveResult(
                hostname=host,
                host=address,
                port=port,
                family=socket.AF_INET6 if ":" in address else socket.AF_INET,
                proto=0,
                flags=socket.AI_NUMERICHOST,
            )
            for address in await self._names.addresses(host)
        ]

    async def close(self) -> None:
        pass


def _only(allows: Callable[[Address], bool]) -> Callable[[Any], socket.socket]:
    """Whatever was looked at before: no socket is made for an address that is not allowed."""

    def make(info: Any) -> socket.socket:
        family, kind, protocol, _, address = info
        if not allows(read_address(str(address[0]))):
            raise OSError("this address is not allowed")
        made = socket.socket(family, kind, protocol)
        made.setblocking(False)
        return made

    return make


def _at_least_sent(reached: Reached) -> Reached:
    return Reached.REQUEST if reached is Reached.NOTHING else reached


def _said(error: Exception) -> str:
    """In the words of the system, without what asyncio and aiohttp put around them."""
    inner = getattr(error, "os_error", None) or error
    if isinstance(inner, OSError) and not isinstance(inner, ssl.SSLError) and inner.errno:
        return os.strerror(inner.errno)
    return (getattr(inner, "strerror", None) or str(inner) or type(inner).__name__)[:200]
