"""Questions and requests to the admin port of a process."""

import json
import ssl
import urllib.error
import urllib.request
from typing import Any


def _opener(context: ssl.SSLContext | None = None) -> urllib.request.OpenerDirector:
    """Without a proxy."""
    https = urllib.request.HTTPSHandler(context=context)
    return urllib.request.build_opener(urllib.request.ProxyHandler({}), https)


_DIRECT = _opener()


def get(url: str, context: ssl.SSLContext | None = None, token: str = "") -> tuple[int, Any]:
    """HTTP status and JSON body of a page."""
    headers = {"Authorization": f"Bearer {token}"} if token else {}
    return _exchange(urllib.request.Request(url, headers=headers), context)


def post(url: str, body: object, **headers: str) -> tuple[int, Any]:
    """The same after posting `body` as JSON; `headers` (content_type, host) replace what would be sent."""
    sent = {"content-type": "application/json"} | {name.replace("_", "-"): value for name, value in headers.items()}
    return _exchange(urllib.request.Request(url, json.dumps(body).encode(), sent, method="POST"))


def _exchange(request: urllib.request.Request, context: ssl.SSLContext | None = None) -> tuple[int, Any]:
    opener = _opener(context) if context is not None else _DIRECT
    try:
        with opener.open(request, timeout=30) as answer:
            return answer.status, json.load(answer)
    except urllib.error.HTTPError as error:
        with error:
            return error.code, json.load(error)
