import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any

import pytest

from iii_cluster.node.admin import Admin, bind


@pytest.fixture
async def port() -> AsyncIterator[int]:
    listener = bind("127.0.0.1", 0)
    number: int = listener.getsockname()[1]
    admin = Admin(listener, {"/ok": lambda: (200, {"fine": True}), "/not": lambda: (503, ["because"])}, {})
    await admin.start()
    yield number
    await admin.stop()


async def get(port: int, path: str, method: str = "GET") -> tuple[int, Any]:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(f"{method} {path} HTTP/1.1\r\nhost: admin\r\nconnection: close\r\n\r\n".encode())
    head, _, body = (await reader.read()).partition(b"\r\n\r\n")
    writer.close()
    await writer.wait_closed()
    return int(head.split()[1]), json.loads(body) if body else None


async def test_a_page_is_served_as_json(port: int) -> None:
    assert await get(port, "/ok") == (200, {"fine": True})


async def test_a_page_chooses_its_status(port: int) -> None:
    assert await get(port, "/not") == (503, ["because"])


async def test_an_unknown_path_is_not_found(port: int) -> None:
    assert (await get(port, "/"))[0] == 404


async def test_pages_are_only_read(port: int) -> None:
    assert (await get(port, "/ok", "POST"))[0] == 405
    assert await get(port, "/ok", "HEAD") == (200, None)


async def test_a_port_in_use_is_refused(port: int) -> None:
    with pytest.raises(OSError, match="in use"):
        bind("127.0.0.1", port).listen()
