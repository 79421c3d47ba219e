"""Where a Redis URL points, and which of several servers carries an inbox."""

import asyncio
import hashlib
import ssl
from collections.abc import Sequence
from typing import Any

from redis.asyncio.connection import parse_url

REDIS_PORT = 6379  # when the URL names none

_CERT_REQS = {"none": ssl.CERT_NONE, "optional": ssl.CERT_OPTIONAL, "required": ssl.CERT_REQUIRED}
_FALSE = ("0", "f", "false", "n", "no")


class Endpoint:
    """One Redis server: `redis://`, `rediss://` or `unix://`. Publishing knows no databases: `db` is ignored."""

    def __init__(self, url: str) -> None:
        """Raises ValueError for a URL redis-py does not understand."""
        options: dict[str, Any] = dict(parse_url(url))
        self.username: str | None = options.get("username")
        self.password: str | None = options.get("password")
        self.path: str | None = options.get("path")
        self.host: str = options.get("host", "localhost")
        self.port: int = options.get("port", REDIS_PORT)
        self.name = self.path or f"{self.host}:{self.port}"  # without credentials: for logs and placement
        self.tls = _tls(options) if url.startswith("rediss://") else None

    async def connect(self, protocol: asyncio.Protocol) -> None:
        """Open a connection; raises OSError."""
        loop = asyncio.get_running_loop()
        if self.path:
            await loop.create_unix_connection(lambda: protocol, self.path)
        else:
            await loop.create_connection(lambda: protocol, self.host, self.port, ssl=self.tls)


def _tls(options: dict[str, Any]) -> ssl.SSLContext:
    """A context from redis-py's query parameters `ssl_*`; verifies unless told otherwise."""
    context = ssl.create_default_context(cafile=options.get("ssl_ca_certs"), capath=options.get("ssl_ca_path"))
    context.check_hostname = str(options.get("ssl_check_hostname", "true")).lower() not in _FALSE
    requirement = str(options.get("ssl_cert_reqs", "required")).lower()
    if requirement not in _CERT_REQS:
        raise ValueError(f"ssl_cert_reqs is none, optional or required, not {requirement}")
    mode = _CERT_REQS[requirement]
    if mode == ssl.CERT_NONE:
        context.check_hostname = False
    context.verify_mode = mode
    if "ssl_certfile" in options:
        context.load_cert_chain(options["ssl_certfile"], options.get("ssl_keyfile"))
    return context


def place(node: str, names: Sequence[str]) -> int:
    """Index of the server that carries the inbox of `node`, by rendezvous hash: adding or removing a server moves
    only the inboxes that have to. All nodes must spell the servers the same way; order does not matter."""
    return max(range(len(names)), key=lambda i: _weight(names[i], node))


def _weight(name: str, node: str) -> bytes:
    return hashlib.blake2b(f"{name}\n{node}".encode(), digest_size=8).digest()
