"""What an auth function is told of a connection. Pure."""

from collections.abc import Iterable

import msgspec


def auth_input(headers: Iterable[tuple[str, str]], target: str, address: str) -> bytes:
    """`target` is the path with its query, as it came: nothing is percent-decoded."""
    told = {
        "headers": {name.lower(): _text(value) for name, value in headers},  # of several of one name the last
        "query_params": query_parameters(target),
        "ip_address": address,
    }
    return msgspec.json.encode(told)


def query_parameters(target: str) -> dict[str, list[str]]:
    parameters: dict[str, list[str]] = {}
    for part in _text(target).partition("#")[0].partition("?")[2].split("&"):
        name, _, value = part.partition("=")
        if part:
            parameters.setdefault(name, []).append(value)
    return parameters


def _text(value: str) -> str:
    """Without the surrogates that stand for bytes which are no text."""
    return value.encode(errors="surrogateescape").decode(errors="replace")
