"""Responses on their way to the client, with the headers for pages of other origins."""

from .cors import Headers
from .exchange import Exchange
from .response import Header, Response
from .streaming import Streamed

_WITHOUT_BODY = (204, 304)


def parts(response: Response, cors: Headers) -> tuple[int, list[Header], bytes]:
    """What an exchange is answered with."""
    status, headers, body = response
    if status in _WITHOUT_BODY:
        return status, [*(header for header in headers if header[0] != b"content-type"), *cors], b""
    return status, [*headers, *cors], body


async def respond(exchange: Exchange, response: Response, cors: Headers) -> None:
    await exchange.respond(*parts(response, cors))


async def stream(exchange: Exchange, streamed: Streamed, cors: Headers) -> None:
    """A stream that is cut is not completed: whoever runs this ends the connection."""
    send = exchange.send
    status, headers, first = streamed.head
    await send({"type": "http.response.start", "status": status, "headers": [*headers, *cors]})
    if exchange.method == "HEAD" or status in _WITHOUT_BODY:
        await send({"type": "http.response.body", "body": b""})
        return
    await send({"type": "http.response.body", "body": first, "more_body": True})
    if await streamed.pieces(send):
        await send({"type": "http.response.body", "body": b""})
