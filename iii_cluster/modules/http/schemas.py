"""JSON schemas of `http` triggers, for listings."""

from typing import Any

import msgspec
from msgspec import Raw

from .paths import METHODS

_TEXT: dict[str, Any] = {"type": "string"}
_TEXTS: dict[str, Any] = {"type": "object", "additionalProperties": _TEXT}
_CHANNEL: dict[str, Any] = {
    "type": "object",
    "properties": {"channel_id": _TEXT, "access_key": _TEXT, "direction": {"enum": ["read", "write"]}},
    "required": ["channel_id", "access_key", "direction"],
}

CONFIG_SCHEMA = Raw(
    msgspec.json.encode(
        {
            "type": "object",
            "properties": {
                "api_path": {**_TEXT, "description": "orders/:id, or files/*rest; the leading slash is optional"},
                "http_method": {"type": ["string", "null"], "enum": [*METHODS, None], "default": "GET"},
                "condition_function_id": {"type": ["string", "null"]},
                "middleware_function_ids": {"type": ["array", "null"], "items": _TEXT},
            },
            "required": ["api_path"],
        }
    )
)
REQUEST_SCHEMA = Raw(
    msgspec.json.encode(
        {
            "type": "object",
            "properties": {
                "query_params": {
                    "type": "object",
                    "additionalProperties": {"type": ["string", "array"], "items": _TEXT},
                },
                "path_params": _TEXTS,
                "headers": _TEXTS,
                "path": {**_TEXT, "description": "api_path as it was registered"},
                "method": _TEXT,
                "body": {"description": "JSON; null when the request has no, or another, body"},
                "trigger": {"type": "object", "properties": {"type": _TEXT, "path": _TEXT, "method": _TEXT}},
                "request_body": _CHANNEL,
                "response": _CHANNEL,
            },
            "required": ["query_params", "path_params", "headers", "path", "method", "body", "trigger"],
        }
    )
)
