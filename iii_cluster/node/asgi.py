"""uvicorn as this project uses it: its HTTP/1.1 protocol, without its command line, logs and signals."""

from typing import Any

import uvicorn


def asgi_config(app: Any, ws: Any = "none", **settings: Any) -> uvicorn.Config:
    """`app` is an ASGI 3 application, unless its protocol calls it otherwise, as that of the HTTP port does.

    `ws` is its protocol for WebSockets, if it has any; `settings` are uvicorn's own.
    """
    config = uvicorn.Config(
        app,
        http="httptools",
        ws=ws,
        lifespan="off",
        interface="asgi3",
        proxy_headers=False,
        log_config=None,
        access_log=False,
        server_header=False,
        date_header=False,
        **settings,
    )
    config.load()
    return config
