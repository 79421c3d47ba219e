"""Connections of live sockets: uvicorn's."""

from typing import Any

from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol


class LiveConnection(WebSocketsSansIOProtocol):
    """A refusal is an answer, too; uvicorn would log an error after each: any page elsewhere could fill the log."""

    async def send(self, message: Any) -> None:
        await super().send(message)
        if message["type"] == "websocket.http.response.body" and not message.get("more_body"):
            self.handshake_complete = True
