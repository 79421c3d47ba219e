"""The limit of the HTTP scenario: a bare ASGI handler on the server library that gateways use, with the same answer.

Run as a process; prints its port on a line of its own and ends with its standard input.
"""

import asyncio
import socket
import sys
from typing import Any

import uvicorn
import uvloop

BODY = b'{"ok":true}'
HEAD = {
    "type": "http.response.start",
    "status": 200,
    "headers": [(b"content-type", b"application/json"), (b"content-length", str(len(BODY)).encode())],
}


async def app(scope: dict[str, Any], receive: Any, send: Any) -> None:
    if scope["method"] == "POST":
        while (await receive()).get("more_body"):
            pass
    await send(HEAD)
    await send({"type": "http.response.body", "body": BODY})


async def serve() -> None:
    config = uvicorn.Config(
        app, http="httptools", ws="none", lifespan="off", interface="asgi3", access_log=False, log_config=None
    )
    config.load()
    listener = socket.create_server(("127.0.0.1", 0))
    server = uvicorn.Server(config)
    server.lifespan = config.lifespan_class(config)
    await server.startup(sockets=[listener])
    print(listener.getsockname()[1], flush=True)
    await asyncio.to_thread(sys.stdin.read)
    await server.shutdown(sockets=[listener])


if __name__ == "__main__":
    uvloop.run(serve())
