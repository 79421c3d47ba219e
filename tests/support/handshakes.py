"""A port that answers WebSocket handshakes as a test wants it, and says nothing more."""

import ssl
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from websockets.http11 import Request, Response
from websockets.sync.server import Server, ServerConnection, serve

Check = Callable[[ServerConnection, Request], Response | None]


@contextmanager
def listening(check: Check, context: ssl.SSLContext | None = None) -> Iterator[int]:
    """A port where handshakes are answered by `check`."""
    server: Server = serve(lambda _socket: None, "127.0.0.1", 0, process_request=check, ssl=context, compression=None)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield server.socket.getsockname()[1]
    finally:
        server.shutdown()
        thread.join()


def shows(request: Request, token: str) -> bool:
    """Whether the client shows that bearer token."""
    return request.headers.get("Authorization") == f"Bearer {token}"
