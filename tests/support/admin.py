"""Questions and requests to the admin port of a process."""

import json
import urllib.error
import urllib.request
from typing import Any

_DIRECT = urllib.request.build_opener(urllib.request.ProxyHandler({}))


def get(url: str) -> tuple[int, Any]:
    """HTTP status and JSON body of a page."""
    return _exchange(urllib.request.Request(url))


def post(url: str, body: object, **headers: str) -> tuple[int, Any]:
    """The same after posting `body` as JSON; `headers` (content_type, host) replace what would be sent."""
    sent = {"content-type": "application/json"} | {name.replace("_", "-"): value for name, value in headers.items()}
    return _exchange(urllib.request.Request(url, json.dumps(body).encode(), sent, method="POST"))


def _exchange(request: urllib.request.Request) -> tuple[int, Any]:
    try:
        with _DIRECT.open(request, timeout=30) as answer:
            return answer.status, json.load(answer)
    except urllib.error.HTTPError as error:
        with error:
            return error.code, json.load(error)
