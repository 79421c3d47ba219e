"""Asking the admin port of a node."""

import json
import urllib.error
import urllib.request
from typing import Any

from .client import Unreachable

TIMEOUT = 3.0  # seconds

# Admin ports are on this machine or next to it: no proxy.
_opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))


def ask_admin(base_url: str, path: str) -> tuple[int, Any]:
    """HTTP status and JSON body of GET `path`; raises Unreachable."""
    url = base_url.rstrip("/") + path
    try:
        with _opener.open(url, timeout=TIMEOUT) as response:
            return response.status, json.load(response)
    except urllib.error.HTTPError as error:
        with error:
            return error.code, _json_of(error)
    except (OSError, ValueError) as error:
        reason = error.reason if isinstance(error, urllib.error.URLError) else error
        raise Unreachable(f"no admin port answers at {base_url}: {reason}") from None


def _json_of(response: urllib.error.HTTPError) -> Any:
    try:
        return json.load(response)
    except ValueError:
        return {}
